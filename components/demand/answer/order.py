"""How much to order: periodic review, order up to a level (Silver, Pyke and Thomas 2017, chapter 6).

Every `review_days` the buyer looks at the stock position (on hand and on order) and orders up to a level
that covers the demand until the next order can have arrived: lead time and review period together.

That demand is a sum over periods whose forecasts are quantiles. It is sampled, always with the same
numbers: each period from its own quantiles, periods tied by a Gaussian copula with one correlation,
because a series that sells above its forecast in one week tends to do so in the next. Since the numbers
of a period never change, more days or a higher service level never ask for less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydantic import Field

from components.core.params import Params

DRAWS = 20_000
SEED = 20_180_101
MOST_SERVICE = 0.999  # beyond it the tail of a forecast is guesswork
POINTS, FARTHEST = 4097, 5.5  # of a forecast's curve over normal numbers: closer together than draws are
KEPT = 1024  # periods' draws, 40 kB each; days for a year's lead time and half a year's review are 547
TOLERANCE = 1e-6  # units; less is a rounding error and not a want
PATTERN_CYCLES = 4  # beyond the forecast, a period is the median of its like in so many last weeks


class OrderParams(Params):
    """What an order takes for granted where the buyer says nothing."""

    service_level: float = Field(0.95, gt=0, lt=1, description="Chance that stock lasts until the next order arrives.")
    review_days: float = Field(7.0, gt=0, description="Days between two orders.")
    week_correlation: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Of the errors of any two periods of a series; measured .23 to .33 on default data.",
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """Stock in units, times in days; `day` counts from the first forecast day to that of the order."""

    on_hand: float
    on_order: float
    lead_time_days: float
    review_days: float
    service_level: float
    pack_size: float = 1.0
    minimum_order: float = 0.0
    day: int = 0


@dataclass(frozen=True, slots=True)
class Proposal:
    """Units, except probabilities.

    reorder_point    below it between two reviews, order at once: demand over the lead time at the service level
    order_up_to      demand over lead time and review period at the service level
    expected_demand  the mean of the same demand; safety_stock is what order_up_to holds beyond it
    short_units      expected units short in the review period, after this order; short_probability: of any
    lost_units       expected units short before anything ordered now can arrive
    """

    reorder_point: float
    order_quantity: float
    order_up_to: float
    expected_demand: float
    safety_stock: float
    short_units: float
    short_probability: float
    lost_units: float
    service_level: float
    reason: str


def critical_ratio(too_much: float, too_little: float) -> float:
    """The service level at which a unit more costs as much as it saves (newsvendor), at most MOST_SERVICE."""
    return min(too_little / (too_little + too_much), MOST_SERVICE)


def propose(values: np.ndarray, levels: np.ndarray, period_days: int, terms: Terms, correlation: float) -> Proposal:
    """What to order, from forecasts (n_periods, n_quantiles) at `levels`; extended where the days reach beyond them."""

    def sold(first_day: float, n_days: float) -> np.ndarray:
        return demand_samples(values, levels, period_days, first_day, n_days, correlation)

    lead = sold(terms.day, terms.lead_time_days)
    both = lead + sold(terms.day + terms.lead_time_days, terms.review_days)
    up_to, reorder = _units(np.quantile(both, terms.service_level)), _units(np.quantile(lead, terms.service_level))
    position = terms.on_hand + terms.on_order
    quantity = order_quantity(up_to - position, terms.pack_size, terms.minimum_order)
    after, expected = position + quantity, float(both.mean())
    return Proposal(
        reorder_point=reorder,
        order_quantity=quantity,
        order_up_to=up_to,
        expected_demand=expected,
        safety_stock=up_to - expected,
        short_units=float((np.maximum(both - after, 0) - np.maximum(lead - after, 0)).mean()),
        short_probability=float((both > after + TOLERANCE).mean()),
        lost_units=float(np.maximum(lead - position, 0).mean()),
        service_level=terms.service_level,
        reason=_reason(terms, up_to, expected, quantity),
    )


def order_quantity(missing: float, pack_size: float, minimum_order: float) -> float:
    """Whole packs that cover what is missing and the minimum; 0 where nothing is missing."""
    if missing <= 0:
        return 0.0
    packs = math.ceil(max(missing, minimum_order) / pack_size - TOLERANCE)
    return max(packs, 1) * pack_size


def demand_samples(
    values: np.ndarray, levels: np.ndarray, period_days: int, first_day: float, n_days: float, correlation: float
) -> np.ndarray:
    """(DRAWS,) units sold in `n_days` from `first_day` on, counted from the first day of the forecast.

    A period that is covered in part counts by the share of its days.
    """
    shares = period_shares(first_day, n_days, period_days)
    wanted = extended(values, len(shares), period_days)
    touched = np.flatnonzero(shares)
    # each period's whole curve, scaled to its days, and then only looked up at the numbers that were drawn
    curves = np.maximum(wanted[touched] @ _weights(tuple(levels.tolist())), 0.0) * shares[touched, None]
    total = np.zeros(DRAWS)
    for period, curve in zip(touched.tolist(), curves, strict=True):
        total += curve[_draws(period, correlation)]
    return total


def period_shares(first_day: float, n_days: float, period_days: int) -> np.ndarray:
    """The share of each period, from the forecast's first one on, that lies within the days."""
    until = first_day + n_days
    starts = np.arange(max(math.ceil(until / period_days - 1e-9), 1)) * period_days
    covered = np.minimum(starts + period_days, until) - np.maximum(starts, first_day)
    return np.maximum(covered, 0) / period_days


