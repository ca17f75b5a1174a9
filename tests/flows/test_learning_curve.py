"""The curve's promises, over any history, and what it makes of histories whose curve is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.learning_curve import EXPONENT, Curve, Step, fit

SIZES = st.floats(1e2, 1e8)
GROWTH = st.floats(1.001, 4.0)
STEPS = st.lists(
    st.builds(
        lambda before, growth, gain, spread: Step(before, before * growth, gain, spread),
        SIZES,
        GROWTH,
        st.floats(-0.1, 0.1),
        st.floats(0.0, 0.05),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, SIZES, st.floats(0.01, 1.0), SIZES, GROWTH, st.floats(1.01, 10.0))
def test_a_gain_is_never_negative_and_falls_with_what_is_there_already(
    steps: list[Step], at: float, error: float, n: float, growth: float, later: float
) -> None:
    curve, delta = fit(steps, at, error), n * (growth - 1)
    gain, then = curve.gain(n, n + delta), curve.gain(n * later, n * later + delta)
    assert 0 <= gain.low <= gain.mean <= gain.high and math.isfinite(gain.mean)
    assert then.mean <= gain.mean * (1 + 1e-9)
    assert curve.error_at(n * later) <= curve.error_at(n)


@pytest.mark.parametrize("exponent", [0.05, 0.15, 0.35])
def test_the_exponent_is_found_again(exponent: float) -> None:
    rng, sizes = np.random.default_rng(3), 1e5 * 1.6 ** np.arange(12)
    errors = 0.6 * (sizes / sizes[-1]) ** -exponent
    steps = [
        Step(*sizes[place : place + 2], gain=errors[place] - errors[place + 1] + rng.normal(0, 2e-4), spread=2e-4)
        for place in range(11)
    ]
    curve = fit(steps, at=sizes[-1], error=0.5)
    assert curve.exponent == pytest.approx(exponent, rel=0.1)
    true = 0.6 * (1 - 1.2**-exponent)
    found = curve.gain(sizes[-1], 1.2 * sizes[-1])
    assert found.mean == pytest.approx(true, rel=0.1)
    assert found.low <= true <= found.high


def test_without_a_past_the_prior_speaks_and_is_unsure() -> None:
    curve = fit([], at=1e6, error=0.8)
    assert curve.exponent == pytest.approx(EXPONENT) and curve.error == pytest.approx(0.8)
    gain = curve.gain(1e6, 1.02e6)
    assert gain.mean == pytest.approx(0.8 * (1 - 1.02**-EXPONENT))
    assert gain.high / gain.low > 10


def test_retrains_that_brought_nothing_lower_what_is_expected_and_narrow_it() -> None:
    prior = fit([], 1e6, 0.8).gain(1e6, 1.02e6)
    nothing = [Step(1e6 * 1.02**k, 1e6 * 1.02 ** (k + 1), gain=(-1) ** k * 2e-4, spread=3e-4) for k in range(8)]
    after = fit(nothing, 1e6, 0.8).gain(1e6, 1.02e6)
    assert after.mean < prior.mean / 3 and after.high < prior.high


def test_no_more_data_is_no_gain_and_no_lesson() -> None:
    curve = fit([Step(1000, 1000, 0.05, 0.001), Step(1000, 900, 0.05, 0.001)], 1000, 0.5)
    assert isinstance(curve, Curve) and curve.exponent == pytest.approx(EXPONENT)
    assert curve.gain(1000, 1000).high == 0.0
