"""What customers did before the moment of asking, in compressed sparse rows.

Items are codes: positions in the catalogue that featurise wrote. The same layout serves
batch scoring (thousands of queries) and one request, so there is one implementation of both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from scipy import sparse

from components.core.artifacts import load_array, save_arrays

LISTS = ("items", "days_ago", "weights", "baskets")


@dataclass(frozen=True, slots=True)
class Histories:
    """One row per query, oldest event first; a query without history is an empty row.

    offsets  (n_queries + 1,) int64    row q is the slice offsets[q]:offsets[q + 1]
    items    (n_events,) int32         catalogue codes
    days_ago (n_events,) float32       days before the moment of asking
    weights  (n_events,) float32       1 for a purchase, less for a view, click or search
    baskets  (n_events,) int32         the query's basket or session, 0 = oldest
    """

    offsets: np.ndarray
    items: np.ndarray
    days_ago: np.ndarray
    weights: np.ndarray
    baskets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_frame(cls, queries: pl.DataFrame) -> Self:
        """From the list columns items, days_ago, weights and baskets of a queries table."""
        lengths = queries["items"].list.len().to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        flat = queries.select(LISTS).filter(pl.col("items").list.len() > 0).explode(LISTS)
        return cls(
            offsets,
            flat["items"].to_numpy().astype(np.int32),
            flat["days_ago"].to_numpy().astype(np.float32),
            flat["weights"].to_numpy().astype(np.float32),
            flat["baskets"].to_numpy().astype(np.int32),
        )

    @classmethod
    def from_train(cls, train: pl.DataFrame) -> tuple[Self, np.ndarray]:
        """One row per customer of a train table, and the customers' ids in row order."""
        known = train.drop_nulls("customer").sort(
            "customer", "days_ago", "basket", "item", descending=[False, True, False, False]
        )
        customers, starts = np.unique(known["customer"].to_numpy(), return_index=True)
        offsets = np.append(starts, known.height).astype(np.int64)
        baskets = known.select(pl.col("basket").rle_id().over("customer"))["basket"].to_numpy()
        return cls(
            offsets,
            known["item"].to_numpy().astype(np.int32),
            known["days_ago"].to_numpy().astype(np.float32),
            known["weight"].to_numpy().astype(np.float32),
            baskets.astype(np.int32),
        ), customers

    @classmethod
    def of_session(cls, items: np.ndarray) -> Self:
        """One query from a list of recent products alone: a single basket, now."""
        n = len(items)
        zeros = np.zeros(n, np.float32)
        return cls(np.array([0, n]), items.astype(np.int32), zeros, zeros + 1, np.zeros(n, np.int32))

    def save(self, folder: Path) -> None:
        """One .npy per array."""
        save_arrays(folder, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The arrays that `save` wrote, memory-mapped."""
        return cls(**{field.name: load_array(folder, field.name) for field in fields(cls)})

    def rows(self) -> np.ndarray:
        """The query's row number of every event, (n_events,) int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def bought(self) -> Histories:
        """Purchases alone, without views, clicks and searches."""
        kept = self.weights >= 1
        if kept.all():
            return self
        counts = np.bincount(self.rows()[kept], minlength=len(self))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return Histories(offsets, self.items[kept], self.days_ago[kept], self.weights[kept], self.baskets[kept])

    def part(self, start: int, stop: int) -> Histories:
        """Queries start..stop-1."""
        events = slice(self.offsets[start], self.offsets[stop])
        return Histories(
            self.offsets[start : stop + 1] - self.offsets[start],
            self.items[events],
            self.days_ago[events],
            self.weights[events],
            self.baskets[events],
        )

    def matrix(self, n_items: int, half_life_days: float | None = None) -> sparse.csr_matrix:
        """Summed weights, (n_queries, n_items) float32; decayed by half every `half_life_days`.

        Items that the model's catalogue does not know (code >= n_items) are left out.
        """
        values = self.weights
        if half_life_days is not None:
            values = values * np.exp2(-self.days_ago / half_life_days).astype(np.float32)
        known = self.items < n_items
        entries = (values[known], (self.rows()[known], self.items[known]))
        return sparse.coo_matrix(entries, shape=(len(self), n_items), dtype=np.float32).tocsr()
