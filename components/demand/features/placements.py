"""What is known in advance of a series' periods: placements in mailer and display, planned price, campaigns.

A placement counts as the share of the shop's stores that have it, in that period (weighing stores by their
sales was no better); for a category in one store, as the share of the category's products there. A product in
one store has it or has it not, and a category in all stores its share of products and stores. The most
frequent codes of a placement have columns of their own, and so has what the rivals in the same category
have. A placement holds on every day of its week. A period of which the promotions table says nothing has none.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl

from components.demand.features.series import Grid, Series, categories_of

log = logging.getLogger(__name__)

PLACEMENTS = ("mailer", "display")
WEEK_DAYS = 7  # for which a row of promotions holds


def with_placements(
    series: Series, tables: Mapping[str, pl.LazyFrame], beyond: int, min_code_share: float, codes_until: date
) -> Series:
    """`series` with what the tables `promotions` and `campaigns` know, `beyond` periods into the future.

    Codes count as frequent, and rivals as large, by what lies before `codes_until`. Covariates that `series`
    has already stay as they are. Of a series without a product (and without a category that the table products
    has) nothing is known of placements, and of one without a product nothing of campaigns: NaN.
    """
    width = series.grid.length + beyond
    found: dict[str, np.ndarray] = {}
    if "promotions" in tables:
        found |= _placements(series, tables, width, min_code_share, codes_until)
    if "campaigns" in tables and series.table["product_id"].count():
        single = series.table["product_id"].is_not_null().to_numpy()
        found["campaign"] = _where(single, _campaigns(tables["campaigns"], series, width))
    elif "campaigns" in tables:
        log.info("campaigns are not used at the level %s: no series is of one product", series.table["level"][0])
    return replace(series, known=found | series.known)


def _placements(
    series: Series, tables: Mapping[str, pl.LazyFrame], width: int, min_code_share: float, until: date
) -> dict[str, np.ndarray]:
    """name -> (n, width) shares, NaN in the rows of series of which nobody can say what they are of."""
    subjects = _subjects(series, "products" in tables)
    if not subjects:
        log.warning("promotions are not used: no series has a product_id, or a category that the table products has")
        return {}
    codes = frequent_codes(tables["promotions"], min_code_share, until)
    cells = _placement_cells(tables, series, subjects, codes).filter(pl.col("period").is_between(0, width - 1))
    names = [name for name in cells.columns if name not in ("row", "period")]
    found = {name: filled(cells, name, (len(series.y), width)) for name in names}
    found |= rivals(series, {kind: found[kind] for kind in codes if kind in found}, until)
    told = np.isin(np.arange(len(series.y)), np.concatenate([rows["row"].to_numpy() for rows in subjects.values()]))
    return {name: _where(told, values) for name, values in found.items()}


def _where(told: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`values` (n, width), NaN in the rows that are not `told` (n,)."""
    return values if told.all() else np.where(told[:, None], values, np.float32(np.nan))


def frequent_codes(promotions: pl.LazyFrame, min_share: float, until: date) -> dict[str, list[str]]:
    """Per kind of placement the codes in at least `min_share` of the rows that have one."""
    early = promotions.filter(pl.col("week") < until)
    kinds = [kind for kind in PLACEMENTS if kind in promotions.collect_schema().names()]
    answer = {}
    for kind in kinds:
        counts = early.select(pl.col(kind)).drop_nulls().group_by(kind).len().collect(engine="streaming")
        total = max(int(counts["len"].sum()), 1)
        answer[kind] = counts.filter(pl.col("len") / total >= min_share)[kind].sort().to_list()
    return answer


def _subjects(series: Series, products: bool) -> dict[tuple[str, ...], pl.DataFrame]:
    """Of what the series are, by the columns that say so: row and these columns, where any series is of such.

    A product counts before its category, and with a store only what is placed there. A category's products are
    known from the products table alone, so without one (`products` false) nothing is found of categories.
    """
    names = series.table.with_row_index("row")
    single, stored = pl.col("product_id").is_not_null(), pl.col("store_id").is_not_null()
    grouped = ~single & pl.col("category").is_not_null() & pl.lit(products)
    found = {
        ("product_id",): names.filter(single & ~stored),
        ("product_id", "store_id"): names.filter(single & stored),
        ("category",): names.filter(grouped & ~stored),
        ("category", "store_id"): names.filter(grouped & stored),
    }
    return {keys: rows.select("row", *keys) for keys, rows in found.items() if rows.height}


def _placement_cells(
    tables: Mapping[str, pl.LazyFrame],
    series: Series,
    subjects: Mapping[tuple[str, ...], pl.DataFrame],
    codes: Mapping[str, Sequence[str]],
) -> pl.DataFrame:
    """row, period, and the share of stores (or products) with each placement; a week's on all its periods."""
    promotions = tables["promotions"].with_columns(period=series.grid.place(pl.col("week")))
    n_stores = promotions.group_by("period").agg(n_stores=pl.col("store_id").n_unique())
    parts = []
    for keys, rows in subjects.items():
        placed = _placed(promotions, keys, rows.lazy(), tables)
        cells = placed.group_by("row", "period").agg(*_counted(placed, codes), n_products=_products_of(keys))
        cells = cells.with_columns(n_stores=pl.lit(1)) if "store_id" in keys else cells.join(n_stores, on="period")
        n = (pl.col("n_stores") * pl.col("n_products")).cast(pl.Float64)
        parts.append(cells.with_columns(n=n).drop("n_stores", "n_products").collect(engine="streaming"))
    return _each_period(_shares(pl.concat(parts)), series.grid)


