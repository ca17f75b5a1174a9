"""For every expectation on disk an example trips exactly it; an expectation without one fails here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.core.artifacts import read_json, write_json
from components.core.errors import QualityFailure
from components.core.tables import TABLES
from components.quality.facts import profile, recent_sample
from components.stages.validate import validate

ROOT = Path(__file__).parents[2]
SUITES = {path.stem: read_json(path) for path in sorted((ROOT / "expectations").glob("*.json"))}
AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, PER_DAY = 60, 20
INTENTS = ("cancel", "refund", "return", "track", "invoice", "coupon", "size", "stock")
NUMBER = pl.int_range(pl.len())
Change = Callable[[pl.DataFrame], pl.DataFrame]


def same(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


@dataclass(frozen=True)
class Example:
    """Rows and meta that break one expectation; `besides` are failures that cannot be had without."""

    rows: Change = same
    meta: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda meta: meta)
    limit: float = 1.0
    until: datetime = AS_OF  # the end of the purchases, by which plans are measured
    besides: frozenset[str] = frozenset()


def first(**values: Any) -> Example:
    """The first row says something else."""
    return Example(lambda frame: frame.with_columns(_at_first(frame, name, value) for name, value in values.items()))


def _at_first(frame: pl.DataFrame, name: str, value: Any) -> pl.Expr:
    changed = pl.lit(value, frame.schema[name])
    return pl.when(pl.int_range(pl.len()) == 0).then(changed).otherwise(pl.col(name)).alias(name)


def every(**values: Any) -> Example:
    """All rows say the same."""
    return Example(
        lambda frame: frame.with_columns(pl.lit(v, frame.schema[name]).alias(name) for name, v in values.items())
    )


def released(**values: Any) -> Example:
    """The data last released was different."""
    return Example(meta=lambda meta: meta | {"reference": meta["reference"] | values})


def no_reference(rows: Change) -> Example:
    return Example(rows, lambda meta: {key: value for key, value in meta.items() if key != "reference"})


def later_end(days: float, keep: Change = same) -> Example:
    """The data ends `days` later than its rows do."""
    return Example(keep, lambda meta: {**meta, "as_of": (AS_OF + timedelta(days=days)).isoformat()})


def repeated(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame.head(1), frame])


def flood(frame: pl.DataFrame, n: int) -> pl.DataFrame:
    """`n` more messages of the last day with the same words."""
    more = pl.concat([frame.tail(1)] * n).with_columns(
        message_id="flood " + NUMBER.cast(pl.String), at=AS_OF - timedelta(hours=5) + pl.duration(seconds=NUMBER)
    )
    return pl.concat([frame.filter(pl.col("text") != frame["text"][-1]), more]).sort("at", "message_id")


def thin_end(frame: pl.DataFrame, days: int = 6) -> pl.DataFrame:
    """One row a day in the last days, where there were twenty."""
    end = pl.col("at") >= AS_OF - timedelta(days=days)
    return frame.filter(~end | pl.col("at").dt.date().is_first_distinct())


def at_noon(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.col("at").dt.truncate("1d") + pl.duration(hours=12, minutes=pl.int_range(pl.len()) % 50)
    )


def last_days(days: int) -> Change:
    return lambda frame: frame.filter(pl.col("at") >= AS_OF - timedelta(days=days))


def without_week(column: str, monday: date) -> Change:
    return lambda frame: frame.filter(pl.col(column).dt.truncate("1w") != monday)


def where(every_nth: int, **values: Any) -> Change:
    """Each n-th row says something else."""
    here = pl.int_range(pl.len()) % every_nth == 0
    return lambda frame: frame.with_columns(
        pl.when(here).then(pl.lit(value, frame.schema[name])).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def told(kind: str, **payload: Any) -> Example:
    """The first event is of another kind and says something else."""
    return first(kind=kind, payload=json.dumps(payload))


def crowd(n: int, every_seconds: float, **values: Any) -> Change:
    """`n` more events of one customer on the last day, one after the other."""

    def add(frame: pl.DataFrame) -> pl.DataFrame:
        said = {"customer_id": "bot", "request_id": None} | values
        more = pl.concat([frame.tail(1)] * n).with_columns(
            (pl.lit(value, frame.schema[name]).alias(name) for name, value in said.items()),
            at=AS_OF - timedelta(days=1) + pl.duration(milliseconds=pl.int_range(n) * int(1000 * every_seconds)),
            event_id="bot " + pl.int_range(n).cast(pl.String),
        )
        return pl.concat([frame, more]).sort("at", "event_id")

    return add


def shop_reports_unasked(frame: pl.DataFrame) -> pl.DataFrame:
    """The first impression is one that the shop's own pages report, of a request that was never made."""
    return first(request_id="never asked", payload=json.dumps({"role": "shop", "shown": []})).rows(frame)