def extended(values: np.ndarray, n_periods: int, period_days: int) -> np.ndarray:
    """Quantiles of `n_periods` periods; beyond the forecast the median of the like periods of its last weeks.

    The median, so that one promotion within the forecast is not carried on for ever. Like periods are the same
    weekdays where periods are days.
    """
    cycle = max(7 // period_days, 1)
    if n_periods <= len(values):
        return values[:n_periods]
    cycle = min(cycle, len(values))
    places = np.arange(len(values), n_periods)
    phases = len(values) - cycle + (places - len(values)) % cycle
    like = [values[phase::-cycle][:PATTERN_CYCLES] for phase in phases]
    return np.concatenate([values, [np.median(periods, axis=0) for periods in like]])


def quantile_function(chances: np.ndarray, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Units at `chances`: exponential between the levels and beyond them, never below 0.

    Linear in -ln(1 - chance), so that units more become rarer as they do under an exponential law; below the
    lowest level the same mirrored. On this project's default data the level .8 between a trained .5 and .9
    then covers .80 of the weeks (linear in the level itself: .85), and .95 and .99 beyond them cover .95 and .99.
    """
    return np.maximum(_curve(chances, values, levels), 0.0)


def _curve(chances: np.ndarray, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The same without its floor: linear in `values`."""
    rarity = -np.log1p(-levels)
    found = np.interp(-np.log1p(-chances), rarity, values)
    if len(levels) < 2:
        return found
    high, low = chances > levels[-1], chances < levels[0]
    upper = (values[-1] - values[-2]) / (rarity[-1] - rarity[-2])
    lower = (values[1] - values[0]) / math.log(levels[1] / levels[0])
    found[high] = values[-1] + upper * (-np.log1p(-chances[high]) - rarity[-1])
    found[low] = values[0] + lower * np.log(chances[low] / levels[0])
    return found


@lru_cache(maxsize=8)
def _weights(levels: tuple[float, ...]) -> np.ndarray:
    """(n_levels, POINTS): what each level's units count for at each point of the curve between and beyond them."""
    from scipy.special import ndtr

    chances = ndtr(np.linspace(-FARTHEST, FARTHEST, POINTS))
    return np.stack([_curve(chances, one, np.array(levels)) for one in np.eye(len(levels))])


@lru_cache(maxsize=KEPT)
def _draws(period: int, correlation: float) -> np.ndarray:
    """(DRAWS,) points of the curve, the same on every call; those of two periods are correlated."""
    drawn = math.sqrt(correlation) * _normals(-1) + math.sqrt(1 - correlation) * _normals(period)
    return np.rint((drawn / FARTHEST + 1) * (POINTS - 1) / 2).clip(0, POINTS - 1).astype(np.int16)


@lru_cache(maxsize=1)
def _evenly() -> np.ndarray:
    """(DRAWS,) standard normal numbers, evenly spread, so that means are near exact."""
    from scipy.special import ndtri

    return ndtri((np.arange(DRAWS) + 0.5) / DRAWS)


@lru_cache(maxsize=2)  # the last period's, and -1: what all periods have in common
def _normals(period: int) -> np.ndarray:
    """The same numbers, shuffled for each period."""
    return _evenly()[np.random.default_rng([SEED, period + 1]).permutation(DRAWS)]


def _units(amount: float) -> float:
    """Rounded up to hundredths: what is kept by weight is not sold by the gram."""
    return math.ceil(float(amount) * 100 - TOLERANCE) / 100


def _reason(terms: Terms, up_to: float, expected: float, quantity: float) -> str:
    days, position = terms.lead_time_days + terms.review_days, terms.on_hand + terms.on_order
    needed = (
        f"{up_to:g} units last {days:g} days ({terms.lead_time_days:g} until the order arrives and "
        f"{terms.review_days:g} until the next review) with {100 * terms.service_level:g} % certainty, "
        f"of which {expected:.0f} are expected to sell"
    )
    stock = f"{position:g} are on hand or on order"
    if not quantity:
        return f"Order nothing: {needed}; {stock}."
    packs = f", in packs of {terms.pack_size:g}" if terms.pack_size != 1 else ""
    raised = up_to - position < terms.minimum_order
    least = f", raised to the minimum of {terms.minimum_order:g}" if raised else ""
    return f"Order {quantity:g}: {needed}; {stock}{packs}{least}."
