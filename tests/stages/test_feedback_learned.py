"""What feedback adds to what models learn from: orders once, the end of the data, nothing where it says nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from components.core.artifacts import folder_checksums, read_json
from components.feedback.events import Event
from components.recommendation.features.histories import Histories
from components.stages.collect import collect, keep_reference
from components.stages.featurise import featurise
from components.stages.validate import validate

Send = Callable[..., None]


def event(event_id: str, at: datetime, kind: str = "purchase", **other: Any) -> Event:
    said: dict[str, Any] = {"application": "recommendation", "payload": {"product_id": "p001"}} | other
    return Event(event_id, at=at, kind=kind, **said)  # type: ignore[arg-type]


DAY_1 = datetime(2025, 7, 1, 9, tzinfo=UTC)
PARAMS = {
    "recommendation": {
        "split": {"horizon_days": 14, "oof_folds": 1, "anonymous_queries": 5},
        "features": {"pool": {"n_popular": 15, "n_neighbours": 10}},
    }
}


def featurised(tiny: dict[str, pl.DataFrame], *tables: str) -> Path:
    """Collect, validate and featurise the tiny shop; the features' folder."""
    for name in ("products", "transactions"):
        tiny[name].write_parquet(f"files/{name}.parquet")
    Path("files/products.csv").unlink(missing_ok=True)
    params = yaml.safe_load(Path("params.yaml").read_text()) | PARAMS | {"timezone": "UTC"}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for table in ("products", "transactions", "impressions", "feedback"):
        collect(table)
        validate(table)
    featurise("recommendation")
    return Path("data/recommendation/features")


def history(features: Path, customer: str) -> set[str]:
    """Products in a customer's history as the service starts from."""
    catalogue = pl.read_parquet(features / "catalogue.parquet")
    place = pl.read_parquet(features / "now/histories/customers.parquet")["customer_id"].to_list().index(customer)
    found = Histories.load(features / "now/histories").part(place, place + 1)
    return set(catalogue["product_id"].gather(found.items.tolist()))


def last_order(tiny: dict[str, pl.DataFrame]) -> tuple[pl.DataFrame, Event]:
    """The lines of the shop's newest basket, and the event that tells of them."""
    lines = tiny["transactions"]
    newest = lines.filter(pl.col("basket_id") == lines.sort("at")["basket_id"][-1]).sort("product_id")
    items = newest.select("product_id", "quantity", "amount").to_dicts()
    first = newest.row(0, named=True)
    known = {"order_id": first["basket_id"], "customer_id": first["customer_id"]}
    return newest, event("order", first["at"], payload={"items": items}, **known)


def test_an_order_that_only_feedback_knows_is_learned_from(tiny: dict[str, pl.DataFrame], send: Send) -> None:
    lines, told = last_order(tiny)
    at = told.at + timedelta(days=2)
    shop = tiny | {"transactions": tiny["transactions"].join(lines, on="basket_id", how="anti")}
    before = history(featurised(shop), told.customer_id or "")
    ended = read_json(Path("data/recommendation/features/data.json"))
    unseen = next(f"p{number:03}" for number in range(60) if f"p{number:03}" not in before)
    bought = {"items": [{"product_id": unseen, "quantity": 1, "amount": 2}]}
    send(at, event("new", at, payload=bought, order_id="n1", customer_id=told.customer_id))
    assert history(featurised(shop), told.customer_id or "") == before | {unseen}
    data = read_json(Path("data/recommendation/features/data.json"))
    day = datetime.fromisoformat(data["as_of"])
    assert day == datetime(at.year, at.month, at.day, tzinfo=UTC) + timedelta(days=1), "the end of the new order's day"
    assert set(data["tables"]) - set(ended["tables"]) == {"feedback"}


def test_an_order_in_the_transactions_counts_once(tiny: dict[str, pl.DataFrame], send: Send) -> None:
    """Told by feedback alone, by the transactions alone, or by both: the folds, and so all figures, are the same."""
    lines, told = last_order(tiny)
    alone = folder_checksums(featurised(tiny))
    send(told.at, told, event("again", told.at + timedelta(hours=1), **_same(told)))
    both = folder_checksums(featurised(tiny))
    shop = tiny | {"transactions": tiny["transactions"].join(lines, on="basket_id", how="anti")}
    by_feedback = folder_checksums(featurised(shop))
    for found in (alone, both, by_feedback):
        found.pop("data.json")
    assert both == alone and by_feedback == alone


def _same(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "payload": event.payload,
        "order_id": event.order_id,
        "customer_id": event.customer_id,
    }


def test_feedback_that_says_nothing_to_learn_from_changes_no_fold(
    tiny: dict[str, pl.DataFrame], send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    alone = folder_checksums(featurised(tiny))
    end = tiny["transactions"]["at"].max()
    assert isinstance(end, datetime)
    stray = end + timedelta(days=200)
    item = {"items": [{"product_id": "p001", "quantity": 1, "amount": 2}]}
    send(stray, event("stray", stray, payload=item, order_id="x1", customer_id="c1"))
    send(end, event("no", end, "dismiss", customer_id="c1"))
    with caplog.at_level(logging.WARNING):
        found = folder_checksums(featurised(tiny))
    assert "1 of 1 lines of orders lie more than 90 days after the end of the table transactions" in caplog.text
    assert {k: v for k, v in found.items() if k != "data.json"} == {k: v for k, v in alone.items() if k != "data.json"}


def test_without_transactions_the_orders_of_feedback_are_the_transactions(
    tiny: dict[str, pl.DataFrame], send: Send
) -> None:
    orders = tiny["transactions"].group_by("basket_id", maintain_order=True).agg(
        pl.col("at").max(), pl.col("customer_id").first(), pl.struct("product_id", "quantity", "amount").alias("items")
    )  # fmt: skip
    events = [
        event(row["basket_id"], row["at"], payload={"items": row["items"]}, order_id=row["basket_id"],
              customer_id=row["customer_id"])
        for row in orders.iter_rows(named=True)
    ]  # fmt: skip
    alone = folder_checksums(featurised(tiny))
    send(max(event.at for event in events), *events)
    params = yaml.safe_load(Path("params.yaml").read_text())
    del params["sources"]["transactions"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for table in ("feedback", "impressions", "transactions"):
        collect(table)
        validate(table)
    featurise("recommendation")
    found = folder_checksums(Path("data/recommendation/features"))
    assert {k: v for k, v in found.items() if k != "data.json"} == {k: v for k, v in alone.items() if k != "data.json"}
    assert read_json(Path("data/collected/transactions/meta.json"))["missing"]


def test_feedback_that_comes_after_a_release_without_any_is_compared_with_nothing(
    tiny: dict[str, pl.DataFrame], send: Send
) -> None:
    featurised(tiny)
    keep_reference("feedback")
    keep_reference("transactions")
    send(DAY_1, event("e1", DAY_1, "click"))
    collect("feedback")
    validate("feedback")
    report = read_json(Path("data/quality/feedback.json"))
    assert report["reference_as_of"] is None and report["accepted"] == 1
    assert [path.name for path in Path("shop/reference").iterdir()] == ["transactions"]
