"""What counts as in stock: the newest count of every branch, and nothing said where nothing was counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from components.recommendation.application import APPLICATION
from components.recommendation.features.folds import make_catalogue

NOW = datetime(2025, 7, 1, tzinfo=UTC)


def in_stock(counts: Sequence[tuple[str | None, float | None, int]]) -> bool:
    """Of product a, from (branch, on_hand, hours ago) in no order; b is never counted."""
    rows = [("a", branch, units, NOW - timedelta(hours=ago)) for branch, units, ago in counts]
    time = pl.Datetime("us", "UTC")
    schema = {"product_id": pl.String(), "store_id": pl.String(), "on_hand": pl.Float64(), "at": time}
    stock = pl.LazyFrame(rows, schema=schema, orient="row")
    products = pl.LazyFrame({"product_id": ["a", "b"], "title": ["A", "B"]})
    sold = pl.LazyFrame({"product_id": ["a", "ghost"]})
    catalogue = make_catalogue({"products": products, "transactions": sold, "stock": stock})
    assert catalogue["product_id"].to_list() == ["a", "b", "ghost"]
    found = dict(catalogue.select("product_id", "in_stock").iter_rows())
    assert found["b"] and found["ghost"], "what is not counted is not known to be gone"
    return bool(found["a"])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([("s1", 3.0, 1)], True),
        ([("s1", 0.0, 1)], False),
        ([("s1", 0.0, 1), ("s1", 9.0, 30)], False),  # the newest count holds
        ([("s1", 9.0, 1), ("s1", 0.0, 30)], True),
        ([("s1", 0.0, 1), ("s2", 2.0, 1)], True),  # another branch has it
        ([("s1", -5.0, 1), ("s2", 2.0, 1)], True),  # oversold in one branch is not gone from the other
        ([("s1", -5.0, 1)], False),
        ([(None, 0.0, 2), (None, 4.0, 40)], False),  # a shop without branches
        ([("s1", 0.0, 2), ("s1", None, 1)], False),  # a count that was not taken is none
        ([], True),
    ],
)
def test_the_newest_counts_of_all_branches_decide(
    counts: Sequence[tuple[str | None, float | None, int]], expected: bool
) -> None:
    assert in_stock(counts) is expected


def test_a_shop_without_the_table_has_everything() -> None:
    tables = {"products": pl.LazyFrame({"product_id": ["a"], "title": ["A"]})}
    tables["transactions"] = pl.LazyFrame({"product_id": ["a"]})
    assert make_catalogue(tables)["in_stock"].to_list() == [True]


def test_the_featurise_stage_passes_the_table_on() -> None:
    assert "stock" in APPLICATION.optional
