"""Confidence sequences: the theorem's own numbers, coverage under constant looking, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from components.core.errors import DataError
from components.monitoring.sequential import Running, confidence_sequence, difference

ALPHA = 0.1
VALUES = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1, width=32))


def by_hand(values: list[float], alpha: float) -> tuple[float, float]:
    """Theorem 2, written out one observation at a time."""
    total = squares = bets = won = paid = 0.0
    for t, x in enumerate(values, start=1):
        mean, variance = (0.5 + total) / t, (0.25 + squares) / t
        bet = min(math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(1 + t))), 0.5)
        v, psi = 4 * (x - mean) ** 2, (-math.log(1 - bet) - bet) / 4
        bets, won, paid = bets + bet, won + bet * x, paid + v * psi
        total += x
        squares += (x - (0.5 + total) / (t + 1)) ** 2
    half = (math.log(2 / alpha) + paid) / bets
    return max(won / bets - half, 0), min(won / bets + half, 1)


def test_the_bounds_are_the_theorem_s() -> None:
    values = [0.0, 1.0, 0.25, 0.5, 0.0, 1.0, 0.75] * 30
    low, high = confidence_sequence(np.array(values), 0.05)
    for n in (1, 2, 30, len(values)):
        assert (low[n - 1], high[n - 1]) == pytest.approx(by_hand(values[:n], 0.05))


@pytest.mark.parametrize("mean", [0.03, 0.3, 0.7])
def test_who_looks_all_the_time_is_misled_at_most_as_often_as_promised(mean: float) -> None:
    """300 streams of 1,000 looks each; three standard errors of slack."""
    missed = 0
    for seed in range(300):
        drawn = np.random.default_rng(seed).random(1000) < mean
        low, high = confidence_sequence(drawn.astype(float), ALPHA)
        missed += bool(((low > mean) | (high < mean)).any())
    assert missed / 300 <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 300)


def test_a_fixed_sample_interval_would_be_misled_far_more_often() -> None:
    """Why this module exists: the usual 90 % interval, looked at 1,000 times."""
    missed = 0
    for seed in range(100):
        drawn = (np.random.default_rng(seed).random(1000) < 0.3).astype(float)
        n = np.arange(1, 1001)
        means = np.cumsum(drawn) / n
        half = 1.645 * np.sqrt(means * (1 - means) / n)
        missed += bool((np.abs(means - 0.3) > half)[30:].any())
    assert missed / 100 > 2 * ALPHA


def test_two_arms_without_a_difference_are_told_apart_at_most_as_often_as_promised() -> None:
    wrong = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        arms = [Running(ALPHA / 2), Running(ALPHA / 2)]
        for _ in range(20):
            arms = [arm.extended((random.random(50) < 0.2).astype(float)) for arm in arms]
            gap = difference(*arms)
            if not gap.low <= 0 <= gap.high:
                wrong += 1
                break
    assert wrong / 200 <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 200)


def test_two_arms_that_differ_are_told_apart() -> None:
    random = np.random.default_rng(0)
    better, worse = (Running(0.025).extended((random.random(3000) < p).astype(float)) for p in (0.4, 0.2))
    gap = difference(better, worse)
    assert gap.low > 0 and gap.low < 0.2 < gap.high
    assert gap.mean == pytest.approx(0.2, abs=0.03)


def test_intervals_shrink_with_what_is_known_and_with_less_variance() -> None:
    random = np.random.default_rng(1)
    low, high = confidence_sequence((random.random(20_000) < 0.2).astype(float), 0.05)
    widths = (high - low)[[99, 999, 9_999, 19_999]]
    assert (np.diff(widths) < 0).all() and widths[-1] < 0.04
    calm_low, calm_high = confidence_sequence(0.2 + 0.02 * random.random(20_000), 0.05)
    assert (calm_high - calm_low)[-1] < widths[-1] / 5


@given(values=VALUES, alpha=st.floats(0.001, 0.5))
@settings(max_examples=60, deadline=None)
def test_bounds_lie_within_zero_and_one_in_order(values: np.ndarray, alpha: float) -> None:
    low, high = confidence_sequence(values, alpha)
    assert ((low >= 0) & (low <= high) & (high <= 1)).all()


@given(values=VALUES)
@settings(max_examples=60, deadline=None)
def test_the_running_intersection_only_ever_narrows(values: np.ndarray) -> None:
    low, high = confidence_sequence(values, ALPHA)
    cut_low, cut_high = confidence_sequence(values, ALPHA, intersect=True)
    assert (np.diff(cut_low) >= 0).all() and (np.diff(cut_high) <= 0).all()
    assert (cut_low >= low).all() and (cut_high <= high).all()


@given(values=VALUES, cuts=st.lists(st.integers(0, 60), max_size=4))
@settings(max_examples=60, deadline=None)
def test_batches_come_to_the_same_as_everything_at_once(values: np.ndarray, cuts: list[int]) -> None:
    state = Running(ALPHA)
    for part in np.split(values, sorted(min(cut, len(values)) for cut in cuts)):
        state = Running.from_json(state.extended(part).as_json())
    assert state.bounds() == pytest.approx(Running(ALPHA).extended(values).bounds())
    low, high = confidence_sequence(values, ALPHA)
    assert state.bounds()[1:] == pytest.approx((low[-1], high[-1]))
    assert state.n == len(values)


def test_nothing_is_known_before_the_first_observation() -> None:
    assert Running(0.05).bounds() == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(wrong: float) -> None:
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        Running(0.05).extended(np.array([0.5, wrong]))
