"""From sold lines to series: units per product (or category and store) and period, and what is known of each.

Weeks begin on Mondays in the shop's time zone; a first week that the data does not cover whole is left
out. Units are net of returns and never below 0. From transactions, a period without a line is zero from
the first sale on, and unknown before it; a product that is sold no more goes on as zeros, because
nothing in the lines tells a product without buyers from one that was taken off the shelf. In a `sales`
table a period without a row is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from components.core.errors import DataError

Level = Literal["product", "category_store"]
STATICS = ("department", "category", "brand", "level")


@dataclass(frozen=True)
class Grid:
    """Periods side by side: the first day of the first one, their length, and how many are past."""

    start: date
    period_days: int
    length: int

    def day(self, period: int) -> date:
        """First day of a period, counted from 0; may lie in the future."""
        return self.start + timedelta(days=self.period_days * period)

    def place(self, day: pl.Expr) -> pl.Expr:
        """The period in which a date falls; below 0 before the grid starts."""
        days = (day.cast(pl.Date) - pl.lit(self.start)).dt.total_days()
        return days.floordiv(self.period_days).cast(pl.Int32)


@dataclass(frozen=True)
class Series:
    """All series over the whole grid.

    table    series_id, title, product_id, category, store_id, department, brand, level: one row per series
    y        (n, length) float32 units, NaN = unknown
    known    name -> (n, length + beyond) covariates known in advance
    past     name -> (n, length) covariates known only afterwards
    weight   (n, length) what a unit of error counts for, or None
    codes    static -> (n,) int32, dense by alphabetical order, -1 = unknown; made of `table` unless given
    """

    grid: Grid
    table: pl.DataFrame
    y: np.ndarray
    known: dict[str, np.ndarray] = field(default_factory=dict)
    past: dict[str, np.ndarray] = field(default_factory=dict)
    weight: np.ndarray | None = None
    codes: dict[str, pl.Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in STATICS if not self.codes else ():
            self.codes[name] = (self.table[name].rank("dense").cast(pl.Int32) - 1).fill_null(-1)

    def rows(self, chosen: np.ndarray) -> Series:
        """The series at these row numbers."""
        return Series(
            self.grid,
            self.table[chosen],
            self.y[chosen],
            {name: values[chosen] for name, values in self.known.items()},
            {name: values[chosen] for name, values in self.past.items()},
            None if self.weight is None else self.weight[chosen],
            {name: column[chosen] for name, column in self.codes.items()},
        )


def grid_of(start: datetime, stop: datetime, period: Literal["week", "day"]) -> Grid:
    """Whole periods between two moments of the shop's own clock; raises DataError where there is none."""
    if period == "day":
        whole = Grid(start.date(), 1, (stop.date() - start.date()).days)
    else:
        monday = start.date() + timedelta(days=-start.weekday() % 7)
        whole = Grid(monday, 7, (stop.date() - monday).days // 7)
    if whole.length < 1:
        raise DataError(f"expected at least one whole {period} of sales, got {start.date()} to {stop.date()}")
    return whole


def from_transactions(
    tables: Mapping[str, pl.LazyFrame], grid: Grid, level: Level, timezone: str, chosen_until: int, most: int
) -> Series:
    """Series of one level; for `product` the `most` best sellers of the first `chosen_until` periods.

    For `category_store` those of the 50 largest stores that sold at least one unit a period until then.
    """
    lines = _lines(tables, grid, timezone)
    keys = ["product_id"] if level == "product" else ["category", "store_id"]
    cells = (
        lines.group_by(*keys, "period")
        .agg(units=pl.col("quantity").sum(), amount=pl.col("amount").sum())
        .drop_nulls(keys)
        .collect(engine="streaming")
        .filter(pl.col("period").is_between(0, grid.length - 1))
    )
    early = cells.filter(pl.col("period") < chosen_until).group_by(keys).agg(pl.col("units").sum())
    if level == "product":
        kept = early.sort("units", *keys, descending=[True, False]).head(most).select(keys)
    else:
        stores = early.group_by("store_id").agg(pl.col("units").sum()).sort("units", "store_id", descending=True)
        kept = early.join(stores.head(50), on="store_id", how="semi").filter(pl.col("units") >= chosen_until)
        kept = kept.select(keys)
    named = _named(kept.sort(keys), tables, level)
    coded = cells.join(named.select(*keys, "row"), on=keys)
    units = _matrix(coded, "units", (named.height, grid.length))
    sold = units > 0
    begun = np.maximum.accumulate(sold, axis=1)
    price = _matrix(coded.with_columns(price=pl.col("amount") / pl.col("units")), "price", units.shape)
    return Series(
        grid,
        named.drop("row"),
        np.where(begun, np.nan_to_num(np.maximum(units, 0)), np.nan).astype(np.float32),
        past={"price": np.where(sold & (price > 0), price, np.nan).astype(np.float32)},
    )


def from_sales(sales: pl.LazyFrame, grid: Grid, known: tuple[str, ...], beyond: int) -> Series:
    """Series as the shop keeps them: units are y; other numeric columns are covariates, past ones unless `known`."""
    frame = sales.with_columns(period=grid.place(pl.col("at"))).collect()
    frame = frame.filter(pl.col("period") >= 0)
    columns = ("title", "product_id", "category", "store_id", "department", "brand")
    texts = [pl.col(name).drop_nulls().first() if name in frame.columns else pl.lit(None, pl.String).alias(name)
             for name in columns]  # fmt: skip
    named = frame.group_by("series_id").agg(texts).sort("series_id")
    named = named.with_columns(pl.coalesce("title", "series_id").alias("title"), level=pl.lit("sales"))
    named = named.with_row_index("row")
    coded = frame.join(named.select("series_id", "row"), on="series_id")
    shape, wide = (named.height, grid.length), (named.height, grid.length + beyond)
    fixed = {"series_id", "at", "y", "weight", "period", "row", *columns}
    numeric = [
        name for name, kind in coded.schema.items() if name not in fixed and (kind.is_numeric() or kind == pl.Boolean)
    ]
    absent = [name for name in known if name not in numeric]
    if absent:
        raise DataError(
            f"demand.features.known: expected columns of sales ({', '.join(numeric)}), got {', '.join(absent)}"
        )
    weight = _matrix(coded, "weight", shape) if "weight" in coded.columns and coded["weight"].count() else None
    return Series(
        grid,
        named.drop("row"),
        np.maximum(_matrix(coded, "y", shape), 0),
        {name: _matrix(coded, name, wide) for name in known},
        {name: _matrix(coded, name, shape) for name in numeric if name not in known},
        weight,
    )


def stacked(parts: list[Series]) -> Series:
    """Several levels as one; a covariate that a level lacks is NaN there."""
    first = parts[0]
    if len(parts) == 1:
        return first

    def joined(kind: str) -> dict[str, np.ndarray]:
        blocks = [getattr(part, kind) for part in parts]
        names = dict.fromkeys(name for block in blocks for name in block)
        width = max((values.shape[1] for block in blocks for values in block.values()), default=0)
        empty = [np.full((len(part.y), width), np.nan, np.float32) for part in parts]
        pairs = list(zip(blocks, empty, strict=True))
        return {name: np.concatenate([block.get(name, blank) for block, blank in pairs]) for name in names}

    return Series(
        first.grid,
        pl.concat([part.table for part in parts], how="diagonal_relaxed"),
        np.concatenate([part.y for part in parts]),
        joined("known"),
        joined("past"),
    )


def categories_of(series: Series) -> np.ndarray:
    """(n,) code of each series' category and store; an unknown category is one of its own."""
    named = series.table.select(pl.struct("category", "store_id").rank("dense").cast(pl.Int64) - 1)
    return named.to_series().to_numpy()


def _lines(tables: Mapping[str, pl.LazyFrame], grid: Grid, timezone: str) -> pl.LazyFrame:
    lines = tables["transactions"].with_columns(period=_period(grid, timezone))
    categories = tables["products"].select("product_id", "category").unique("product_id", keep="first")
    return lines.join(categories, on="product_id", how="left")


def _period(grid: Grid, timezone: str) -> pl.Expr:
    return grid.place(pl.col("at").dt.convert_time_zone(timezone).dt.date())


def _named(keys: pl.DataFrame, tables: Mapping[str, pl.LazyFrame], level: Level) -> pl.DataFrame:
    """One row per series with its id, title and what its product is."""
    products = tables["products"].unique("product_id", keep="first").collect()
    texts = ("title", "category", "department", "brand")
    absent = [pl.lit(None, pl.String).alias(name) for name in texts if name not in products.columns]
    products = products.with_columns(absent)
    if level == "product":
        named = keys.join(products.select("product_id", *texts), on="product_id", how="left", maintain_order="left")
        named = named.with_columns(series_id="product_id", store_id=pl.lit(None, pl.String))
        named = named.with_columns(title=pl.coalesce("title", "product_id"))
    else:
        departments = products.group_by("category").agg(pl.col("department").mode().sort().first())
        named = keys.join(departments, on="category", how="left", maintain_order="left").with_columns(
            series_id=pl.concat_str("category", "store_id", separator=" | "),
            title=pl.format("{}, store {}", "category", "store_id"),
            product_id=pl.lit(None, pl.String), brand=pl.lit(None, pl.String),
        )  # fmt: skip
    return named.select(
        "series_id", "title", "product_id", "category", "store_id", "department", "brand", level=pl.lit(level)
    ).with_row_index("row")


def _matrix(cells: pl.DataFrame, column: str, shape: tuple[int, int]) -> np.ndarray:
    """(n, periods) float32 of cells with row, period and a value; NaN where there is none."""
    inside = cells.filter(pl.col("period") < shape[1]).drop_nulls(column)
    array = np.full(shape, np.nan, np.float32)
    array[inside["row"].to_numpy(), inside["period"].to_numpy()] = inside[column].cast(pl.Float32).to_numpy()
    return array
