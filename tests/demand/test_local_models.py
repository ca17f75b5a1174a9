"""Forecasters that look at one series alone: known answers, and what must hold for any history."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import components.demand.local as local
from components.core.errors import NotFitted
from components.core.model import make_model, model_class, model_names
from components.demand.features.panel import Panel
from components.demand.local import mean_trace, trace_each, trailing_mean, widening
from components.demand.models.seasonal_naive import season_trace
from components.demand.spread import Trace, recency, spread, weighted_quantiles

NAMES = [name for name in model_names("demand") if issubclass(model_class("demand", name), local.Local)]
every_local = pytest.mark.parametrize("name", NAMES)
NAN = float("nan")
Frame = Callable[..., pl.DataFrame]


def asked(name: str, frame: pl.DataFrame, **params: object) -> np.ndarray:
    """(n, horizon, 3) answers of a fitted model; NaN for a series that it leaves out."""
    answer = make_model("demand", name, params).fit(frame).predict(frame)
    keys = frame.select("query", week=pl.date_ranges("origin", pl.col("origin").dt.offset_by("3w"), "1w"))
    full = keys.explode("week").join(pl.DataFrame({"quantile": [0.1, 0.5, 0.9]}), how="cross")
    scores = full.join(answer, on=["query", "week", "quantile"], how="left", maintain_order="left")["score"]
    return scores.fill_null(NAN).to_numpy().reshape(frame.height, 4, 3)


def noisy(level: float, weeks: int, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).poisson(level, weeks).astype(float).tolist()


@every_local
def test_constant_series_goes_on(name: str, weekly_frame: Frame) -> None:
    np.testing.assert_allclose(asked(name, weekly_frame([[12.0] * 40, [0.25] * 15])).T, [[[12, 0.25]] * 4] * 3, 1e-3)


@every_local
def test_middle_of_steady_noise_is_its_level(name: str, weekly_frame: Frame) -> None:
    answer = asked(name, weekly_frame([noisy(100, 52, seed) for seed in range(20)]))
    middle, low, high = (answer[:, :, place].mean() for place in (1, 0, 2))
    assert middle == pytest.approx(100, rel=0.05)
    # A Poisson's own 10 % and 90 % quantiles are 87 and 113; a naive forecast doubles the variance.
    assert 74 < low < 91
    assert 109 < high < 128


@every_local
def test_eighty_per_cent_band_holds_about_eighty_per_cent(name: str, weekly_frame: Frame) -> None:
    random = np.random.default_rng(1)
    weeks = random.negative_binomial(3, 3 / (3 + 20), (400, 48)).astype(float)
    answer = asked(name, weekly_frame(weeks[:, :44].tolist()))
    coming = weeks[:, 44:]
    assert 0.74 < np.mean((coming >= answer[:, :, 0]) & (coming <= answer[:, :, 2])) < 0.88


@every_local
def test_series_of_nothing_stays_nothing(name: str, weekly_frame: Frame) -> None:
    assert (asked(name, weekly_frame([[0.0] * 30])) == 0).all()


@every_local
def test_rare_sales_have_a_low_middle_and_an_upper_side(name: str, weekly_frame: Frame) -> None:
    rare = [4.0 if week % 5 == 0 else 0.0 for week in range(48)]
    answer = asked(name, weekly_frame([rare]))[0]
    assert (answer[:, 0] == 0).all()
    if name != "seasonal_naive":  # which repeats whatever week it hits
        assert (answer[:, 1] < 1.5).all()
        assert (answer[:, 2] > 1.0).all()


@every_local
def test_one_week_is_enough_and_no_week_is_too_little(name: str, weekly_frame: Frame) -> None:
    answer = asked(name, weekly_frame([[7.0], [None] * 9 + [7.0], [None] * 9, []]))
    np.testing.assert_allclose(answer[:2, :, 1], 7.0)
    assert (answer[:2, :, 0] < 5).all()  # one week says little: the band is wide
    assert (answer[:2, :, 2] > 9).all()
    assert np.isnan(answer[2:]).all()


@every_local
def test_other_series_change_nothing(name: str, weekly_frame: Frame) -> None:
    mine = [noisy(30, 40), noisy(3, 25, 1), noisy(8, 5, 2)]
    alone = asked(name, weekly_frame(mine))
    among = asked(name, weekly_frame([*mine, noisy(4000, 90), [None] * 30, [0.0] * 60]))
    np.testing.assert_allclose(alone, among[:3], rtol=1e-9)


@every_local
def test_use_before_fit_is_refused(name: str, weekly_frame: Frame) -> None:
    with pytest.raises(NotFitted, match=f"{name}: .*fit"):
        make_model("demand", name, {}).predict(weekly_frame([[1.0]]))


HISTORY = st.lists(st.one_of(st.none(), st.integers(0, 200).map(float)), min_size=1, max_size=30).filter(
    lambda values: any(value is not None for value in values)
)


@every_local
@settings(max_examples=25, deadline=None)
@given(history=HISTORY)
def test_any_known_history_gets_ordered_finite_units(name: str, weekly_frame: Frame, history: list) -> None:
    answer = asked(name, weekly_frame([history]))
    assert np.isfinite(answer).all()
    assert (answer >= 0).all()
    assert (np.diff(answer, axis=2) >= 0).all()


@every_local
@settings(max_examples=25, deadline=None)
@given(history=HISTORY, factor=st.sampled_from([0.25, 2.0, 1024.0]))
def test_units_or_dozens_is_the_same_forecast(name: str, weekly_frame: Frame, history: list, factor: float) -> None:
    scaled = [None if value is None else value * factor for value in history]
    one, other = asked(name, weekly_frame([history])), asked(name, weekly_frame([scaled]))
    if any(history):  # all zero: the scale is one unit, whatever a unit is
        np.testing.assert_allclose(other, one * factor, rtol=1e-6, atol=1e-9)


def test_negative_weeks_count_as_none_sold(weekly_frame: Frame) -> None:
    frames = [weekly_frame([[5.0, returned, 5.0] * 10]) for returned in (-3.0, 0.0)]
    assert asked("npts", frames[0])[0, 0, 0] == asked("npts", frames[1])[0, 0, 0] == 0


def test_seasonal_naive_repeats_the_year_where_it_is_known(weekly_frame: Frame) -> None:
    year = [float(10 + week) for week in range(52)]
    answer = asked("seasonal_naive", weekly_frame([year * 2, year[:40]]))
    np.testing.assert_allclose(answer[0, :, 1], [10, 11, 12, 13], rtol=1e-6)  # the same weeks last year
    np.testing.assert_allclose(answer[0, :, 0], answer[0, :, 2], rtol=1e-6)  # nothing ever strayed from it
    short = asked("seasonal_naive", weekly_frame([[1.0, 2.0, 3.0, 4.0] * 10]))
    np.testing.assert_allclose(short[0, :, 1], [1, 2, 3, 4], rtol=1e-6)


def test_seasonal_naive_goes_on_beyond_one_season() -> None:
    trace = season_trace(np.array([[9.0, 1.0, 4.0]]), 2, 5)
    np.testing.assert_array_equal(trace.ahead, [[1, 2, 1, 2, 1]])
    np.testing.assert_array_equal(trace.fitted, [[NAN, NAN, 3]])


def test_a_day_repeats_the_same_weekday(weekly_frame: Frame) -> None:
    week = [3.0, 5.0, 5.0, 5.0, 8.0, 20.0, 1.0]
    days = weekly_frame([week * 8]).with_columns(period_days=1)
    panel = Panel.of(days)
    forecast = make_model("demand", "seasonal_naive", {}).fit(days).forecast(panel)
    np.testing.assert_allclose(forecast[0, :, 1], week[:4], rtol=1e-6)


def test_moving_average_follows_its_window(weekly_frame: Frame) -> None:
    risen = weekly_frame([[10.0] * 20 + [30.0] * 8])
    assert (asked("moving_average", risen, window=2)[0, :, 1] > 25).all()
    assert (asked("moving_average", risen, window=28)[0, :, 1] < 20).all()


def test_trailing_mean_skips_the_unknown() -> None:
    means = trailing_mean(np.array([[NAN, 2.0, 4.0, NAN, 9.0, NAN]]), 2)
    np.testing.assert_array_equal(means, [[NAN, 2, 3, 3, 6.5, 6.5]])


def test_weighted_quantiles_by_hand() -> None:
    values = np.array([[3.0, NAN, 1.0, 2.0], [NAN] * 4, [5.0, NAN, NAN, NAN]])
    found = weighted_quantiles(values, np.array([2.0, 9.0, 1.0, 1.0]), np.array([0.1, 0.375, 0.5625, 0.9]))
    # Middles of the weights: 1 at 1/8, 2 at 3/8, 3 at 6/8.
    np.testing.assert_allclose(found, [[1, 2, 2.5, 3], [NAN] * 4, [5] * 4])
    np.testing.assert_allclose(recency(3, 1.0), [0.25, 0.5, 1])


def test_errors_widen_with_the_horizon_as_told() -> None:
    relative = np.random.default_rng(0).gamma(4, 0.25, (1, 40))
    mean = mean_trace(relative, 8, 2)
    wide = spread(Trace(mean.ahead, mean.fitted, np.array([[1.0, 2.0]])), relative, np.array([0.5, 0.9]))
    assert wide[0, 1, 1] > wide[0, 0, 1]
    np.testing.assert_allclose(widening(np.array([2.0, 2.2, 90.0])), [1, 1.1, np.sqrt(3)])
    np.testing.assert_array_equal(widening(np.array([0.0, 0.0])), [1, 1])


def _last_value(history: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Last value; astray where it is large, and without an answer where it is 13."""
    last = {13.0: NAN, 50.0: 1e9}.get(float(history[-1]), history[-1])
    return np.full(horizon, last), np.roll(history, 1), None


def test_a_method_that_goes_astray_is_held_or_replaced() -> None:
    series = np.tile(np.arange(1.0, 13.0), (4, 1))
    series[:, -1] = [12, 13, 50, 12]
    series[3, :5] = NAN  # seven known periods: too short for the method
    fallback = mean_trace(series, 8, 2)
    ahead = trace_each(series, fallback, _last_value, "test").ahead
    np.testing.assert_array_equal(ahead[[0, 2]], [[12, 12], [100, 100]])  # at most twice the best week
    np.testing.assert_array_equal(ahead[[1, 3]], fallback.ahead[[1, 3]])


def test_long_work_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    series = np.random.default_rng(0).gamma(4, 0.25, (3, 20))
    monkeypatch.setattr(local, "SECONDS_BETWEEN_NEWS", -1.0)
    with caplog.at_level("INFO"):
        trace = trace_each(series, mean_trace(series, 8, 4), _last_value, "test")
    assert [record.message for record in caplog.records] == [f"test: {done} of 3 series" for done in range(3)]
    np.testing.assert_array_equal(trace.ahead, np.repeat(series[:, -1:], 4, axis=1))
