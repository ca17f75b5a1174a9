"""From scores over the whole catalogue to score tables; shared by every recommender.

DESIGN asks for no base class. This mixin is the exception: nine models would otherwise
repeat the same chunking, gathering and cutting, and each would get the bounds of memory wrong
in a way of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import polars as pl

from components.recommendation.features.histories import Histories

CHUNK_VALUES = 16_000_000  # scores held at once: 64 MB of float32


class WholeCatalogue(ABC):
    """A recommender that can score every item of its catalogue for a chunk of queries."""

    n_items: int = 0  # until fitted, so that an unfitted model gets as far as saying so

    @abstractmethod
    def scores(self, histories: Histories) -> np.ndarray:
        """Relevance of every item, (n_queries, n_items) float32; NaN where it cannot say."""

    def scores_at(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Relevance of chosen items, (n_pairs,) float32: row q owns items[offsets[q]:offsets[q + 1]]."""
        answer = np.full(len(items), np.nan, np.float32)
        for start, stop in self._chunks(len(histories)):
            chunk = slice(offsets[start], offsets[stop])
            rows = np.repeat(np.arange(stop - start), np.diff(offsets[start : stop + 1]))
            known = items[chunk] < self.n_items
            dense = self.scores(histories.part(start, stop))
            answer[chunk][known] = dense[rows[known], items[chunk][known]]
        return answer

    def predict(self, queries: pl.DataFrame) -> pl.DataFrame:
        """Score table (query, item, score) of the queries' `candidates`; unknown items are left out."""
        lengths = queries["candidates"].list.len().to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        pairs = queries.select("query", item="candidates").filter(pl.col("item").list.len() > 0).explode("item")
        scored = self.scores_at(Histories.from_frame(queries), offsets, pairs["item"].to_numpy())
        table = pairs.with_columns(score=pl.Series(scored, dtype=pl.Float64))
        return table.filter(pl.col("score").is_finite())

    def candidates(self, histories: pl.DataFrame, n: int) -> pl.DataFrame:
        """The best `n` items of the whole catalogue per query, best first (query, item, score)."""
        past = Histories.from_frame(histories)
        parts = []
        for start, stop in self._chunks(len(past)):
            items, scored = best(self.scores(past.part(start, stop)), n)
            query = np.repeat(histories["query"].to_numpy()[start:stop], items.shape[1])
            parts.append(
                pl.DataFrame({"query": query, "item": items.ravel(), "score": scored.ravel().astype(np.float64)})
            )
        return pl.concat(parts).filter(pl.col("score").is_finite())

    def _chunks(self, n_queries: int) -> list[tuple[int, int]]:
        step = max(1, CHUNK_VALUES // max(self.n_items, 1))
        return [(start, min(start + step, n_queries)) for start in range(0, n_queries, step)]


def best(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Items and scores of the `n` highest per row, best first, ties by lower code; NaN last."""
    filled = np.where(np.isfinite(scores), scores, -np.inf)
    n = min(n, filled.shape[1])
    top = (
        np.sort(np.argpartition(filled, -n, axis=1)[:, -n:], axis=1)
        if n < filled.shape[1]
        else np.tile(np.arange(n), (len(filled), 1))
    )
    values = np.take_along_axis(filled, top, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1).astype(np.int32), np.take_along_axis(values, order, axis=1)
