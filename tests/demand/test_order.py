"""What to order: more certainty or a longer wait never asks for less, and arithmetic that can be checked by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from components.demand.answer import order
from components.demand.answer.order import (
    MOST_SERVICE,
    Proposal,
    Terms,
    critical_ratio,
    demand_samples,
    extended,
    order_quantity,
    period_shares,
    propose,
    quantile_function,
)

LEVELS = np.array([0.1, 0.5, 0.9])
UNITS = st.floats(0, 1e4)
WEEKS = st.lists(st.lists(UNITS, min_size=3, max_size=3).map(sorted), min_size=1, max_size=4).map(np.array)
TERMS = st.builds(
    Terms,
    on_hand=st.floats(-100, 1e4),
    on_order=st.floats(0, 1e4),
    lead_time_days=st.floats(0, 60),
    review_days=st.floats(0.5, 30),
    service_level=st.floats(0.01, MOST_SERVICE),
    pack_size=st.sampled_from([0.1, 1.0, 7.0, 24.0]),
    minimum_order=st.sampled_from([0.0, 10.0, 500.0]),
    day=st.integers(0, 6),
)
EXAMPLES = settings(max_examples=60, deadline=None)


def proposed(weeks: np.ndarray, terms: Terms, period_days: int = 7) -> Proposal:
    return propose(weeks, LEVELS, period_days, terms, correlation=0.5)


@EXAMPLES
@given(weeks=WEEKS, terms=TERMS, more=st.floats(0, 1))
def test_more_certainty_never_orders_less(weeks: np.ndarray, terms: Terms, more: float) -> None:
    level = terms.service_level + more * (MOST_SERVICE - terms.service_level)
    surer = proposed(weeks, dataclasses.replace(terms, service_level=level))
    proposal = proposed(weeks, terms)
    assert surer.order_quantity >= proposal.order_quantity
    assert surer.order_up_to >= proposal.order_up_to and surer.reorder_point >= proposal.reorder_point
    assert surer.short_probability <= proposal.short_probability


@EXAMPLES
@given(weeks=WEEKS, terms=TERMS, days=st.floats(0, 40))
def test_a_longer_lead_time_never_orders_less(weeks: np.ndarray, terms: Terms, days: float) -> None:
    later = proposed(weeks, dataclasses.replace(terms, lead_time_days=terms.lead_time_days + days))
    assert later.order_quantity >= proposed(weeks, terms).order_quantity


@EXAMPLES
@given(weeks=WEEKS, terms=TERMS)
def test_an_order_covers_what_is_missing_in_whole_packs_and_no_more(weeks: np.ndarray, terms: Terms) -> None:
    proposal = proposed(weeks, terms)
    missing = proposal.order_up_to - terms.on_hand - terms.on_order
    assert proposal.order_quantity >= 0
    if missing <= 0:
        assert proposal.order_quantity == 0 and proposal.reason.startswith("Order nothing")
        return
    assert proposal.order_quantity >= max(missing, terms.minimum_order) - 1e-6
    assert proposal.order_quantity - terms.pack_size < max(missing, terms.minimum_order)
    packs = proposal.order_quantity / terms.pack_size
    assert math.isclose(packs, round(packs), rel_tol=1e-9)


@EXAMPLES
@given(weeks=WEEKS, terms=TERMS)
def test_chances_and_expectations_are_possible(weeks: np.ndarray, terms: Terms) -> None:
    proposal = proposed(weeks, terms)
    assert 0 <= proposal.short_probability <= 1
    assert proposal.short_units >= 0 and proposal.lost_units >= 0
    assert proposal.order_up_to >= proposal.reorder_point >= 0
    if terms.on_hand + terms.on_order <= proposal.order_up_to:  # then the order brings it up to the level
        assert proposal.short_probability <= 1 - terms.service_level + 1e-3


def test_certain_demand_needs_no_safety() -> None:
    """Ten units a week, known exactly: seventeen days need 24.3, of which ten days 14.3."""
    proposal = proposed(np.full((4, 3), 10.0), Terms(4, 1, lead_time_days=10, review_days=7, service_level=0.95))
    assert proposal.order_up_to == pytest.approx(170 / 7, abs=0.01)
    assert proposal.reorder_point == pytest.approx(100 / 7, abs=0.01)
    assert proposal.order_quantity == 20
    assert proposal.safety_stock == pytest.approx(0, abs=0.01)
    assert proposal.short_probability == 0
    assert proposal.lost_units == pytest.approx(100 / 7 - 5), "five units do not last ten days, whatever is ordered"


def test_one_week_is_ordered_by_its_own_quantiles() -> None:
    week = np.array([[10.0, 20.0, 40.0]])
    for level, units in zip(LEVELS, week[0], strict=True):
        proposal = proposed(
            week, Terms(0, 0, lead_time_days=0, review_days=7, service_level=float(level), pack_size=0.01)
        )
        assert proposal.order_up_to == pytest.approx(units, rel=0.01)
        assert proposal.short_probability == pytest.approx(1 - level, abs=0.005)


def test_costs_decide_like_the_newsvendor() -> None:
    assert critical_ratio(too_much=1, too_little=3) == 0.75
    assert critical_ratio(too_much=1e-9, too_little=1e9) == MOST_SERVICE


def test_the_order_of_least_cost_is_the_one_at_the_critical_ratio() -> None:
    """Ordering up to any other level costs more, by the sampled demand itself."""
    weeks, too_much, too_little = np.array([[5.0, 12.0, 30.0], [8.0, 15.0, 25.0]]), 1.0, 4.0
    sold = demand_samples(weeks, LEVELS, 7, 0, 14, 0.5)
    costs = {
        level: (too_much * np.maximum(level - sold, 0) + too_little * np.maximum(sold - level, 0)).mean()
        for level in np.arange(10, 80, 0.5)
    }
    proposal = proposed(weeks, Terms(0, 0, 7, 7, critical_ratio(too_much, too_little)))
    assert proposal.order_up_to == pytest.approx(min(costs, key=costs.__getitem__), abs=1)


def test_the_same_question_gets_the_same_answer() -> None:
    """In another process and after other questions too, so nothing that is kept between questions may matter."""
    weeks, terms = np.array([[5.0, 12.0, 30.0]]), Terms(3, 0, 12, 7, 0.9)
    first = proposed(weeks, terms)
    for kept in (order._evenly, order._normals, order._draws, order._weights):
        kept.cache_clear()
    proposed(np.array([[1.0, 2.0, 3.0]]), Terms(0, 0, 50, 7, 0.5))
    assert proposed(weeks, terms) == first


def test_a_year_and_a_half_of_days_adds_up() -> None:
    days, terms = np.tile([1.0, 4.0, 9.0], (28, 1)), Terms(0, 0, 365, 182, 0.95)
    proposal = propose(days, LEVELS, 1, terms, 0.3)
    assert proposal.expected_demand == pytest.approx(547 * demand_samples(days, LEVELS, 1, 0, 1, 0.0).mean(), rel=0.01)


def test_what_is_looked_up_is_what_the_curve_says() -> None:
    """Against the quantile function itself, at the same correlated numbers."""
    week = np.array([[3.0, 20.0, 90.0]])
    drawn = np.sqrt(0.3) * order._normals(-1) + np.sqrt(0.7) * order._normals(0)
    exact = quantile_function(ndtr(drawn), week[0], LEVELS)
    found = demand_samples(week, LEVELS, 7, 0, 7, 0.3)
    assert np.abs(found - exact).max() < 0.01 * exact.max()
    assert found.mean() == pytest.approx(exact.mean(), rel=1e-3)


def test_correlated_weeks_need_more_stock() -> None:
    weeks, terms = np.tile([5.0, 12.0, 30.0], (4, 1)), Terms(0, 0, 21, 7, 0.95)
    apart, together = (propose(weeks, LEVELS, 7, terms, correlation) for correlation in (0.0, 0.9))
    assert together.order_up_to > 1.2 * apart.order_up_to
    assert together.expected_demand == pytest.approx(apart.expected_demand, rel=0.01)


@pytest.mark.parametrize(
    ("first", "days", "period", "shares"),
    [
        (0, 17, 7, [1, 1, 3 / 7]),
        (2, 5, 7, [5 / 7]),
        (6, 2, 7, [1 / 7, 1 / 7]),
        (9, 7, 7, [0, 5 / 7, 2 / 7]),
        (0, 3, 1, [1, 1, 1]),
        (0, 0, 7, [0]),
    ],
)
def test_partial_weeks_count_by_their_days(first: int, days: int, period: int, shares: list[float]) -> None:
    np.testing.assert_allclose(period_shares(first, days, period), shares)


def test_beyond_the_forecast_weeks_go_on_without_its_promotion() -> None:
    weeks = np.array([[5.0, 10, 20], [5, 10, 20], [50, 100, 200], [5, 10, 20]])
    np.testing.assert_array_equal(extended(weeks, 6, 7)[4:], [[5, 10, 20], [5, 10, 20]])
    np.testing.assert_array_equal(extended(weeks, 2, 7), weeks[:2])


def test_beyond_the_forecast_days_go_on_by_weekday() -> None:
    days = np.arange(14.0)[:, None] % 7 * [1, 2, 3]
    np.testing.assert_array_equal(extended(days, 30, 1)[:, 0], np.arange(30) % 7)


def test_a_forecast_has_tails_beyond_its_levels() -> None:
    values = np.array([10.0, 20.0, 40.0])
    chances = np.array([0.0001, 0.05, 0.1, 0.3, 0.5, 0.9, 0.95, 0.999])
    units = quantile_function(chances, values, LEVELS)
    assert (np.diff(units) >= 0).all() and units[0] == 0
    np.testing.assert_allclose(units[[2, 4, 5]], values)
    assert units[6] == pytest.approx(40 + 20 * math.log(2) / math.log(5)), "half the chance, one exponential step more"
    assert quantile_function(np.array([0.8]), values, LEVELS)[0] == pytest.approx(40 - 20 * math.log(2) / math.log(5))


def test_a_single_level_has_no_tails() -> None:
    np.testing.assert_array_equal(quantile_function(np.array([0.1, 0.99]), np.array([7.0]), np.array([0.5])), [7, 7])


def test_packs_and_the_minimum() -> None:
    assert order_quantity(0, 12, 100) == 0
    assert order_quantity(1, 12, 0) == 12
    assert order_quantity(24, 12, 0) == 24
    assert order_quantity(5, 12, 100) == 108
    assert order_quantity(0.3, 0.1, 0) == pytest.approx(0.3)


def test_the_reason_says_what_counts() -> None:
    proposal = proposed(np.full((4, 3), 70.0), Terms(30, 20, 3, 7, 0.9, pack_size=24, minimum_order=60))
    assert proposal.reason == (
        "Order 72: 100 units last 10 days (3 until the order arrives and 7 until the next review) with 90 % certainty, "
        "of which 100 are expected to sell; 50 are on hand or on order, in packs of 24, raised to the minimum of 60."
    )
