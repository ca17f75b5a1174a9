"""What a category sells: beside each of its series, and as a series of its own for products without a history."""

from __future__ import annotations

import numpy as np
import polars as pl

from components.demand.features.series import Series, categories_of


def category_units(series: Series) -> np.ndarray:
    """(n, length): units of each series' category (in its store) per period."""
    groups = categories_of(series)
    totals = np.zeros((int(groups.max(initial=-1)) + 1, series.y.shape[1]))
    np.add.at(totals, groups, np.nan_to_num(series.y))
    return totals[groups].astype(np.float32)


def category_means(series: Series) -> Series:
    """One series per category: the mean of its products' series, for products without a history."""
    table = series.table.with_row_index("row")
    single = table.filter(pl.col("product_id").is_not_null() | (pl.col("level") == "sales")).drop_nulls("category")
    groups = single.group_by("category").agg("row", pl.col("department", "brand", "level").mode().sort().first())
    groups = groups.sort("category")
    members = [rows.to_numpy() for rows in groups["row"]]

    def means(values: np.ndarray) -> np.ndarray:
        counts = [np.isfinite(values[rows]).sum(axis=0) for rows in members]
        sums = [np.nansum(values[rows], axis=0) for rows in members]
        pairs = zip(sums, counts, strict=True)
        rows = [np.divide(total, n, out=np.full(len(total), np.nan), where=n > 0) for total, n in pairs]
        return np.array(rows, np.float32).reshape(len(members), values.shape[1])

    named = groups.select(
        series_id="category", title="category", product_id=pl.lit(None, pl.String), category="category",
        store_id=pl.lit(None, pl.String), department="department", brand="brand", level="level",
    )  # fmt: skip
    known = {name: means(values) for name, values in series.known.items()}
    first = np.array([rows[0] for rows in members], int)
    codes = {name: column[first] for name, column in series.codes.items()}  # as the models learned them
    past = {name: means(values) for name, values in series.past.items()}
    return Series(series.grid, named, means(series.y), known, past, codes=codes)
