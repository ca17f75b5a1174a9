"""What is known of every item at a cut-off: popularity, rebuying, price, neighbours in baskets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from scipy import sparse

from components.core.artifacts import load_array, save_arrays


@dataclass(frozen=True, slots=True)
class Statistics:
    """Arrays by catalogue code, (n_items,), from rows before the cut-off only.

    popularity   purchases, halved every 28 days
    lately       purchases, halved every 7 days
    n_buyers     customers who ever bought it
    rebuy_share  of them, who bought it again in another basket (smoothed towards the mean)
    gap_days     mean days between two purchases by one customer (smoothed towards the mean)
    age_days     days since its first sale; -1 = not sold yet
    idle_days    days since its last sale; -1 = not sold yet
    price        mean price paid per unit, shop currency; NaN = unknown
    category, department, brand   codes; 0 = unknown
    kind         code of the title up to its first comma, so that sizes of one thing are one kind
    category_share, kind_share   its part of the popularity of its category, of its kind
    active       whether it may be shown
    by_kind      (n_items,) items kind by kind, best sellers first; kind c is
                 by_kind[kind_starts[c]:kind_starts[c + 1]]
    neighbours_* top items bought in the same baskets, cosine with shrinkage, as a CSR matrix
    """

    popularity: np.ndarray
    lately: np.ndarray
    n_buyers: np.ndarray
    rebuy_share: np.ndarray
    gap_days: np.ndarray
    age_days: np.ndarray
    idle_days: np.ndarray
    price: np.ndarray
    category: np.ndarray
    department: np.ndarray
    brand: np.ndarray
    kind: np.ndarray
    category_share: np.ndarray
    kind_share: np.ndarray
    by_kind: np.ndarray
    kind_starts: np.ndarray
    active: np.ndarray
    neighbours_data: np.ndarray
    neighbours_indices: np.ndarray
    neighbours_indptr: np.ndarray

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.popularity)

    @property
    def neighbours(self) -> sparse.csr_matrix:
        """Similarity of items, (n_items, n_items)."""
        parts = (self.neighbours_data, self.neighbours_indices, self.neighbours_indptr)
        return sparse.csr_matrix(parts, shape=(self.n_items, self.n_items), copy=False)

    @classmethod
    def fit(cls, train: pl.DataFrame, catalogue: pl.DataFrame, n_neighbours: int = 30, min_support: int = 5) -> Self:
        """From a train table (see features) and the catalogue."""
        bought = train.filter(pl.col("weight") >= 1)
        n_items = catalogue.height
        by_item = _by_item(bought, n_items)
        graph = basket_neighbours(bought, n_items, n_neighbours, min_support)
        codes = {name: _codes(catalogue[name]) for name in ("category", "department", "brand")}
        codes["kind"] = _codes(catalogue["title"].str.split(",").list.first().str.to_lowercase())
        return cls(
            **by_item,
            price=_prices(bought, catalogue),
            **codes,
            **_shares(codes, by_item["popularity"]),
            active=catalogue["active"].to_numpy(),
            neighbours_data=graph.data,
            neighbours_indices=graph.indices,
            neighbours_indptr=graph.indptr,
        )

    def save(self, folder: Path) -> None:
        """One .npy per array."""
        save_arrays(folder, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The arrays that `save` wrote, memory-mapped."""
        return cls(**{field.name: load_array(folder, field.name) for field in fields(cls)})


def _codes(column: pl.Series) -> np.ndarray:
    """Dense int32 codes in alphabetical order, 0 for missing: the same names, the same codes."""
    return column.cast(pl.String).rank("dense").fill_null(0).cast(pl.Int32).to_numpy()


def _prices(bought: pl.DataFrame, catalogue: pl.DataFrame) -> np.ndarray:
    """Mean price paid before the cut-off: the list price of today would tell the past its future."""
    if "price" not in bought.columns:
        return np.full(catalogue.height, np.nan, np.float32)
    paid = bought.group_by("item").agg(pl.col("price").mean())
    prices = catalogue.select("item").join(paid, on="item", how="left", maintain_order="left")["price"]
    return prices.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _shares(codes: dict[str, np.ndarray], popularity: np.ndarray) -> dict[str, np.ndarray]:
    """What a request would otherwise compute from all items each time."""
    order = np.lexsort((-popularity, codes["kind"])).astype(np.int32)
    n_kinds = int(codes["kind"].max(initial=0)) + 1
    columns: dict[str, np.ndarray] = {
        "by_kind": order,
        "kind_starts": np.asarray(np.searchsorted(codes["kind"][order], np.arange(n_kinds + 1))),
    }
    for name in ("category", "kind"):
        total = np.bincount(codes[name], popularity)[codes[name]]
        columns[f"{name}_share"] = (popularity / np.maximum(total, 1e-9)).astype(np.float32)
    return columns


