"""Measures over score tables and their uncertainty. Groups are contiguous rows, as in a pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the percentile-bootstrap interval around it."""

    mean: float
    low: float
    high: float


def group_offsets(groups: np.ndarray) -> np.ndarray:
    """Where each run of equal values starts, and the end: (n_groups + 1,) int64."""
    if len(groups) == 0:
        return np.zeros(1, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    return np.append(starts, len(groups)).astype(np.int64)


def order_within(scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Row numbers, group by group, best score first; NaN last, ties in row order."""
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.lexsort((-np.where(np.isnan(scores), -np.inf, scores), rows))


def ranks_within(scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Rank within the group, 1 = best, (n_rows,) float64; NaN stays NaN."""
    order = order_within(scores, offsets)
    position = np.arange(len(scores)) - np.repeat(offsets[:-1], np.diff(offsets)) + 1
    ranks = np.empty(len(scores))
    ranks[order] = position
    return np.where(np.isnan(scores), np.nan, ranks)


def ndcg_objective(k: int) -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]:
    """Mean nDCG@k over groups with some truth, inside the pool or not; for choosing weights, higher is better."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideals = np.concatenate([[0.0], np.cumsum(discounts)])

    def objective(scores: np.ndarray, labels: np.ndarray, offsets: np.ndarray, n_true: np.ndarray) -> float:
        order = order_within(scores, offsets)
        rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        position = np.arange(len(scores)) - offsets[rows]
        top = position < k
        gained = np.bincount(rows[top], labels[order][top] * discounts[position[top]], len(offsets) - 1)
        asked = n_true > 0
        ideal = ideals[np.minimum(n_true, k).astype(np.int64)]
        return float(np.mean(gained[asked] / ideal[asked])) if asked.any() else 0.0

    return objective


def ranking_outcomes(
    scores: pl.DataFrame,
    truth: pl.DataFrame,
    keys: tuple[str, str],
    ks: Sequence[int] = (10, 20),
    ideal: Literal["reachable", "full"] = "reachable",
) -> pl.DataFrame:
    """recall, precision, f1, ndcg and phr at each k: one row per group of `truth`.

    Every true item counts in the denominators, whether a pool held it or not. The ideal DCG
    is that of min(n_true, k) hits ("reachable", Järvelin and Kekäläinen 2002) or of n_true hits
    ("full", as in the next-basket reality check, Li et al. 2023, which cannot reach 1).
    """
    group, item = keys
    deepest = max(ks)
    ranked = (
        scores.filter(pl.col("score").is_finite())  # a score that is none must not sort before all others
        .sort(group, "score", item, descending=[False, True, False])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over(group))
        .filter(pl.col("rank") <= deepest)
    )
    hits = ranked.join(truth.select(keys), on=keys, how="inner").select(group, "rank")
    counts = truth.group_by(group).agg(n_true=pl.len())
    per_group = counts.join(hits.group_by(group).agg("rank"), on=group, how="left").sort(group)
    return per_group.select(group, *[column for k in ks for column in _at_k(k, ideal)])


def _at_k(k: int, ideal: Literal["reachable", "full"]) -> list[pl.Expr]:
    within = pl.col("rank").list.eval(pl.element().filter(pl.element() <= k))
    n_hits = within.list.len().fill_null(0).cast(pl.Float64)
    gain = within.list.eval(1 / (pl.element() + 1).log(2)).list.sum().fill_null(0.0)
    n_ideal = pl.min_horizontal(pl.col("n_true"), pl.lit(k)) if ideal == "reachable" else pl.col("n_true")
    best = pl.int_ranges(2, n_ideal + 2).list.eval(1 / pl.element().log(2)).list.sum()
    recall, precision = n_hits / pl.col("n_true"), n_hits / k
    return [
        recall.alias(f"recall@{k}"),
        precision.alias(f"precision@{k}"),
        (2 * n_hits / (pl.col("n_true") + k)).alias(f"f1@{k}"),
        (gain / best).alias(f"ndcg@{k}"),
        (n_hits > 0).cast(pl.Float64).alias(f"phr@{k}"),
    ]


def bootstrap(values: np.ndarray, n_samples: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean over groups (Efron 1979); NaN groups are left out.

    For a paired comparison pass the differences.
    """
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Interval(0.0, 0.0, 0.0)
    random = np.random.default_rng(seed)
    shares = np.full(len(values), 1 / len(values))
    step = max(1, 4_000_000 // len(values))  # samples at once: 32 MB of counts
    parts = [min(step, n_samples - start) for start in range(0, n_samples, step)]
    means = np.concatenate([random.multinomial(len(values), shares, n) @ values / len(values) for n in parts])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))
