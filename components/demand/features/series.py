"""Series of units per period over one grid of periods, with what is known of each; and those of a `sales` table.

Weeks begin on Mondays in the shop's time zone; a first week that the data does not cover whole is left out.
In a `sales` table a period without a row is unknown, since only the shop knows whether it was open; units below
0 (more came back than was sold) count as 0. Rows finer than the period are brought to it: units are added up over
the days that have a row, and unknown where one of these days is; covariates and weights are means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from components.core.errors import DataError

Level = Literal["product", "category_store"]
STATICS = ("department", "category", "brand", "level")
TEXTS = ("title", "product_id", "category", "store_id", "department", "brand")  # what a series is of


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
    weight   (n, length) what a unit of error counts for, or None; truth only: nothing is fitted by it
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


def first_day(sales: pl.LazyFrame, earliest: date, period: Literal["week", "day"]) -> date:
    """The day on which a `sales` table begins to be whole, given its earliest one.

    A row that stands for a week tells all of it, whichever of its days names it.
    Raises DataError where rows stand for more than a period each, since nobody can tell what was sold when within.
    """
    step = _row_days(sales)
    if step > (7 if period == "week" else 1):
        remedy = "set it to week" if step == 7 else "give one row per week or day"
        raise DataError(
            f"demand.features.period: expected a row of sales for every {period} (or finer), got one every {step} "
            f"days; {remedy}"
        )
    return earliest - timedelta(days=earliest.weekday()) if step == 7 else earliest


def _row_days(sales: pl.LazyFrame) -> int:
    """Days from row to row, the commonest of the series with most rows, as collect reads it too; 1 where unknown."""
    longest = sales.group_by("series_id").len().sort("len", "series_id", descending=[True, False]).head(1)
    days = sales.join(longest, on="series_id", how="semi").select(pl.col("at").cast(pl.Date).unique().sort())
    steps = days.select(pl.col("at").diff().dt.total_days().drop_nulls().mode().sort()).collect().to_series()
    return int(steps[0]) if len(steps) else 1


def from_sales(sales: pl.LazyFrame, grid: Grid, known: tuple[str, ...], beyond: int) -> Series:
    """Series as the shop keeps them: units are y; other numeric columns are covariates, past ones unless `known`."""
    frame = sales.with_columns(period=grid.place(pl.col("at"))).collect()
    frame = frame.filter(pl.col("period") >= 0)
    named = _described(frame)
    fixed = {"series_id", "at", "y", "weight", "period", *TEXTS}
    numeric = [
        name for name, kind in frame.schema.items() if name not in fixed and (kind.is_numeric() or kind == pl.Boolean)
    ]
    absent = [name for name in known if name not in numeric]
    if absent:
        raise DataError(
            f"demand.features.known: expected columns of sales ({', '.join(numeric)}), got {', '.join(absent)}"
        )
    weights = ["weight"] if "weight" in frame.columns and frame["weight"].count() else []
    coded = _by_period(frame, [*numeric, *weights]).join(named.select("series_id", "row"), on="series_id")
    shape, wide = (named.height, grid.length), (named.height, grid.length + beyond)
    return Series(
        grid,
        named.drop("row"),
        np.maximum(matrix(coded, "y", shape), 0),
        {name: matrix(coded, name, wide) for name in known},
        {name: matrix(coded, name, shape) for name in numeric if name not in known},
        matrix(coded, "weight", shape) if weights else None,
    )


def _described(frame: pl.DataFrame) -> pl.DataFrame:
    """row, series_id and what the first row that says so calls it, null where none does: one row per series."""
    texts = [pl.col(name).drop_nulls().first() if name in frame.columns else pl.lit(None, pl.String).alias(name)
             for name in TEXTS]  # fmt: skip
    named = frame.group_by("series_id").agg(texts).sort("series_id")
    named = named.with_columns(pl.coalesce("title", "series_id").alias("title"), level=pl.lit("sales"))
    return named.with_row_index("row")


def _by_period(frame: pl.DataFrame, means: list[str]) -> pl.DataFrame:
    """One row per series and period: the sum of y, unknown where one of its rows is, and means of the others."""
    known = pl.col("y").is_not_null().all()
    units = pl.when(known).then(pl.col("y").sum())
    return frame.group_by("series_id", "period", maintain_order=True).agg(units.alias("y"), pl.col(means).mean())


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
    """(n,) code of each series' category and store; a series of unknown category is alone in one."""
    group = pl.struct("category", "store_id").rank("dense").cast(pl.Int64) - 1
    codes = series.table.select(group).to_series().to_numpy().copy()
    unknown = series.table["category"].is_null().to_numpy()
    codes[unknown] = len(codes) + np.arange(unknown.sum())
    return codes


def matrix(cells: pl.DataFrame, column: str, shape: tuple[int, int]) -> np.ndarray:
    """(n, periods) float32 of cells with row, period and a value; NaN where there is none."""
    inside = cells.filter(pl.col("period") < shape[1]).drop_nulls(column)
    array = np.full(shape, np.nan, np.float32)
    array[inside["row"].to_numpy(), inside["period"].to_numpy()] = inside[column].cast(pl.Float32).to_numpy()
    return array
