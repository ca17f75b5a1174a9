"""Features against values worked out by hand, and that none of them looks ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.demand.features.panel import Panel
from components.demand.lags import Features, features, matrix, scale_at
from components.demand.response import Response, filled

NAN = float("nan")


def panel_of(y: list[list[float]] | np.ndarray, mailer: np.ndarray | None = None, period_days: int = 7) -> Panel:
    """A panel with one placement, known two periods ahead, and the price paid."""
    sales = np.array(y, np.float32)
    n, length = sales.shape
    plan = np.zeros((n, length + 2)) if mailer is None else mailer
    return Panel(
        queries=np.arange(n, dtype=np.int32),
        series_ids=[f"s{number}" for number in range(n)],
        origins=np.full(n, date(2024, 1, 1), "datetime64[D]"),
        period_days=period_days,
        horizon=2,
        quantiles=np.array([0.5]),
        y=sales,
        known=plan[:, :length, None].astype(np.float32),
        known_names=("mailer",),
        future=plan[:, length:, None].astype(np.float32),
        past=np.where(sales > 0, 1.0 + sales / 100, NAN)[:, :, None].astype(np.float32),
        past_names=("price",),
        static=np.zeros((n, 1), np.int32),
        static_names=("category",),
        classes=np.array(["fast"] * n),
    )


NONE = Response(np.ones(1), np.zeros(1))
TRIPLE = Response(np.ones(1), np.array([np.log(3.0)]))  # a mailer in all stores sells three times as much


def of(panel: Panel, origin: int, step: int = 1, response: Response = NONE) -> Features:
    scale = scale_at(panel, origin, np.ones(len(panel)))
    return features(panel, origin, [step], response, scale)[0]


def test_lags_and_windows_are_those_before_the_origin_over_its_scale() -> None:
    found = of(panel_of([[2, 4, 6, 8, 10, 100, 100]]), origin=5)
    assert found["lag_1"] == pytest.approx(10 / 6)
    assert found["lag_5"] == pytest.approx(2 / 6)
    assert np.isnan(found["lag_6"]).all()
    assert found["mean_4"] == pytest.approx(7 / 6)
    assert found["median_26"] == pytest.approx(1)
    assert found["max_4"] == pytest.approx(10 / 6)
    assert found["trend_4_13"] == pytest.approx(7 / 6)
    assert found["age"] == 5


def test_gaps_are_counted_and_unknown_periods_are_none() -> None:
    found = of(panel_of([[NAN, NAN, 3, 0, 3, 0, 0, 0]]), origin=8)
    assert found["since_sale"] == 3
    assert found["zeros_8"] == pytest.approx(4 / 6)
    assert found["smallest"] == pytest.approx(3)
    assert found["age"] == 6


def test_a_series_that_never_sold_takes_the_fallback_as_its_scale() -> None:
    panel = panel_of([[0, 0, 0], [NAN, NAN, NAN], [1, 2, 3]])
    assert scale_at(panel, 3, np.array([7.0, 8.0, 9.0])).tolist() == [7, 8, 2]
    assert of(panel, 3)["since_sale"][:2].tolist() == [99, 99]


def test_sales_are_matched_with_those_under_a_like_plan() -> None:
    mailer = np.array([[0, 1, 0, 1, 0, 1, 0, 0, 1, 0]], float)
    panel = panel_of([[10, 30, 10, 30, 10, 30, 10, 10]], mailer)
    promoted, plain = (of(panel, 8, step, TRIPLE) for step in (1, 2))
    scale = np.mean([10, 30, 10, 30, 10, 30, 10, 10])
    assert promoted["match_0"] * scale == pytest.approx(30, abs=0.5)
    assert plain["match_0"] * scale == pytest.approx(10, abs=0.2)
    assert promoted["base_planned"] * scale == pytest.approx(30)
    assert plain["base_8"] * scale == pytest.approx(10)
    assert promoted["known_mailer_over_8"] == pytest.approx(1 - 3 / 8)


def test_the_response_finds_what_a_placement_adds() -> None:
    random = np.random.default_rng(0)
    mailer = (random.random((40, 32)) < 0.3).astype(float)
    y = random.uniform(5, 200, (40, 1)) * np.exp(0.9 * mailer[:, :30]) * random.lognormal(0, 0.1, (40, 30))
    assert Response.of(panel_of(y, mailer)).beta[0] == pytest.approx(0.9, abs=0.1)


def test_a_value_that_is_not_said_is_the_last_one_said() -> None:
    known = np.array([[[NAN], [2.0], [NAN], [3.0], [NAN]], [[NAN]] * 5])
    assert filled(known)[:, :, 0].tolist() == [[2, 2, 2, 3, 3], [0] * 5]


def test_daily_series_know_the_weekday_and_the_same_day_of_last_weeks() -> None:
    week = [1.0, 2, 3, 4, 5, 6, 7]
    panel = panel_of([week * 3], np.zeros((1, 23)), period_days=1)
    found = [of(panel, 21, step) for step in (1, 2)]
    assert [float(one["weekday"][0]) for one in found] == [0, 1]  # 2024-01-01 was a Monday
    assert [float(one["season_7"][0] * 4) for one in found] == pytest.approx([1, 2])
    assert [float(one["season_7_mean"][0] * 4) for one in found] == pytest.approx([1, 2])


def test_weekly_series_know_the_season_only_after_a_year_and_a_half() -> None:
    long = np.arange(1.0, 81)[None, :]
    found = of(panel_of(long, np.zeros((1, 82))), 80, step=2)
    scale = float(np.mean(np.arange(55, 81)))
    assert found["season_52"] * scale == pytest.approx(82 - 52)
    assert found["season_52_around"] * scale == pytest.approx(82 - 52)
    assert "week_of_year" in found
    assert "season_52" not in of(panel_of(long[:, :60], np.zeros((1, 62))), 60)


@given(origin=st.integers(3, 18), step=st.integers(1, 2), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_nothing_at_or_after_the_origin_changes_a_feature(origin: int, step: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    mailer = (random.random((5, 22)) < 0.4).astype(float)
    panel = panel_of(random.poisson(4, (5, 20)), mailer)
    y, past = panel.y.copy(), panel.past.copy()
    y[:, origin:], past[:, origin:] = 1e6, -1e6
    poisoned = replace(panel, y=y, past=past)
    before, after = (matrix([of(one, origin, step, TRIPLE)]) for one in (panel, poisoned))
    np.testing.assert_array_equal(before, after)


@given(factor=st.floats(0.01, 1000), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_features_do_not_know_the_unit(factor: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    panel = panel_of(random.poisson(4, (5, 20)), (random.random((5, 22)) < 0.4).astype(float))
    scaled = replace(panel, y=(panel.y * factor).astype(np.float32))
    before, after = (matrix([of(one, 20, 1, TRIPLE)]) for one in (panel, scaled))
    sold = panel.y.sum(axis=1) > 0
    np.testing.assert_allclose(before[sold], after[sold], rtol=1e-4, atol=2e-5)
