"""Intervals for a mean that hold at every moment at once, so that one may look whenever one likes.

The predictable plug-in empirical-Bernstein confidence sequence (Waudby-Smith and Ramdas 2024, "Estimating
means of bounded random variables by betting", Theorem 2) for observations in [0, 1]: with probability
1 - alpha the mean lies in *all* the intervals, however often somebody looks and for whatever reason they stop.
Where the mean itself moves, the intervals are those of a weighted mean of what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from components.core.errors import DataError

LARGEST_BET = 0.5  # c of the theorem; its authors recommend 1/2 or 3/4


class Bounds(NamedTuple):
    """A mean, or a difference of means, and where it lies for certain but for alpha."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Running:
    """All that the next interval needs of the observations so far.

    alpha     the chance that the mean ever lies outside
    n, total  observations and their sum
    squares   sum of (x_i - mean estimated after x_i) squared
    bets      sum of lambda_i
    won       sum of lambda_i x_i
    paid      sum of v_i psi(lambda_i)
    """

    alpha: float
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    bets: float = 0.0
    won: float = 0.0
    paid: float = 0.0

    def extended(self, values: np.ndarray) -> Running:
        """With `values` after those so far, oldest first; raises DataError outside [0, 1]."""
        if len(values) == 0:
            return self
        bets, won, paid, squares = (float(sums[-1]) for sums in _path(self, values))
        return Running(self.alpha, self.n + len(values), self.total + float(np.sum(values)), squares, bets, won, paid)

    def bounds(self) -> Bounds:
        """The interval now: [0, 1] before the first observation."""
        if self.n == 0:
            return Bounds(0.5, 0.0, 1.0)
        low, high = _interval(self.alpha, np.array(self.bets), np.array(self.won), np.array(self.paid))
        return Bounds(self.total / self.n, float(low), float(high))

    def as_json(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, float]) -> Running:
        return cls(n=int(values["n"]), **{name: value for name, value in values.items() if name != "n"})


def confidence_sequence(values: np.ndarray, alpha: float, intersect: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds after each of `values`: (n,) each, within [0, 1].

    `intersect`: each interval is cut with all before it, which is valid where the mean does not move;
    where it does the bounds may cross.
    """
    bets, won, paid = _path(Running(alpha), values)[:3]
    low, high = _interval(alpha, bets, won, paid)
    return (np.maximum.accumulate(low), np.minimum.accumulate(high)) if intersect else (low, high)


def difference(ours: Running, theirs: Running) -> Bounds:
    """Mean of `ours` minus mean of `theirs`, by the union bound: holds but for the sum of both alphas."""
    (mean, low, high), (other, other_low, other_high) = ours.bounds(), theirs.bounds()
    return Bounds(mean - other, low - other_high, high - other_low)


def _path(before: Running, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sums of lambda, lambda x, v psi and squared deviations after each value: (n,) each."""
    x = np.asarray(values, np.float64)
    if not np.all((x >= 0) & (x <= 1)):  # also where one is NaN
        raise DataError("expected observations in [0, 1], got others; scale what is measured before it comes here")
    t = before.n + np.arange(1, len(x) + 1)
    means = (0.5 + before.total + np.cumsum(x)) / (t + 1)
    squares = before.squares + np.cumsum((x - means) ** 2)
    variances = (0.25 + squares) / (t + 1)
    # the bet on x_t may only know what came before it
    mean = np.concatenate([[(0.5 + before.total) / (before.n + 1)], means[:-1]])
    variance = np.concatenate([[(0.25 + before.squares) / (before.n + 1)], variances[:-1]])
    bet = np.minimum(np.sqrt(2 * np.log(2 / before.alpha) / (variance * t * np.log(1 + t))), LARGEST_BET)
    paid = (x - mean) ** 2 * (-np.log1p(-bet) - bet)  # v psi: its 4 and its 1/4 cancel
    return (
        before.bets + np.cumsum(bet),
        before.won + np.cumsum(bet * x),
        before.paid + np.cumsum(paid),
        squares,
    )


def _interval(alpha: float, bets: np.ndarray, won: np.ndarray, paid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centre, half = won / bets, (np.log(2 / alpha) + paid) / bets
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
