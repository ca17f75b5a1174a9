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


@dataclass(frozen=True, slots=True)
class Asked:
    """What an objective holds scores against, row by row of a pool.

    labels   (n_rows,) the truth
    offsets  (n_groups + 1,) where each group starts
    n_true   (n_groups,) true keys of each group, in the pool or not
    levels   (n_rows,) the quantile that a row asks for, where answers are quantiles
    """

    labels: np.ndarray
    offsets: np.ndarray
    n_true: np.ndarray
    levels: np.ndarray | None = None


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


def ndcg_objective(k: int) -> Callable[[np.ndarray, Asked], float]:
    """Mean nDCG@k over groups with some truth, inside the pool or not; for choosing weights, higher is better."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideals = np.concatenate([[0.0], np.cumsum(discounts)])

    def objective(scores: np.ndarray, asked: Asked) -> float:
        labels, offsets, n_true = asked.labels, asked.offsets, asked.n_true
        order = order_within(scores, offsets)
        rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        position = np.arange(len(scores)) - offsets[rows]
        top = position < k
        gained = np.bincount(rows[top], labels[order][top] * discounts[position[top]], len(offsets) - 1)
        some = n_true > 0
        ideal = ideals[np.minimum(n_true, k).astype(np.int64)]
        return float(np.mean(gained[some] / ideal[some])) if some.any() else 0.0

    return objective


def pinball_loss(scores: np.ndarray, labels: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(n_rows,) in the labels' unit: what a quantile forecast loses (Koenker and Bassett 1978)."""
    above = labels - scores
    return np.maximum(levels * above, (levels - 1) * above)


def pinball_objective(scores: np.ndarray, asked: Asked) -> float:
    """Minus the mean pinball loss; higher is better. A row that nobody scored loses all of its label."""
    assert asked.levels is not None  # noqa: S101 - only applications whose answers are quantiles choose by it
    return -float(np.mean(pinball_loss(np.nan_to_num(scores), asked.labels, asked.levels)))


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


def columns_of(outcomes: pl.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """A metric's value and divisor per group: its column "<metric> of", or ones where a mean over groups is meant."""
    values: np.ndarray = outcomes[metric].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    divisor = f"{metric} of"
    if divisor not in outcomes.columns:
        return values, np.ones(len(values))
    return values, outcomes[divisor].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def overall(outcomes: pl.DataFrame, metric: str) -> float | None:
    """The metric over all groups of `outcomes`; None where no group has it."""
    values, of = columns_of(outcomes, metric)
    known = np.isfinite(values) & np.isfinite(of)
    return float(values[known].sum() / of[known].sum()) if of[known].sum() != 0 else None


def bootstrap(
    values: np.ndarray, of: np.ndarray | None = None, n_samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile bootstrap over groups (Efron 1979) of the mean, or of sum(values) / sum(of); NaN groups are left out.

    For a paired comparison pass the differences.
    """
    of = np.ones(len(values)) if of is None else of
    known = np.isfinite(values) & np.isfinite(of)
    values, of = values[known], of[known]
    if len(values) == 0 or of.sum() == 0:
        return Interval(0.0, 0.0, 0.0)
    random = np.random.default_rng(seed)
    shares = np.full(len(values), 1 / len(values))
    step = max(1, 4_000_000 // len(values))  # samples at once: 32 MB of counts
    parts = [min(step, n_samples - start) for start in range(0, n_samples, step)]
    drawn = [random.multinomial(len(values), shares, n) @ np.column_stack([values, of]) for n in parts]
    sums = np.concatenate(drawn)
    ratios = sums[sums[:, 1] != 0, 0] / sums[sums[:, 1] != 0, 1]
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.sum() / of.sum()), float(low), float(high))
