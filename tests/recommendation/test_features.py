"""Featurise on tables made by hand: who is asked, what is true, what counts as a purchase."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from components.core.errors import DataError
from components.core.splits import fold_table
from components.recommendation.features.folds import FeatureParams, coded_events, featurise, make_catalogue, train_table

AS_OF = datetime(2025, 7, 1, tzinfo=UTC)
PARAMS = {"split": {"horizon_days": 7, "oof_folds": 1, "anonymous_queries": 0}, "features": {}}


def bought(customer: str | None, product: str, days_ago: float, quantity: float = 1.0) -> dict[str, object]:
    basket = f"{customer}-{days_ago}"
    at = AS_OF - timedelta(days=days_ago)
    return {"basket_id": basket, "product_id": product, "customer_id": customer, "at": at, "quantity": quantity}


def tables(rows: list[dict[str, object]]) -> dict[str, pl.LazyFrame]:
    listed = pl.LazyFrame({"product_id": ["a", "b", "c", "unsold"], "title": ["A", "B", None, "New"]})
    return {"transactions": pl.LazyFrame(rows, schema_overrides={"customer_id": pl.String}), "products": listed}


def test_the_first_basket_after_the_cutoff_is_the_truth(tmp_path: Path) -> None:
    rows = [bought("ann", "a", 60), bought("ann", "b", 5), bought("ann", "c", 3), bought("bob", "c", 2)]
    featurise(tables(rows), AS_OF.isoformat(), PARAMS, tmp_path)
    queries, truth = fold_table(tmp_path, "test", "queries"), fold_table(tmp_path, "test", "truth")
    by_customer = {row["customer_id"]: row for row in queries.iter_rows(named=True)}
    catalogue = pl.read_parquet(tmp_path / "catalogue.parquet")
    named = dict(zip(catalogue["item"], catalogue["product_id"], strict=True))
    true = {(row["query"], named[row["item"]]) for row in truth.iter_rows(named=True)}
    assert true == {(by_customer["ann"]["query"], "b"), (by_customer["bob"]["query"], "c")}
    assert by_customer["ann"]["audience"] == "known" and by_customer["bob"]["audience"] == "new"
    assert [named[item] for item in by_customer["ann"]["items"]] == ["a"]
    assert by_customer["ann"]["days_ago"] == [53.0], "measured from the cut-off, seven days before the end"
    assert fold_table(tmp_path, "test", "train")["item"].to_list() == by_customer["ann"]["items"]


def test_products_never_sold_and_never_listed_are_in_the_catalogue() -> None:
    catalogue = make_catalogue(tables([bought("ann", "ghost", 3)]))
    rows = {row["product_id"]: row for row in catalogue.iter_rows(named=True)}
    assert set(rows) == {"a", "b", "c", "unsold", "ghost"}
    assert rows["c"]["title"] == "c" and rows["ghost"]["active"] is True
    assert catalogue["item"].to_list() == list(range(5)) and catalogue["product_id"].is_sorted()


def test_returns_are_no_purchases_and_behaviour_counts_less() -> None:
    shop = tables([bought("ann", "a", 9), bought("ann", "b", 9, quantity=-1)])
    at = AS_OF - timedelta(days=4)
    shop["behaviour"] = pl.LazyFrame({
        "event_id": ["1", "2", "3"], "session_id": ["s"] * 3, "customer_id": ["ann"] * 3,
        "product_id": ["c", "c", None], "kind": ["view", "cart", "search"], "at": [at] * 3,
    })  # fmt: skip
    events = coded_events(shop, make_catalogue(shop), FeatureParams())
    assert sorted(zip(events["item"], events["weight"], strict=True)) == [
        (0, 1.0), (2, pytest.approx(0.1)), (2, 0.5)
    ]  # fmt: skip


def test_an_event_is_told_nothing_of_what_followed_it_in_its_session() -> None:
    shop = tables([bought("ann", "a", 200), bought("ann", "a", 1)])
    shop["behaviour"] = pl.LazyFrame({
        "event_id": ["1", "2"], "session_id": ["s", "s"], "customer_id": [None, "ann"], "product_id": ["c", "c"],
        "kind": ["view", "cart"], "at": [AS_OF - timedelta(days=60), AS_OF - timedelta(days=2)],
    })  # fmt: skip
    events = coded_events(shop, make_catalogue(shop), FeatureParams())
    before = train_table(events, AS_OF - timedelta(days=30)).filter(pl.col("item") == 2)
    assert before["weight"].to_list() == [pytest.approx(0.1)] and before["customer"].to_list() == [None]


def test_a_basket_is_never_split_by_a_cutoff() -> None:
    shop = tables([bought("ann", "a", 9), {**bought("ann", "b", 9), "at": AS_OF - timedelta(days=8.9)}])
    events = coded_events(shop, make_catalogue(shop), FeatureParams())
    assert events["at"].unique().to_list() == [AS_OF - timedelta(days=8.9)]


def test_anonymous_queries_split_one_basket_in_two(tmp_path: Path) -> None:
    rows = [bought("ann", product, 60) for product in "ab"]
    rows += [bought(None, product, 2) for product in ("a", "b", "c", "unsold")]
    params = PARAMS | {"split": PARAMS["split"] | {"anonymous_queries": 5}}
    featurise(tables(rows), AS_OF.isoformat(), params, tmp_path)
    (query,) = fold_table(tmp_path, "test", "queries").filter(audience="anonymous").iter_rows(named=True)
    truth = fold_table(tmp_path, "test", "truth").filter(query=query["query"])["item"].to_list()
    assert len(query["items"]) == len(truth) == 2 and not set(query["items"]) & set(truth)


def test_a_shop_without_purchases_is_told_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="quality"):
        featurise(tables([bought("ann", "a", 3, quantity=-1)]), AS_OF.isoformat(), PARAMS, tmp_path)
