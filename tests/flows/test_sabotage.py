"""Sabotage of a small shop: bad data is quarantined or stops the run, a bad challenger is refused, nothing is lost.

A retrain that is killed half-way stands in test_retrain.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml

from components.feedback.events import Event
from components.feedback.store import Store, open_store
from components.recommendation.answer.answerer import Answerer
from components.recommendation.answer.ask import Ask

if TYPE_CHECKING:
    from conftest import Shop

Tables = dict[str, pl.DataFrame]
Before = Callable[[pl.DataFrame, float], pl.DataFrame]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
APP = "recommendation"
AS_OF = datetime(2025, 7, 1, tzinfo=UTC)  # of the tiny tables
NOW = AS_OF - timedelta(days=5)


@pytest.fixture(scope="module")
def shop(loop_shop: Shop) -> Shop:
    """With strict rules, and a release that works, made from all but the last two weeks."""
    file = loop_shop.root / "params.yaml"
    params = yaml.safe_load(file.read_text())
    params["sources"]["feedback"] = {"kind": "feedback"}
    params["quality"] = {"transactions": {"quarantine_share_max": 0.02}, "feedback": {"quarantine_share_max": 1.0}}
    params[APP]["gates"]["ndcg_floor"] = 0.6
    file.write_text(yaml.safe_dump(params, sort_keys=False))
    loop_shop.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--all", "--message", "Be strict")
    loop_shop.run("flows.retrain", "--reason", "a good start")
    return loop_shop


def spoilt(rows: pl.DataFrame, which: pl.Expr) -> pl.DataFrame:
    """Prices doubled and products shuffled among the rows `which`."""
    other = pl.col("product_id").shuffle(seed=1)
    changed = rows.with_columns(
        product_id=pl.when(which).then(other).otherwise("product_id"),
        amount=pl.when(which).then(pl.col("amount") * 2).otherwise("amount"),
    )
    return changed.unique(["basket_id", "product_id"], keep="first", maintain_order=True)


def serves(shop: Shop) -> None:
    """The live release loads as the service loads it, every byte as it was sealed, and answers a customer."""
    answerer = Answerer.load(shop.home / "releases" / APP / str(shop.live()))
    answer = answerer.answer(Ask(customer_id="c10", k=5))
    assert answer.known_customer and len({item.product_id for item in answer.items}) == 5
    assert answer.rung in ("ensemble", "single"), "not one of the fallbacks"


def test_a_broken_week_stops_the_run_in_one_line(shop: Shop, tiny: Tables, before: Before) -> None:
    version, commit = shop.live(), shop.git("rev-parse", "retrain")
    rows, last = before(tiny["transactions"], 1), pl.col("at") >= AS_OF - timedelta(weeks=2)
    nulls = spoilt(rows, last).with_columns(quantity=pl.when(last).then(None).otherwise("quantity"))
    shop.sells(nulls)
    said = shop.run("flows.retrain", "--reason", "a broken week", status=1)
    (reason,) = [line for line in said.splitlines() if line.startswith("error: validate@transactions")][-1:]
    assert "what was live stays live" in said.splitlines()[-1] and "Traceback" not in said, reason
    assert (shop.live(), shop.git("rev-parse", "retrain")) == (version, commit)
    assert shop.lines()[-1]["outcome"] == "failed" and not any("train" in line for line in said.splitlines()[:-1]
                                                                if line.startswith("done"))  # fmt: skip
    serves(shop)


def test_a_challenger_of_corrupted_data_is_refused(shop: Shop, tiny: Tables, before: Before) -> None:
    version = shop.live()
    shop.sells(spoilt(before(tiny["transactions"], 1), pl.lit(True)))
    said = shop.run("flows.retrain", "--reason", "shuffled and doubled", status=1)
    line = shop.lines()[-1]
    assert line["outcome"] == "refused" and "is refused" in said and "ndcg@10" in line["words"]
    assert shop.live() == version and line["versions"][APP] != version
    assert shop.git("rev-parse", "retrain") == line["commit"], "what was refused can be looked at"
    assert not (shop.home / "releases" / APP / line["versions"][APP]).exists()
    quality = json.loads((shop.home / "retrain" / "work" / "data" / "quality" / "transactions.json").read_text())
    assert "amount_psi" in [finding["name"] for finding in quality["findings"] if not finding["passed"]]
    serves(shop)


def test_a_shift_of_season_goes_through_and_a_flood_does_not(
    shop: Shop, tiny: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the products sell instead of the other half; somebody labels, and clicks, far more than anybody can."""
    clock = shop.root.parent / "clock"
    clock.write_text(NOW.isoformat())
    monkeypatch.setenv("SHOP_HOME", str(shop.home))
    monkeypatch.setenv("SHOP_CLOCK", str(clock))
    store = open_store()
    assert store.append(events()) == 3000
    version = shop.live()
    turned = pl.format(
        "p{}", ((pl.col("product_id").str.slice(1).cast(pl.Int64) + 30) % 60).cast(pl.String).str.zfill(3)
    )
    late = pl.col("at") >= AS_OF - timedelta(weeks=13)
    shop.sells(tiny["transactions"].with_columns(product_id=pl.when(late).then(turned).otherwise("product_id")))
    shop.run("flows.retrain", "--reason", "summer", SHOP_CLOCK=str(clock))
    line = shop.lines()[-1]
    assert line["outcome"] == "released" and shop.live() == line["versions"][APP] != version
    data = shop.home / "retrain" / "work" / "data"
    accepted, quarantined = ids(data / "accepted" / "feedback"), ids(data / "quarantine" / "feedback.parquet")
    assert quarantined == {f"{what}-{number}" for what, n in (("label", 500), ("bot", 2400)) for number in range(n)}
    assert accepted == {f"click-{number}" for number in range(50)} | {f"fair-{number}" for number in range(50)}
    assert stored(store) == accepted | quarantined, "nothing is lost"
    serves(shop)


def events() -> list[Event]:
    """What fifty customers did, and what one source and one bot did."""
    click: dict[str, Any] = {"product_id": "p001", "position": 1}
    found = [Event(f"click-{n}", APP, "click", at(n), click, customer_id=f"c{n}") for n in range(50)]
    found += [Event(f"bot-{n}", APP, "click", at(n % 5), click, customer_id="c60") for n in range(2400)]
    for name, count, by in (("fair", 50, None), ("label", 500, "mallory")):
        labels = [{"subject": f"{name}-{n}", "label": "wrong", "by": by or f"clerk {n}"} for n in range(count)]
        found += [Event(f"{name}-{n}", "support", "correction", at(n), label) for n, label in enumerate(labels)]
    return found


def at(seconds: int) -> datetime:
    return NOW - timedelta(hours=20) + timedelta(minutes=seconds)


def ids(path: Any) -> set[str]:
    return set(pl.read_parquet(path / "part-*.parquet" if path.is_dir() else path)["event_id"])


def stored(store: Store) -> set[str]:
    return {identity for rows in store.rows() for identity in rows["event_id"]}
