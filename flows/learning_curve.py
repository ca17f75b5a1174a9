"""What another retrain is expected to gain: error as a power law of the amount of data.

    err(n) = e0 * (n / n0) ** -b

(Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically", section 3: the generalisation
error of many models falls by a power of the training set's size, with exponents of 0.07 to 0.35 on real
tasks.) Their constant, the error that no amount of data takes away, cancels in a gain:

    gain(n1 -> n2) = err(n1) - err(n2)

The two numbers are fitted to the gains that past retrains brought, each weighted by its own standard
error, with a prior on either, so that a shop without a past has an estimate too (with an interval of an
order of magnitude, which it says). What a retrain gains because taste has moved lands in b as well; a jump
in taste is for the watch to see, not for this curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EXPONENT, EXPONENT_SPREAD = 0.1, 0.9  # the prior's median of b, and its standard deviation in ln b
ERROR_SPREAD = 0.7  # of ln e0: part of what is measured as error is no model's fault
LEAST_SPREAD = 1e-5  # of a gain: no measurement is exact, whatever its interval says
SMALLEST, LARGEST = math.log(1e-6), math.log(3.0)  # of b
LEVEL = 1.959964  # standard errors on either side that hold 95 %


@dataclass(frozen=True, slots=True)
class Step:
    """One past retrain: the champion had learned from `before` rows, the challenger from `after`.

    gain    the duel's paired difference, positive where the challenger was better
    spread  its standard error
    """

    before: float
    after: float
    gain: float
    spread: float


@dataclass(frozen=True, slots=True)
class Gain:
    """An expected gain in the deciding metric, and the interval that holds it with 95 %."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A fitted curve; `covariance` is that of (ln b, ln e0), (2, 2)."""

    exponent: float
    error: float
    at: float
    covariance: np.ndarray

    def error_at(self, n: float) -> float:
        """What can be learned away and is not yet, at `n` rows."""
        return float(self.error * (n / self.at) ** -self.exponent)

    def gain(self, before: float, after: float) -> Gain:
        """Expected from `after` rows over `before`: never below zero, since more data is no harm on average."""
        if after <= before:
            return Gain(0.0, 0.0, 0.0)
        mean = self.error_at(before) - self.error_at(after)
        slope = _slopes(self.exponent, self.error, before / self.at, after / self.at) / max(mean, 1e-300)
        spread = math.exp(min(LEVEL * math.sqrt(float(slope @ self.covariance @ slope)), 50.0))
        return Gain(mean, mean / spread, mean * spread)


def fit(steps: Sequence[Step], at: float, error: float) -> Curve:
    """The curve through past gains by regularised least squares.

    Args:
        steps: past retrains, in any order; one that had no more data than its champion tells nothing.
        at: rows that the live release learned from, n0.
        error: its error on its own test rows, around which the prior of e0 lies.
    """
    from scipy.optimize import least_squares

    told = [step for step in steps if step.after > step.before > 0]
    before, after = (np.array([getattr(step, name) for step in told]) / at for name in ("before", "after"))
    gains = np.array([step.gain for step in told])
    spreads = np.array([max(step.spread, LEAST_SPREAD) for step in told])
    middle = np.array([math.log(EXPONENT), math.log(max(error, 1e-9))])
    widths = np.array([EXPONENT_SPREAD, ERROR_SPREAD])

    def residuals(place: np.ndarray) -> np.ndarray:
        b, e0 = np.exp(place)
        return np.concatenate([(e0 * (before**-b - after**-b) - gains) / spreads, (place - middle) / widths])

    def slopes(place: np.ndarray) -> np.ndarray:
        b, e0 = np.exp(place)
        return np.vstack([(_slopes(b, e0, before, after) / spreads).T, np.diag(1 / widths)])

    bounds = ([SMALLEST, -np.inf], [LARGEST, np.inf])
    found = least_squares(residuals, middle, slopes, bounds=bounds, x_scale=widths)
    jacobian = slopes(found.x)
    b, e0 = (math.exp(value) for value in found.x)
    return Curve(b, e0, at, np.linalg.inv(jacobian.T @ jacobian))


def _slopes(b: float, e0: float, before: float | np.ndarray, after: float | np.ndarray) -> np.ndarray:
    """How a gain changes with ln b and ln e0; sizes are shares of n0. (2,) or (2, steps)."""
    early, late = np.asarray(before) ** -b, np.asarray(after) ** -b
    by_exponent = b * e0 * (late * np.log(after) - early * np.log(before))
    return np.stack([by_exponent, e0 * (early - late)])
