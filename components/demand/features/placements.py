"""What is known in advance of a series' periods: placements in mailer and display, planned price, campaigns.

A placement counts as the share of the shop's stores that have it, in that period (weighing stores by their
sales was no better); for a category in one store, as the share of the category's products there. The most
frequent codes of a placement have columns of their own, and so has what the rivals in the same category
have. A period of which the promotions table says nothing has no placement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl

from components.demand.features.series import Grid, Series, categories_of

PLACEMENTS = ("mailer", "display")


def with_placements(
    series: Series, tables: Mapping[str, pl.LazyFrame], beyond: int, min_code_share: float, codes_until: date
) -> Series:
    """`series` with what the tables `promotions` and `campaigns` know, `beyond` periods into the future.

    Codes count as frequent, and rivals as large, by what lies before `codes_until`.
    """
    found = dict(series.known)
    width = series.grid.length + beyond
    if "promotions" in tables:
        codes = frequent_codes(tables["promotions"], min_code_share, codes_until)
        cells = _placement_cells(tables, series, codes).filter(pl.col("period").is_between(0, width - 1))
        found |= {
            name: filled(cells, name, (len(series.y), width)) for name in cells.columns if name not in ("row", "period")
        }
        found |= rivals(series, {kind: found[kind] for kind in codes if kind in found}, codes_until)
    if "campaigns" in tables and series.table["product_id"].count():
        found["campaign"] = _campaigns(tables["campaigns"], series, width)
    return replace(series, known=found)


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


def _placement_cells(
    tables: Mapping[str, pl.LazyFrame], series: Series, codes: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """row, period, and the share of stores (or products) with each placement."""
    promotions = tables["promotions"].with_columns(period=series.grid.place(pl.col("week")))
    names = series.table.with_row_index("row")
    if names["product_id"].count():
        whole = promotions.group_by("period").agg(n=pl.col("store_id").n_unique())
        keys = names.select("row", "product_id").lazy()
        placed = promotions.join(keys, on="product_id")
        counted = _counted(placed, codes)
        cells = placed.group_by("row", "period").agg(counted).join(whole, on="period")
    else:
        catalogue = tables["products"].select("product_id", "category").unique("product_id", keep="first")
        keys = names.select("row", "category", "store_id").lazy()
        sizes = catalogue.group_by("category").agg(n=pl.len())
        placed = promotions.join(catalogue, on="product_id").join(keys, on=["category", "store_id"])
        counted = _counted(placed, codes)
        cells = placed.group_by("row", "category", "period").agg(counted).join(sizes, on="category").drop("category")
    return _shares(cells.collect(engine="streaming"))


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