def corrected(subject: str, *labels_and_sources: str) -> Example:
    """The first events say of customer service which label a message should have had."""
    pairs = list(zip(labels_and_sources[::2], labels_and_sources[1::2], strict=True))
    said = [json.dumps({"subject": subject, "label": label, "by": by}) for label, by in pairs]

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        told = frame.head(len(said)).with_columns(
            kind=pl.lit("correction"), application=pl.lit("support"), payload=pl.Series(said)
        )
        return pl.concat([told, frame.slice(len(said))])

    return Example(change)


def _one_intent() -> pl.Expr:
    """What is in scope is all about one intent."""
    return pl.when(pl.col("intent") == "out_of_scope").then("intent").otherwise(pl.lit("cancel")).alias("intent")


TYPES = Example(lambda frame: frame.with_columns(pl.col(frame.columns[0]).cast(pl.Categorical)))
SPOILT = {"besides": frozenset({"product_named"}), "limit": 0.0005}  # the limit speaks only where rows are bad
OVER = Example(first(product_id=None).rows, **SPOILT)
LATE = first(at=AS_OF + timedelta(hours=5))
COMMON = {
    "columns": Example(lambda frame: frame.drop(frame.columns[2])),
    "types": TYPES,
    "product_named": first(product_id=None),
    "quarantine_to_limit": OVER,
    "rows": no_reference(lambda frame: frame.clear()),
    "rows_ratio": released(rows=10**6),
}
DATED = {
    "time_readable": first(at=None),
    "time_has_come": Example(lambda frame: LATE.rows(frame).sort("at")),
    "not_repeated": Example(repeated),
    "product_known": first(product_id="unheard-of"),
    "days_since_newest": later_end(3),
    "quiet_days": Example(thin_end),
    "recent_rows_ratio": released(recent_rows_per_day=1000.0),
    "hour_psi": Example(at_noon),
}
CLICK = {"kind": "click", "payload": '{"product_id": "p1"}'}
CORRECTION = json.dumps({"subject": "s", "label": "cancel", "by": "ann"})
PURCHASE = {"product_id": "p1", "quantity": 1.0, "amount": 2.0}
EVENTS = COMMON | {
    "columns": Example(lambda frame: frame.drop("customer_id")),
    "event_named": first(event_id=None),
    "application_named": first(application=None),
    "kind_present": first(kind=None),
    "kind_known": first(kind="hover"),
    "time_readable": first(at=None),
    "receipt_readable": first(received_at=None),
    "clock_right": first(received_at=datetime(2024, 1, 1, 0, 53, tzinfo=UTC)),
    "recent_enough": first(received_at=datetime(2025, 2, 1, tzinfo=UTC)),
    "payload_readable": first(payload='["click"]'),
    "payload_complete": first(payload="{}"),
    "not_repeated": Example(repeated),
    "days_since_newest": later_end(9),
    "quiet_days": no_reference(lambda frame: thin_end(frame, 16)),
    "recent_rows_ratio": released(recent_rows_per_day=1000.0),
    "repeated_key_share": every(event_id="e"),
    "set_aside_share": Example(
        lambda frame: frame.with_columns(pl.col("received_at").dt.offset_by("13mo")),
        lambda meta: {key: value for key, value in meta.items() if key != "reference"},
        besides=frozenset({"recent_enough"}),
    ),
    "application_psi": every(application="demand"),
    "hour_psi": Example(at_noon),
    "quarantine_to_limit": Example(
        first(event_id=None).rows, besides=frozenset({"event_named"}), limit=SPOILT["limit"]
    ),
}
MESSAGE_OVER = Example(first(message_id=None).rows, besides=frozenset({"message_named"}), limit=SPOILT["limit"])
EXAMPLES: dict[str, dict[str, Example]] = {
    "feedback": EVENTS
    | {
        "order_named": first(kind="purchase", order_id=None, payload=json.dumps({"items": [PURCHASE]})),
        "quantity_plausible": told("purchase", items=[PURCHASE, PURCHASE | {"quantity": -1e5}]),
        "amount_plausible": told("purchase", items=[PURCHASE | {"amount": 1e8}]),
        "period_begun": told("sales", series_id="s", period="2024-02-01", units=3),
        "human_minute": Example(crowd(101, 0.5, **CLICK)),
        "human_day": Example(crowd(2001, 1, **CLICK)),
        "source_not_flooding": Example(
            crowd(100, 60, kind="correction", payload='{"subject": "s", "label": "l", "by": "one"}')
        ),
        "label_known": corrected("s", "fly_to_moon", "ann"),
        "label_agreed": corrected("s", "cancel", "ann", "refund", "bob"),
        "human_corrections": Example(crowd(61, 0.5, kind="correction", payload=CORRECTION)),
        "products_known": no_reference(every(kind="click", payload='{"product_id": "unheard-of"}').rows),
        "request_answered": every(request_id="never asked"),
        "anonymous_share": every(customer_id=None),
        "unlinked_share": every(request_id=None),
        "kind_psi": every(**CLICK),
    },
    "impressions": EVENTS
    | {
        "request_named": first(request_id=None),
        "request_answered": Example(shop_reports_unasked),
        "human_minute": Example(crowd(201, 0.2, request_id="r0")),
        "human_day": Example(crowd(5001, 1, request_id="r0")),
    },
    "transactions": COMMON
    | DATED
    | {
        "basket_named": first(basket_id=None),
        "quantity_readable": first(quantity=None),
        "amount_readable": first(amount=None),
        "quantity_positive": first(quantity=-1.0),
        "quantity_plausible": first(quantity=100_000.0),
        "amount_not_negative": first(amount=-0.01),
        "amount_plausible": first(amount=1e8),
        "history_days": no_reference(last_days(20)),
        "anonymous_share": every(customer_id=None),
        "zero_amount_share": no_reference(every(amount=0.0).rows),
        "set_aside_share": Example(
            lambda frame: frame.with_columns(
                quantity=pl.when(pl.int_range(pl.len()) % 4 == 0).then(0.0).otherwise("quantity")
            ),
            lambda meta: {key: value for key, value in meta.items() if key != "reference"},
            besides=frozenset({"quantity_positive"}),
        ),
        "repeated_key_share": no_reference(every(basket_id="b", product_id="p1").rows),
        "amount_psi": Example(lambda frame: frame.with_columns(pl.col("amount") * 10)),
        "quantity_psi": Example(lambda frame: frame.with_columns(pl.col("quantity") + 5)),
    },
    "products": COMMON
    | {
        "product_once": Example(repeated),
        "title_present": first(title=None),
        "category_present": first(category=None),
        "price_not_negative": first(price=-1.0),
        "untitled_share": Example(every(title=None).rows, besides=frozenset({"title_present"})),
        "uncategorised_share": Example(
            every(category=None).rows, no_reference(same).meta, besides=frozenset({"category_present"})
        ),
        "inactive_share": every(active=False),
        "category_psi": every(category="all the same"),
    },
    "behaviour": COMMON
    | DATED
    | {
        "product_named": first(product_id=None),
        "event_named": first(event_id=None),
        "session_named": first(session_id=None),
        "kind_present": first(kind=None),
        "kind_known": first(kind="hovered"),
        "anonymous_share": every(customer_id=None),
        "repeated_key_share": every(event_id="e"),
        "kind_psi": every(kind="view"),
        "quarantine_to_limit": Example(
            first(event_id=None).rows, besides=frozenset({"event_named"}), limit=SPOILT["limit"]
        ),
    },
    "stock": COMMON
    | DATED
    | {
        "on_hand_readable": first(on_hand=None),
        "on_hand_not_negative": first(on_hand=-1.0),
        "on_order_not_negative": first(on_order=-1.0),
        "out_of_stock_share": no_reference(every(on_hand=0.0).rows),
        "on_hand_psi": Example(lambda frame: frame.with_columns(pl.col("on_hand") + 1000)),
    },
    "promotions": COMMON
    | {
        "week_readable": first(week=None),
        "week_plausible": first(week=date(1999, 1, 4)),
        "price_positive": first(price=0.0),
        "not_repeated": Example(repeated),
        "product_known": first(product_id="unheard-of"),
        "days_since_newest": Example(until=AS_OF + timedelta(days=11)),
        "empty_weeks": Example(without_week("week", date(2024, 1, 8))),
        "recent_rows_ratio": released(recent_rows_per_day=1000.0),
        "unplaced_share": no_reference(every(display=None, mailer=None, price=None).rows),
        "repeated_key_share": every(product_id="p1"),
        "display_psi": every(display="9"),
        "mailer_psi": every(mailer="Z"),
    },
    "campaigns": COMMON
    | {
        "campaign_named": first(campaign_id=None),
        "start_readable": first(starts=None),
        "end_readable": first(ends=None),
        "ends_after_start": first(ends=date(2023, 1, 1)),
        "length_plausible": first(ends=date(2030, 1, 1)),
        "reach_is_share": first(reach=35.0),
        "not_repeated": Example(lambda frame: repeated(frame).with_columns(_at_first(frame, "reach", 0.5))),
        "product_known": first(product_id="unheard-of"),
        "start_plausible": first(starts=date(1999, 1, 4), ends=date(1999, 2, 4)),
        "unreached_share": no_reference(every(reach=0.0).rows),
        "reach_psi": Example(lambda frame: frame.with_columns(pl.col("reach") / 100)),
    },
    "intents": COMMON
    | {
        "columns": Example(lambda frame: frame.drop("definition")),
        "intent_named": first(intent=None),
        "name_plain": first(intent="Cancel order!"),
        "definition_present": first(definition=None),
        "intent_once": Example(repeated),
        "protected_share": no_reference(every(definition='{"protected": false}').rows),
        "quarantine_to_limit": Example(
            first(definition=None).rows, besides=frozenset({"definition_present"}), limit=SPOILT["limit"]
        ),
    },
    "examples": COMMON
    | {
        "message_named": first(message_id=None),
        "text_present": first(text=None),
        "text_length": first(text="x" * 32_769),
        "language_named": first(language=None),
        "intent_named": first(intent=None),
        "intent_known": first(intent="fly_to_moon"),
        "label_agreed": Example(lambda frame: frame.with_columns(_at_first(frame, "text", frame["text"][1]))),
        "not_repeated": Example(repeated),
        "out_of_scope_share": no_reference(lambda frame: frame.filter(pl.col("intent") != "out_of_scope")),
        "repeated_key_share": no_reference(
            lambda frame: frame.with_columns(
                message_id=pl.lit("m"), written=date(2023, 1, 1) + pl.duration(days=NUMBER)
            )
        ),
        "intent_psi": Example(lambda frame: frame.with_columns(_one_intent())),
        "language_psi": every(language="zh"),
        "quarantine_to_limit": MESSAGE_OVER,
    },
    "messages": COMMON
    | DATED
    | {
        "message_named": first(message_id=None),
        "text_present": first(text=None),
        "text_length": first(text="x" * 32_769),
        "intent_known": first(intent="fly_to_moon"),
        "label_agreed": Example(lambda frame: frame.with_columns(_at_first(frame, "text", frame["text"][1]))),
        "not_flooding": Example(lambda frame: flood(frame, 101)),
        "days_since_newest": replace(later_end(9), besides=frozenset({"quiet_days"})),
        "quiet_days": no_reference(lambda frame: thin_end(frame, 9)),
        "unlabelled_share": no_reference(every(intent=None).rows),
        "out_of_scope_share": no_reference(every(intent="out_of_scope").rows),
        "repeated_key_share": every(message_id="m"),
        "intent_psi": every(intent="cancel"),
        "language_psi": every(language="zh"),
        "quarantine_to_limit": MESSAGE_OVER,
    },
    "sales": COMMON
    | {
        "series_named": first(series_id=None),
        "time_readable": first(at=None),
        "y_plausible": first(y=1e10),
        "weight_not_negative": first(weight=-1.0),
        "not_repeated": Example(lambda frame: repeated(frame).with_columns(_at_first(frame, "y", 5.0))),
        "product_known": first(product_id="unheard-of"),
        "time_has_come": first(at=date(2024, 4, 1)),
        "days_since_newest": later_end(11),
        "empty_weeks": Example(without_week("at", date(2023, 10, 2))),
        "recent_rows_ratio": released(recent_rows_per_day=1000.0),
        "history_days": no_reference(lambda frame: frame.filter(pl.col("at") >= date(2023, 12, 1))),
        "unknown_share": no_reference(lambda frame: where(2, y=None)(where(3, y=None)(frame))),
        "negative_share": no_reference(where(10, y=-1.0)),
        "zero_share": no_reference(every(y=0.0).rows),
        "y_psi": Example(lambda frame: frame.with_columns(pl.col("y") + 1000)),
        "quarantine_to_limit": Example(
            first(series_id=None).rows, besides=frozenset({"series_named"}), limit=SPOILT["limit"]
        ),
    },
}


