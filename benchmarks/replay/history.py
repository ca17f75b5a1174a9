"""The weeks that are replayed: a shop's recorded purchases, cut into weeks of its own time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import yaml

from components.sources.completejourney import WEEK_1, CompleteJourney, CompleteJourneyParams

HERE = Path(__file__).parent
WEEK = timedelta(days=7)
SMALL_MONDAY = date(2025, 1, 6)


@dataclass(frozen=True, slots=True)
class Basket:
    """One purchase as it happened; `lines` are (product_id, quantity, amount)."""

    basket_id: str
    customer_id: str
    at: datetime
    lines: list[tuple[str, float, float]]


@dataclass(frozen=True, slots=True)
class History:
    """Recorded purchases of a shop and the parameters under which they are replayed.

    name     of the data
    tables   products, and transactions with `week`, the Monday of the row in the shop's own time
    params   params.yaml of every arm
    monday   of week 1
    trained  the last week that the first release learns from
    last     the last week that is replayed
    """

    name: str
    products: pl.DataFrame
    transactions: pl.DataFrame
    params: dict[str, Any]
    monday: date
    trained: int
    last: int

    def starts(self, week: int) -> date:
        """The Monday of week `week`; week 1 is the first."""
        return self.monday + (week - 1) * WEEK

    def midnight(self, day: date) -> datetime:
        """When a day of the shop begins, UTC."""
        return datetime.combine(day, datetime.min.time(), ZoneInfo(self.params["timezone"])).astimezone(UTC)

    def before(self, week: int) -> pl.DataFrame:
        """Transactions of the weeks before `week`, as the shop's nightly export has them."""
        return self.transactions.filter(pl.col("week") < self.starts(week)).drop("week")

    def days(self, week: int) -> Iterator[tuple[datetime, list[Basket]]]:
        """For each day of the week its end (UTC) and its baskets in the order in which they happened."""
        rows = self.transactions.filter(pl.col("week") == self.starts(week), pl.col("customer_id").is_not_null())
        found = [_basket(*row) for row in _grouped(rows).iter_rows()]
        for number in range(7):
            begins, ends = (self.midnight(self.starts(week) + timedelta(days=number + more)) for more in (0, 1))
            yield ends, [basket for basket in found if begins <= basket.at < ends]

    def units(self, week: int, series: list[str]) -> dict[str, float]:
        """Units sold of each series in the week; what nobody bought sold 0."""
        rows = self.transactions.filter(pl.col("week") == self.starts(week), pl.col("quantity") > 0)
        sold = dict(rows.group_by("product_id").agg(pl.col("quantity").sum()).iter_rows())
        return {one: float(sold.get(one, 0.0)) for one in series}


def _grouped(rows: pl.DataFrame) -> pl.DataFrame:
    lines = pl.struct("product_id", "quantity", "amount")
    bought = rows.filter(pl.col("quantity") > 0).sort("at", "basket_id", "product_id")
    return (
        bought.group_by("basket_id", maintain_order=True)
        .agg(pl.col("customer_id").first(), pl.col("at").max(), lines=lines)
        .sort("at", "basket_id")
    )


def _basket(basket_id: str, customer_id: str, at: datetime, lines: list[dict[str, Any]]) -> Basket:
    rows = [(line["product_id"], line["quantity"], line["amount"]) for line in lines]
    return Basket(basket_id, customer_id, at, rows)


def complete_journey(households: int = 800) -> History:
    """The default data: weeks 31 to 53 of 2017, for the households whose ids hash lowest."""
    source = CompleteJourneyParams(kind="completejourney")
    products = CompleteJourney("products", source).read().collect()
    everyone = CompleteJourney("transactions", source).read().collect()
    chosen = everyone.select(pl.col("customer_id").unique()).drop_nulls().sort(pl.col("customer_id").hash(0))
    rows = everyone.join(chosen.head(households), on="customer_id", how="semi")
    params = yaml.safe_load((HERE / "complete_journey.yaml").read_text(encoding="utf-8"))
    return History("complete_journey", products, _with_week(rows, params["timezone"]), params, WEEK_1, 30, 53)


def small(weeks: int = 3) -> History:
    """A generated shop of sixty customers with rhythms of their own, whose taste changes in the replayed weeks."""
    random, trained = np.random.default_rng(0), 20
    rows = list(_small_rows(random, trained + weeks, trained))
    lines = pl.DataFrame(rows, schema=["basket_id", "product_id", "customer_id", "at"], orient="row")
    lines = lines.with_columns(quantity=pl.lit(1.0), amount=pl.lit(2.0), store_id=pl.lit("1"))
    products = pl.DataFrame(
        {
            "product_id": [f"p{number:03}" for number in range(60)],
            "title": [f"Product {number}" for number in range(60)],
            "category": [f"Category {number % 6}" for number in range(60)],
            "department": [f"Department {number % 2}" for number in range(60)],
        }
    )
    params = yaml.safe_load((HERE / "small.yaml").read_text(encoding="utf-8"))
    transactions = _with_week(lines, params["timezone"])
    return History("small", products, transactions, params, SMALL_MONDAY, trained, trained + weeks)


def _small_rows(random: np.random.Generator, weeks: int, changed: int) -> Iterator[tuple[str, str, str, datetime]]:
    monday = datetime.combine(SMALL_MONDAY, datetime.min.time(), UTC)
    for customer in range(60):
        staples, rhythm = random.choice(60, 5, replace=False), random.integers(1, 4, 5)
        for week in range(weeks):
            at = monday + timedelta(weeks=week, days=int(random.integers(0, 7)), hours=int(random.integers(8, 20)))
            due = [(int(item) + 7 * (week >= changed)) % 60 for item, every in zip(staples, rhythm, strict=True)
                   if week % every == 0]  # fmt: skip
            for item in sorted({*due, int(random.zipf(1.5)) % 20}):
                yield f"b{customer}-{week}", f"p{item:03}", f"c{customer}", at


def _with_week(rows: pl.DataFrame, timezone: str) -> pl.DataFrame:
    day = pl.col("at").dt.convert_time_zone(timezone).dt.date()
    return rows.with_columns(at=pl.col("at").cast(pl.Datetime("us", "UTC")), week=day.dt.truncate("1w"))
