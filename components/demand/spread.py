"""From a point forecast and its past errors to quantiles.

Errors are measured between square roots. That is the variance-stabilising transform of counts
(Bartlett, 1936): a promotion week in the past widens the upper side more than the lower one, no
quantile falls below 0, and multiplying a series by a constant multiplies its quantiles. On the
default data it gave better quantiles than differences or ratios of units, and better medians.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

HALF_LIFE = 26  # periods after which an error counts half
ENOUGH_ERRORS = 8  # with fewer, the series has not shown yet how far it strays
USUAL_ERROR = 0.4  # root of relative units: the middle series of the default data, for those with too few
LOST_FREEDOM = 3  # errors inside the history are smaller than those to come: level, weight and start were fitted


@dataclass(frozen=True)
class Trace:
    """What a method says ahead, and what it would have said within the history.

    All are square roots of relative units (units / scale of the series): ahead (n, horizon);
    fitted (n, T), for each period the forecast made one period before, NaN where there is none;
    growth (n, horizon) >= 1, how much wider the errors are some periods ahead than one.
    """

    ahead: np.ndarray
    fitted: np.ndarray
    growth: np.ndarray


def roots(values: np.ndarray) -> np.ndarray:
    """Square roots; what is below 0 (more returned than sold) counts as 0, unknown stays NaN."""
    return np.sqrt(np.maximum(values, 0.0))


def spread(trace: Trace, relative: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(n, horizon, n_levels) relative units: the mean of a normal and of the series' own errors' quantiles.

    The normal part steadies the tails, for which a year has few errors; the own part brings the
    skew. The more of the history is zero, the less a normal fits and the more the own errors count.

    Args:
        trace: what the method says.
        relative: (n, T) known units / scale, NaN where unknown.
        levels: (n_levels,) between 0 and 1.
    """
    errors = roots(relative) - trace.fitted
    weights = recency(errors.shape[1], HALF_LIFE)
    count = np.isfinite(errors).sum(axis=1)
    own = np.nan_to_num(weighted_quantiles(errors, weights, levels))
    normal = _deviation(errors, weights, count)[:, None] * normal_quantiles(levels)
    share = own_share(relative, count)[:, None]
    width = (1 - share) * normal + share * own
    return np.maximum(trace.ahead[:, :, None] + trace.growth[:, :, None] * width[:, None], 0.0) ** 2


def own_share(relative: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(n,) how much the series' own quantiles count: half, all where half the periods are zero, less where few."""
    zeros = (relative == 0).sum(axis=1) / np.maximum(np.isfinite(relative).sum(axis=1), 1)
    return np.minimum(0.5 + zeros, 1.0) * np.minimum(count / ENOUGH_ERRORS, 1.0)


def normal_quantiles(levels: np.ndarray) -> np.ndarray:
    """Quantiles of the standard normal."""
    return np.array([NormalDist().inv_cdf(float(level)) for level in levels])


def recency(length: int, half_life: float) -> np.ndarray:
    """(length,) weights of periods, oldest first; the latest weighs 1."""
    return np.exp2(-np.arange(length)[::-1] / half_life)


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(n, n_levels) quantiles of each row of (n, T), NaN left out; NaN for a row with nothing else.

    Between two values the quantile is interpolated; a value stands in the middle of its weight.
    """
    order = np.argsort(values, axis=1, kind="stable")  # NaN last; equals stay oldest first, however long the padding
    ordered = np.take_along_axis(values, order, axis=1)
    weight = np.where(np.isfinite(ordered), weights[order], 0.0)
    middle = (np.cumsum(weight, axis=1) - weight / 2) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    last = np.maximum(np.isfinite(ordered).sum(axis=1, keepdims=True) - 1, 0)
    result = np.empty((len(values), len(levels)))
    for column, level in enumerate(levels):
        above = (middle < level).sum(axis=1, keepdims=True)
        low, high = np.clip(above - 1, 0, last), np.clip(above, 0, last)
        start, end = (np.take_along_axis(middle, place, axis=1) for place in (low, high))
        share = np.clip((level - start) / np.where(end > start, end - start, 1.0), 0.0, 1.0)
        lower, upper = (np.take_along_axis(ordered, place, axis=1) for place in (low, high))
        result[:, column] = (lower + share * (upper - lower))[:, 0]
    return result


def _deviation(errors: np.ndarray, weights: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(n,) root mean square of the errors, USUAL_ERROR standing in for those that are lacking."""
    weight = np.where(np.isfinite(errors), weights, 0.0)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    variance = (weight * np.nan_to_num(errors) ** 2).sum(axis=1) / total
    effective = np.maximum(total**2 / np.maximum((weight**2).sum(axis=1), 1e-300), ENOUGH_ERRORS)
    lacking = np.maximum(1 - count / ENOUGH_ERRORS, 0.0)
    variance = (1 - lacking) * variance * effective / (effective - LOST_FREEDOM) + lacking * USUAL_ERROR**2
    return np.sqrt(variance)