def _placed(
    promotions: pl.LazyFrame, keys: tuple[str, ...], rows: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame]
) -> pl.LazyFrame:
    """The rows of `promotions` that are about each series; those without a store hold in every store."""
    if "category" in keys:
        catalogue = tables["products"].select("product_id", "category").unique("product_id", keep="first")
        promotions = promotions.join(catalogue, on="product_id")
        rows = rows.join(catalogue.group_by("category").agg(n_products=pl.len()), on="category")
    if "store_id" not in keys:
        return promotions.join(rows, on=keys)
    everywhere = promotions.filter(pl.col("store_id").is_null()).drop("store_id")
    here = promotions.filter(pl.col("store_id").is_not_null()).join(rows, on=keys)
    return pl.concat([here, everywhere.join(rows, on=keys[:1])], how="diagonal")


def _products_of(keys: tuple[str, ...]) -> pl.Expr:
    """How many products a series is of."""
    return pl.col("n_products").first() if "category" in keys else pl.lit(1)


def _each_period(cells: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Cells of weeks, by the period on which the week begins, on every period that begins in the week."""
    ahead = pl.DataFrame({"ahead": range(WEEK_DAYS // grid.period_days)}, schema={"ahead": pl.Int32})
    return cells.join(ahead, how="cross").with_columns(pl.col("period") + pl.col("ahead")).drop("ahead")


def _counted(placed: pl.LazyFrame, codes: Mapping[str, Sequence[str]]) -> list[pl.Expr]:
    """How many places have each placement, and each of its codes; the mean planned price."""
    marked = {kind: pl.col(kind).is_not_null() for kind in codes}
    marked |= {f"{kind}_{code}": pl.col(kind).eq_missing(code) for kind, listed in codes.items() for code in listed}
    sums = [mark.sum().alias(name) for name, mark in marked.items()]
    return [*sums, pl.col("price").mean()] if "price" in placed.collect_schema().names() else sums


def _shares(cells: pl.DataFrame) -> pl.DataFrame:
    placed = [name for name in cells.columns if name not in ("row", "period", "n", "price")]
    shares = cells.with_columns((pl.col(placed) / pl.col("n")).clip(0, 1)).drop("n")
    return shares.drop("price") if "price" in shares.columns and not shares["price"].count() else shares


def filled(cells: pl.DataFrame, column: str, shape: tuple[int, int]) -> np.ndarray:
    """(n, periods) float32; 0 where nothing is said (a planned price: NaN)."""
    array = np.full(shape, np.nan if column == "price" else 0.0, np.float32)
    some = cells.drop_nulls(column)
    array[some["row"].to_numpy(), some["period"].to_numpy()] = some[column].cast(pl.Float32).to_numpy()
    return array


def rivals(series: Series, placed: Mapping[str, np.ndarray], until: date) -> dict[str, np.ndarray]:
    """For each kind of placement, how much of it the other series of the same category (and store) have.

    Each weighs its mean units before `until`. What a rival gains by a placement is often taken from its neighbours.
    """
    early = series.y[:, : max((until - series.grid.start).days // series.grid.period_days, 1)]
    size = np.nansum(early, axis=1) / np.maximum(np.isfinite(early).sum(axis=1), 1) + 1e-3
    groups = categories_of(series)
    n_groups = int(groups.max(initial=-1)) + 1
    others = np.bincount(groups, size, n_groups)[groups] - size
    answer = {}
    for kind, values in placed.items():
        total = np.zeros((n_groups, values.shape[1]))
        np.add.at(total, groups, values * size[:, None])
        rest = total[groups] - values * size[:, None]
        shares = np.divide(rest, others[:, None], out=np.zeros_like(rest), where=others[:, None] > 1e-9)
        answer[f"{kind}_rivals"] = shares.clip(0, 1).astype(np.float32)
    return answer


def _campaigns(campaigns: pl.LazyFrame, series: Series, width: int) -> np.ndarray:
    """(n, periods): the share of customers addressed by running campaigns with the series' product."""
    keys = series.table.with_row_index("row").select("row", "product_id").drop_nulls()
    running = campaigns.collect().join(keys, on="product_id")
    reach = pl.col("reach").fill_null(1.0) if "reach" in running.columns else pl.lit(1.0)
    spans = running.select("row", reach=reach, first=_place(series.grid, "starts"), last=_place(series.grid, "ends"))
    array = np.zeros((len(series.y), width), np.float32)
    for row, share, first, last in spans.iter_rows():
        array[row, max(first, 0) : max(last + 1, 0)] += share
    return np.minimum(array, 1.0)


def _place(grid: Grid, column: str) -> pl.Expr:
    return grid.place(pl.col(column))