def _by_item(bought: pl.DataFrame, n_items: int) -> dict[str, np.ndarray]:
    item, days = bought["item"].to_numpy(), bought["days_ago"].to_numpy()
    rebuys = _rebuys(bought)
    n_buyers = np.bincount(rebuys["item"], minlength=n_items).astype(np.float32)
    again = np.bincount(rebuys["item"], weights=rebuys["n"] > 1, minlength=n_items)
    gaps = rebuys.filter(pl.col("n") > 1)
    gap_sum = np.bincount(gaps["item"], weights=gaps["span"], minlength=n_items)
    gap_count = np.bincount(gaps["item"], weights=gaps["n"] - 1, minlength=n_items)
    oldest, newest = np.full(n_items, -1.0), np.full(n_items, np.inf)
    np.maximum.at(oldest, item, days)
    np.minimum.at(newest, item, days)
    prior_share = again.sum() / max(n_buyers.sum(), 1)
    prior_gap = gap_sum.sum() / max(gap_count.sum(), 1)
    columns = {
        "popularity": np.bincount(item, weights=np.exp2(-days / 28), minlength=n_items),
        "lately": np.bincount(item, weights=np.exp2(-days / 7), minlength=n_items),
        "n_buyers": n_buyers,
        "rebuy_share": (again + 5 * prior_share) / (n_buyers + 5),
        "gap_days": (gap_sum + 5 * prior_gap) / (gap_count + 5),
        "age_days": oldest,
        "idle_days": np.where(np.isfinite(newest), newest, -1),
    }
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _rebuys(bought: pl.DataFrame) -> pl.DataFrame:
    """Per customer and item: purchases and days from the first to the last."""
    return (
        bought.drop_nulls("customer")
        .group_by("customer", "item")
        .agg(n=pl.len(), span=pl.col("days_ago").max() - pl.col("days_ago").min())
        .sort("customer", "item")
    )


def basket_neighbours(bought: pl.DataFrame, n_items: int, n_neighbours: int, min_support: int) -> sparse.csr_matrix:
    """Cosine of items over baskets, shrunk by 10 baskets; the best `n_neighbours` of each item."""
    pairs = (bought["basket"].rank("dense").cast(pl.Int64).to_numpy() - 1, bought["item"].to_numpy())
    baskets = sparse.coo_matrix(
        (np.ones(bought.height, np.float32), pairs), (int(pairs[0].max(initial=-1)) + 1, n_items)
    ).tocsr()
    support = np.asarray(baskets.sum(axis=0)).ravel()
    baskets = baskets @ sparse.diags((support >= min_support).astype(np.float32))
    both = (baskets.T @ baskets).tocsr()
    both.setdiag(0)
    both.eliminate_zeros()
    rows = np.repeat(np.arange(n_items), np.diff(both.indptr))
    both.data = (both.data / (np.sqrt(support[rows] * support[both.indices]) + 10)).astype(np.float32)
    return strongest(both, n_neighbours)


def strongest(matrix: sparse.csr_matrix, n: int) -> sparse.csr_matrix:
    """The `n` largest entries of each row, ties by lower column.

    A loop over the rows that are too long: partitioning each is ten times faster than sorting all.
    """
    matrix.sort_indices()
    kept = np.ones(matrix.nnz, bool)
    for row in np.flatnonzero(np.diff(matrix.indptr) > n):
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        kept[entries] = _largest(matrix.data[entries], n)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[kept]
    return sparse.csr_matrix((matrix.data[kept], (rows, matrix.indices[kept])), shape=matrix.shape)


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """Mask of the `n` largest values, ties by position."""
    if n == 0:
        return np.zeros(len(values), bool)
    bound = np.partition(values, len(values) - n)[len(values) - n]
    above = values > bound
    ties = np.flatnonzero(values == bound)[: n - int(above.sum())]
    above[ties] = True
    return above
