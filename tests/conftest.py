"""Tiny generated tables that several test modules share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

N_ITEMS = 20

TRAIN_SCHEMA = {
    "customer": pl.Int32,
    "basket": pl.Int32,
    "item": pl.Int32,
    "days_ago": pl.Float32,
    "weight": pl.Float32,
}


def recommendation_queries(train: pl.DataFrame, candidates: list[int]) -> pl.DataFrame:
    """One query per customer of `train`: the own history, oldest first, and the same candidates for all."""
    past = train.drop_nulls("customer").sort(
        "customer", "days_ago", "basket", "item", descending=[False, True, False, False]
    )
    numbered = past.with_columns(number=pl.col("basket").rle_id().over("customer").cast(pl.Int32))
    return (
        numbered.group_by("customer", maintain_order=True)
        .agg(items="item", days_ago="days_ago", weights="weight", baskets="number")
        .with_columns(
            query=pl.col("customer"),
            customer=pl.col("customer").cast(pl.String),
            candidates=pl.lit(candidates, dtype=pl.List(pl.Int32)),
        )
    )


@pytest.fixture(scope="session")
def checkerboard() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Train table and queries: customers 0, 2, 4, ... buy only even items, the others only odd ones.

    Every customer buys two items a week for six weeks and leaves some items of its colour
    unbought; all items are about equally popular, so only the customer tells the colour.
    """
    random = np.random.default_rng(0)
    rows = []
    for customer in range(40):
        colour = customer % 2
        own = random.permutation(np.arange(colour, N_ITEMS, 2))[:7]
        for week in range(6):
            for item in random.choice(own, 2, replace=False):
                rows.append((customer, customer * 6 + week, item, 7.0 * (6 - week), 1.0))
    train = pl.DataFrame(rows, schema=TRAIN_SCHEMA, orient="row")
    return train, recommendation_queries(train, list(range(N_ITEMS)))


@pytest.fixture(scope="session")
def queries_of() -> Callable[[pl.DataFrame, list[int]], pl.DataFrame]:
    """`recommendation_queries`, for tests that make their own train table."""
    return recommendation_queries


AS_OF = datetime(2025, 7, 1, tzinfo=UTC)
N_CUSTOMERS, N_PRODUCTS, N_WEEKS = 60, 60, 20


def tiny_tables() -> dict[str, pl.DataFrame]:
    """Customers who rebuy five staples each in a rhythm of their own, and one of a popular few."""
    random = np.random.default_rng(0)
    rows = []
    for customer in range(N_CUSTOMERS):
        staples, rhythm = random.choice(N_PRODUCTS, 5, replace=False), random.integers(1, 4, 5)
        for week in range(N_WEEKS):
            bought = {int(item) for item, every in zip(staples, rhythm, strict=True) if week % every == 0}
            bought.add(int(random.zipf(1.5)) % 20)
            at = AS_OF - timedelta(days=7 * (N_WEEKS - week), hours=-int(random.integers(1, 24)))
            rows += [(f"b{customer}-{week}", f"p{item:03}", f"c{customer}", at) for item in sorted(bought)]
    transactions = pl.DataFrame(rows, schema=["basket_id", "product_id", "customer_id", "at"], orient="row")
    numbers = range(N_PRODUCTS)
    products = pl.DataFrame(
        {
            "product_id": [f"p{number:03}" for number in numbers],
            "title": [f"Product {number}" for number in numbers],
            "category": [f"Category {number % 6}" for number in numbers],
            "department": [f"Department {number % 2}" for number in numbers],
            "brand": [f"Brand {number % 5}" for number in numbers],
            "price": [1.0 + number % 7 for number in numbers],
            "active": [True for _ in numbers],
        }
    )
    return {
        "transactions": transactions.with_columns(quantity=pl.lit(1.0), amount=pl.lit(2.0)),
        "products": products,
    }


@pytest.fixture(scope="session")
def tiny() -> dict[str, pl.DataFrame]:
    """The tables of a shop with sixty customers."""
    return tiny_tables()