def clean(table: str) -> pl.DataFrame:
    """Rows that meet every expectation."""
    few = {"products": 50, "promotions": 200, "campaigns": 100, "sales": 300, "intents": len(INTENTS)}
    n = few.get(table, DAYS * PER_DAY)
    number = pl.int_range(n, eager=True)
    days, hours = (n - 1 - number) // PER_DAY, number % PER_DAY
    at = pl.Series("at", [AS_OF - timedelta(days=int(d), hours=23 - int(h)) for d, h in zip(days, hours, strict=True)])
    text, product = number.cast(pl.String), "p" + (number % 50).cast(pl.String)
    columns: dict[str, dict[str, Any]] = {
        "transactions": {
            "basket_id": "b" + (number // 4).cast(pl.String),
            "product_id": product,
            "at": at,
            "quantity": 1.0 + number % 3,
            "amount": 0.5 + (number * 7) % 40,
            "customer_id": "c" + (number % 30).cast(pl.String),
            "store_id": pl.repeat("s", n, eager=True),
        },
        "products": {
            "product_id": "p" + text,
            "title": "Title " + text,
            "category": "category " + (number % 5).cast(pl.String),
            "department": pl.repeat("food", n, eager=True),
            "brand": pl.repeat("own", n, eager=True),
            "price": 1.0 + number,
            "active": number >= 0,
        },
        "behaviour": {
            "event_id": "e" + text,
            "session_id": "s" + (number // 5).cast(pl.String),
            "kind": pl.Series(["view", "click", "cart", "search"])[number % 4],
            "at": at,
            "customer_id": "c" + (number % 30).cast(pl.String),
            "product_id": product,
            "query": pl.repeat("milk", n, eager=True),
        },
        "stock": {
            "product_id": product,
            "on_hand": 1.0 + (number * 7) % 40,
            "at": at,
            "store_id": "s" + (number // 50).cast(pl.String),
            "on_order": (number % 3).cast(pl.Float64),
        },
        "promotions": {
            "product_id": product,
            "week": mondays(number // 20, 10),
            "store_id": pl.repeat("s", n, eager=True),
            "display": pl.Series(["1", None, "3", None])[number % 4],
            "mailer": pl.Series([None, "A", "D", "A"])[number % 4],
            "price": 1.0 + number,
        },
        "campaigns": {
            "campaign_id": "c" + (number // 10).cast(pl.String),
            "product_id": product,
            "starts": mondays(number // 10, 10),
            "ends": mondays(number // 10 + 4, 10),
            "reach": (1 + number % 10) / 20,
        },
        "sales": {
            "series_id": "s" + (number % 10).cast(pl.String),
            "at": mondays(number // 10, 30),
            "y": 1.0 + number % 10,
            "title": "Title " + (number % 10).cast(pl.String),
            "product_id": "p" + (number % 10).cast(pl.String),
            "store_id": pl.repeat("s", n, eager=True),
            "category": pl.repeat("food", n, eager=True),
            "weight": pl.repeat(1.0, n, eager=True),
        },
    }
    said = {
        "message_id": "m" + text,
        "text": "Please help me with " + text,
        "language": pl.Series(["en", "zh"])[number % 2],
        "intent": pl.Series([*INTENTS, "out_of_scope"])[number % (len(INTENTS) + 1)],
        "family": "f" + (number // 10).cast(pl.String),
    }
    columns["intents"] = {
        "intent": pl.Series(INTENTS),
        "definition": pl.Series(['{"protected": true}'] * len(INTENTS)),
    }
    columns["examples"] = said | {"written": pl.repeat(date(2024, 2, 28), n, eager=True)}
    columns["messages"] = said | {"at": at, "channel": pl.repeat("e-mail", n, eager=True)}
    for events in ("feedback", "impressions"):
        columns[events] = {
            "event_id": "e" + text,
            "application": pl.repeat("recommendation", n, eager=True),
            "kind": pl.Series(["click", "purchase", "cart", "dismiss"])[number % 4],
            "at": at,
            "received_at": at.dt.offset_by("1d"),
            "payload": pl.Series([json.dumps({"product_id": "p1"}), json.dumps({"items": [PURCHASE]})])[
                (number % 4 == 1).cast(pl.Int8)
            ],
            "request_id": "r" + text,
            "order_id": "o" + text,
            "customer_id": "c" + (number % 30).cast(pl.String),
        }
    shown = {"role": "champion", "shown": [{"key": "p1", "position": 1, "propensity": 0.5}]}
    columns["impressions"] |= {
        "kind": pl.repeat("impression", n, eager=True),
        "payload": pl.repeat(json.dumps(shown), n, eager=True),
    }
    frame = pl.DataFrame(columns[table]).select(*TABLES[table].schema).cast(dict(TABLES[table].schema))
    return frame.with_columns(is_holiday=pl.lit(0.0)) if table == "sales" else frame


def mondays(week: pl.Series, n_weeks: int) -> pl.Series:
    """The Monday of each week number, of which the last is the one in which the data ends."""
    last = date(2024, 2, 26)
    return pl.Series([last - timedelta(weeks=n_weeks - 1 - int(number)) for number in week])


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the suites and with accepted products, in which validate can run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_DATA", "data")
    shutil.copytree(ROOT / "expectations", "expectations")
    Path("data/accepted/products").mkdir(parents=True)
    clean("products").write_parquet("data/accepted/products/part-all.parquet")
    write_json(Path("data/accepted/products/meta.json"), {})
    Path("data/accepted/intents").mkdir()
    clean("intents").write_parquet("data/accepted/intents/part-all.parquet")
    yield tmp_path


def failures(table: str, example: Example) -> dict[str, str]:
    """Names and severities of what fails on the example, as the report tells them."""
    rows, folder = clean(table), Path("data/collected") / table
    folder.mkdir(parents=True)
    part = folder / "part-2024.parquet"
    rows.write_parquet(part)
    canonical = TABLES[table]
    as_of = None if canonical.time is None or canonical.ahead else AS_OF.isoformat()
    if table == "feedback":
        Path("data/accepted/impressions").mkdir()
        clean("impressions").write_parquet("data/accepted/impressions/part-2024.parquet")
    if canonical.ahead:
        write_json(Path("data/collected/transactions/meta.json"), {"as_of": example.until.isoformat()})
    reference = profile([part], canonical, as_of, recent_sample([part], canonical, as_of, "UTC"))
    meta = {
        "as_of": as_of,
        "rows": rows.height,
        "missing_columns": [],
        "source": None,
        "content": "",
        "timezone": "UTC",
    }
    example.rows(rows).write_parquet(part)
    write_json(folder / "meta.json", example.meta(meta | {"reference": reference}))
    Path("params.yaml").write_text(f"quality: {{{table}: {{quarantine_share_max: {example.limit}}}}}")
    with suppress(QualityFailure):
        validate(table)
    findings = read_json(Path(f"data/quality/{table}.json"))["findings"]
    return {finding["name"]: finding["severity"] for finding in findings if not finding["passed"]}


@pytest.mark.parametrize("table", SUITES)
def test_clean_rows_meet_every_expectation(table: str, shop: Path) -> None:
    assert failures(table, Example()) == {}


CASES = [(table, entry["meta"]["name"]) for table, suite in SUITES.items() for entry in suite["expectations"]]


@pytest.mark.parametrize(("table", "name"), CASES)
def test_an_example_trips_exactly_this_expectation(table: str, name: str, shop: Path) -> None:
    assert name in EXAMPLES[table], f"expectations/{table}.json: {name} has no example; add one to EXAMPLES"
    example = EXAMPLES[table][name]
    assert set(failures(table, example)) == {name} | example.besides


@pytest.mark.parametrize("table", SUITES)
def test_every_example_has_its_expectation(table: str) -> None:
    stated = {entry["meta"]["name"] for entry in SUITES[table]["expectations"]}
    unused = set(EXAMPLES[table]) - stated
    assert unused <= set(COMMON) | set(DATED), f"examples of expectations that are gone: {sorted(unused)}"


def test_every_canonical_table_has_a_suite() -> None:
    assert set(SUITES) == set(TABLES)


@pytest.mark.parametrize("table", SUITES)
def test_suites_are_great_expectations_own_json(table: str) -> None:
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=table, expectations=SUITES[table]["expectations"])
    assert len(suite.expectations) == len(SUITES[table]["expectations"])
