"""Series from sold lines: the shop's best sellers, or its categories in each of its largest stores.

Units are net of the returns that are among the lines (validate sets returns aside, so that usually none are)
and never below 0. A period without a line is zero from the first sale on, and unknown before it; a product
that is sold no more goes on as zeros, because nothing in the lines tells a product without buyers from one
that was taken off the shelf. Without a products table nothing is known of a product but its id.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from components.core.errors import DataError, MissingTable
from components.demand.features.series import Grid, Level, Series, matrix

N_STORES = 50  # the largest ones, whose categories are series
FEWEST = 2  # units a period, on the mean, of a category in a store that is a series
TEXTS = ("title", "category", "department", "brand")


def from_transactions(
    tables: Mapping[str, pl.LazyFrame], grid: Grid, level: Level, timezone: str, chosen_until: int, most: int
) -> Series:
    """Series of one level; for `product` the `most` best sellers of the first `chosen_until` periods.

    For `category_store` those of the N_STORES largest stores that sold at least FEWEST units a period until then.

    Raises:
        MissingTable: `category_store` without a products table.
        DataError: `category_store` where no line names its store, or no series of the level sold enough.
    """
    keys = ["product_id"] if level == "product" else ["category", "store_id"]
    cells = _cells(_lines(tables, grid, level, timezone), keys, grid)
    early = cells.filter(pl.col("period") < chosen_until).group_by(keys).agg(pl.col("units").sum())
    kept = _best_sellers(early, most) if level == "product" else _large_categories(early, chosen_until)
    if kept.is_empty():
        raise DataError(
            f"expected at least one series of the level {level} that sold before {grid.day(chosen_until)}, got none; "
            "see demand.features.levels in params.yaml, and data/quality for what was refused"
        )
    named = _named(kept.sort(keys), tables, level)
    coded = cells.join(named.select(*keys, "row"), on=keys)
    units = matrix(coded, "units", (named.height, grid.length))
    sold = units > 0
    begun = np.maximum.accumulate(sold, axis=1)
    price = matrix(coded.with_columns(price=pl.col("amount") / pl.col("paid")), "price", units.shape)
    return Series(
        grid,
        named.drop("row"),
        np.where(begun, np.nan_to_num(np.maximum(units, 0)), np.nan).astype(np.float32),
        past={"price": np.where(sold & (price > 0), price, np.nan).astype(np.float32)},
    )


def _lines(tables: Mapping[str, pl.LazyFrame], grid: Grid, level: Level, timezone: str) -> pl.LazyFrame:
    """Lines with the period of the shop's own time in which they were sold and, where it matters, their category."""
    day = pl.col("at").dt.convert_time_zone(timezone).dt.date()
    lines = tables["transactions"].with_columns(period=grid.place(day))
    if level == "product":
        return lines
    if "products" not in tables:
        raise MissingTable(
            "demand.features.levels: category_store needs the table products, which says what a category is, and "
            "sources has it not; see docs/data.md, or ask for the level product alone"
        )
    if not _any_store(lines):
        raise DataError(
            "demand.features.levels: expected transactions with a store_id for category_store, got none; name its "
            "column under sources.transactions.columns, or ask for the level product alone"
        )
    categories = tables["products"].select("product_id", "category").unique("product_id", keep="first")
    return lines.join(categories, on="product_id", how="left")


def _any_store(lines: pl.LazyFrame) -> bool:
    if "store_id" not in lines.collect_schema().names():
        return False
    return bool(lines.select(pl.col("store_id").count()).collect(engine="streaming").item())


def _cells(lines: pl.LazyFrame, keys: list[str], grid: Grid) -> pl.DataFrame:
    """The keys, period, units, amount and the units `paid` by it: one row where anything was sold in a whole period."""
    paid = pl.col("quantity").filter(pl.col("amount").is_not_null()).sum()  # some lines may not say what they cost
    sums = lines.group_by(*keys, "period").agg(units=pl.col("quantity").sum(), amount=pl.col("amount").sum(), paid=paid)
    cells = sums.drop_nulls(keys).collect(engine="streaming")
    return cells.filter(pl.col("period").is_between(0, grid.length - 1))


def _best_sellers(early: pl.DataFrame, most: int) -> pl.DataFrame:
    return early.sort("units", "product_id", descending=[True, False]).head(most).select("product_id")


def _large_categories(early: pl.DataFrame, n_periods: int) -> pl.DataFrame:
    stores = early.group_by("store_id").agg(pl.col("units").sum()).sort("units", "store_id", descending=[True, False])
    kept = early.join(stores.head(N_STORES), on="store_id", how="semi").filter(pl.col("units") >= FEWEST * n_periods)
    return kept.select("category", "store_id")


def _named(keys: pl.DataFrame, tables: Mapping[str, pl.LazyFrame], level: Level) -> pl.DataFrame:
    """One row per series with its id, title and what its product is."""
    products = _products(tables)
    if level == "product":
        named = keys.join(products, on="product_id", how="left", maintain_order="left")
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


def _products(tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """product_id and its texts, null where a shop keeps none of them; no row without a products table."""
    if "products" not in tables:
        return pl.DataFrame(schema=dict.fromkeys(("product_id", *TEXTS), pl.String))
    products = tables["products"].unique("product_id", keep="first").collect()
    absent = [pl.lit(None, pl.String).alias(name) for name in TEXTS if name not in products.columns]
    return products.with_columns(absent).select("product_id", *TEXTS)
