"""Feedback as rows of the shop's tables: each order once, the shop's own records first, nothing from nowhere."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.core.tables import TABLES
from components.feedback.merge import Merged, with_feedback
from components.feedback.payloads import read

AT = datetime(2025, 7, 1, 12, tzinfo=UTC)
END = "2025-07-02T00:00:00+00:00"
WANTED = ("transactions", "products", "behaviour", "sales")


def events(rows: Sequence[Mapping[str, Any]]) -> pl.LazyFrame:
    """A feedback table; `payload` may be a dictionary."""
    usual = {"application": "recommendation", "kind": "click", "at": AT, "payload": {"product_id": "p1"}}
    full = [{**usual, "event_id": f"e{number}", "received_at": AT, **row} for number, row in enumerate(rows)]
    said = [{**row, "payload": json.dumps(row["payload"])} for row in full]
    return pl.DataFrame(said, schema=dict(TABLES["feedback"].schema)).lazy()


def order(name: str, *products: str, **other: Any) -> dict[str, Any]:
    items = [{"product_id": product, "quantity": 1, "amount": 2.5} for product in products]
    return {"kind": "purchase", "order_id": name, "payload": {"items": items}, **other}


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.LazyFrame:
    return pl.DataFrame(list(rows), schema=dict(TABLES[name].schema)).lazy()


def line(basket: str, product: str, quantity: float = 7.0) -> dict[str, Any]:
    return {"basket_id": basket, "product_id": product, "at": AT, "quantity": quantity, "amount": 1.0}


def merged(
    feedback: pl.LazyFrame, ends: Mapping[str, str | None] | None = None, timezone: str = "UTC", **tables: pl.LazyFrame
) -> Merged:
    return with_feedback(tables, feedback, ends or dict.fromkeys(tables, END), WANTED, timezone)


def rows(found: Merged, name: str) -> list[dict[str, Any]]:
    return found.tables[name].collect().to_dicts()


IDS = st.sampled_from(["o1", "o2", "o3", "o4", "o5"])
PRODUCTS = st.lists(st.sampled_from(["p1", "p2", "p3"]), min_size=1, max_size=4)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    own=st.dictionaries(IDS, PRODUCTS, max_size=4),
    told=st.lists(st.tuples(IDS, PRODUCTS, st.integers(0, 50)), max_size=8),
)
def test_an_order_counts_once_and_the_transactions_win(
    own: dict[str, list[str]], told: list[tuple[str, list[str], int]]
) -> None:
    transactions = table("transactions", [line(basket, product) for basket in own for product in own[basket]])
    feedback = events([order(name, *bought, at=AT - timedelta(minutes=ago)) for name, bought, ago in told])
    found = rows(merged(feedback, transactions=transactions), "transactions")
    first: dict[str, list[str]] = {}
    for name, bought, _ in sorted(told, key=lambda each: -each[2]):  # stable: of two at once the first event
        first.setdefault(name, bought)
    expected = Counter((name, product) for name, bought in {**first, **own}.items() for product in bought)
    assert Counter((row["basket_id"], row["product_id"]) for row in found) == expected
    assert {row["basket_id"] for row in found if row["quantity"] == 7} == set(own), "as the transactions tell them"


@hypothesis_settings(max_examples=30, deadline=None)
@given(told=st.permutations([order("o1", "p1"), order("o2", "p2", "p1"), {}, {"kind": "cart"}, order("o1", "p3")]))
def test_the_order_of_events_in_the_table_does_not_matter(told: list[dict[str, Any]]) -> None:
    named = [{**event, "event_id": str(sorted(event.items(), key=str))} for event in told]
    known = [{**event, "event_id": str(sorted(event.items(), key=str))} for event in sorted(told, key=str)]
    for name in ("transactions", "behaviour"):
        assert rows(merged(events(named)), name) == rows(merged(events(known)), name)


def test_what_adds_nothing_leaves_the_tables_as_they_are() -> None:
    transactions = table("transactions", [line("o1", "p1")])
    feedback = events([{"kind": "dismiss"}, {"kind": "correction"}, order("o1", "p1"), {"kind": "sales"}])
    found = merged(feedback, transactions=transactions)
    assert found.tables == {"transactions": transactions} and found.ends == {"transactions": END}


def test_an_order_becomes_lines_as_transactions_have_them() -> None:
    items = [
        {"product_id": " 12.0 ", "quantity": 2, "amount": 5},
        {"product_id": "p1", "quantity": 1.5, "amount": None},
        {"product_id": "p2", "quantity": -1, "amount": 5},  # a return
        {"product_id": "p3", "quantity": 1, "amount": -5},  # money paid back
        {"product_id": "unheard-of", "quantity": 1, "amount": 5},
    ]
    told = order("o1", customer_id="c1", payload={"items": items, "store_id": "7"})
    products = table("products", [{"product_id": name, "title": "", "category": ""} for name in ("12", "p1", "p2")])
    found = rows(merged(events([told]), products=products), "transactions")
    same = {"basket_id": "o1", "at": AT, "customer_id": "c1", "store_id": "7"}
    assert found == [
        {"product_id": "12", "quantity": 2, "amount": 5} | same,
        {"product_id": "p1", "quantity": 1.5, "amount": None} | same,
    ]


def test_clicks_and_baskets_become_behaviour_of_the_request_or_the_day() -> None:
    told = [
        {"request_id": "r1", "customer_id": "c1"},
        {"kind": "cart", "customer_id": "c1", "at": datetime(2025, 7, 1, 3, tzinfo=UTC)},
        {"at": AT + timedelta(days=400)},
        {"event_id": "own"},
        {"payload": {"product_id": "unheard-of"}},
    ]
    own = {"event_id": "own", "session_id": "s", "kind": "view", "at": AT, "product_id": "p1", "query": "q"}
    products = table("products", [{"product_id": "p1", "title": "", "category": ""}])
    found = merged(events(told), timezone="America/New_York", products=products, behaviour=table("behaviour", [own]))
    sessions = [(row["session_id"], row["kind"], row["customer_id"]) for row in rows(found, "behaviour")]
    assert sessions == [
        ("s", "view", None),
        ("c1 2025-06-30", "cart", "c1"),
        ("r1", "click", "c1"),
        ("e2", "click", None),
    ]
    assert found.ends["behaviour"] == END and "transactions" not in found.tables


@pytest.mark.parametrize(("days", "kept"), [(89, True), (91, False)])
def test_a_stray_order_does_not_move_the_end_by_years(days: int, kept: bool, caplog: pytest.LogCaptureFixture) -> None:
    at = datetime.fromisoformat(END) + timedelta(days=days)
    feedback = events([order("stray", "p1", at=at), order("sound", "p1", at=AT + timedelta(days=1))])
    with caplog.at_level(logging.WARNING):
        found = merged(feedback, transactions=table("transactions", [line("o1", "p1")]))
    baskets = {row["basket_id"] for row in rows(found, "transactions")}
    assert baskets == {"o1", "sound", *(["stray"] if kept else [])}
    end = at + timedelta(days=1) if kept else AT.replace(hour=0) + timedelta(days=2)
    assert found.ends["transactions"] == end.isoformat()
    assert ("a wrong clock, or a feed that has stopped" in caplog.text) is not kept


def test_the_end_is_the_midnight_after_the_newest_order_in_the_shops_time() -> None:
    told = [order("o1", "p1", at=datetime(2025, 7, 2, 3, tzinfo=UTC))]
    found = merged(events(told), timezone="America/New_York")
    assert found.ends == {"transactions": "2025-07-02T04:00:00+00:00"}
    older = merged(events(told), {"transactions": "2025-08-01T04:00:00+00:00"}, transactions=table("transactions", []))
    assert older.ends["transactions"] == "2025-08-01T04:00:00+00:00"


MONDAY = date(2025, 6, 2)


def figure(series: str, week: int, units: float, received: datetime = AT, weekday: int = 0) -> dict[str, Any]:
    day = MONDAY + timedelta(weeks=week, days=weekday)
    payload = {"series_id": series, "period": day.isoformat(), "units": units}
    return {"kind": "sales", "payload": payload, "received_at": received}


def series(known: int, planned: int = 0, weekday: int = 0) -> pl.LazyFrame:
    """Two series, weekly; rows about weeks to come have no units but a covariate."""
    days = [MONDAY + timedelta(weeks=week, days=weekday) for week in range(known + planned)]
    units = [1.0] * known + [None] * planned
    one = pl.DataFrame({"at": days, "y": units, "title": "T", "weight": 2.0, "holiday": 1.0})
    both = pl.concat([one.with_columns(series_id=pl.lit(name)) for name in ("a", "b")])
    return both.cast({"y": pl.Float64}).lazy()


def units(found: Merged) -> dict[tuple[str, date], float | None]:
    return {(row["series_id"], row["at"]): row["y"] for row in rows(found, "sales")}


def test_sales_figures_join_the_shops_series_and_the_table_wins() -> None:
    told = [
        figure("a", 0, 99),  # the table knows it
        figure("a", 2, 5, AT - timedelta(hours=1)),
        figure("a", 2, 6),  # told again: as it was told last
        figure("c", 2, 7),  # no series of the shop
        figure("b", 4, 8),  # not over
    ]
    found = merged(events(told), sales=series(2))
    third = MONDAY + timedelta(weeks=2)
    expected = {(name, MONDAY + timedelta(weeks=week)): 1.0 for name in "ab" for week in range(2)}
    assert units(found) == expected | {("a", third): 6.0}
    new = next(row for row in rows(found, "sales") if row["at"] == third)
    assert (new["title"], new["weight"], new["holiday"]) == ("T", 2.0, None)
    assert found.ends["sales"] == END  # 23 June is before the table's own end
    assert merged(events(told), {"sales": "2025-06-16T00:00:00+00:00"}, sales=series(2)).ends["sales"] == (
        "2025-06-23T00:00:00+00:00"
    )


def test_a_row_about_a_week_to_come_is_filled_and_keeps_what_else_it_says() -> None:
    found = merged(events([figure("a", 2, 6)]), sales=series(2, planned=2, weekday=6))
    third = MONDAY + timedelta(weeks=2, days=6)
    filled = [row for row in rows(found, "sales") if row["at"] == third]
    assert [(row["series_id"], row["y"], row["holiday"]) for row in filled] == [("a", 6.0, 1.0), ("b", None, 1.0)]
    assert len(rows(found, "sales")) == 8, "a week's row may name any of its days, and is still one row"


def test_sales_figures_need_a_table_of_sales() -> None:
    assert "sales" not in merged(events([figure("a", 2, 6)])).tables


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ['{"product_id":"p"}', '{"items":[]}', "{}", "", "null", "[1]", '{"units":"x"}', "{},{}", "{"]
            ),
            st.none(),
            st.text(max_size=6),
        ),
        max_size=12,
    )
)
def test_payloads_are_read_one_for_one_whatever_stands_in_them(texts: list[str | None]) -> None:
    found = read(pl.Series("payload", texts, dtype=pl.String))
    assert len(found) == len(texts)
    alone = [read(pl.Series("payload", [text], dtype=pl.String))[0] for text in texts]
    assert found.to_list() == alone, "a broken one takes nothing from the others"
    for text, said in zip(texts, found.to_list(), strict=True):
        if said is not None:
            assert isinstance(json.loads(text or ""), dict)
