"""The forecasting networks: known answers, units, covariates, other panels than train, and what is left on disk."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from components.core.errors import DoesNotFit, ModelError, NotFitted
from components.core.model import Model, make_model, model_class, model_names
from components.demand.features.panel import Panel, series_scale
from components.demand.models.nhits import NhitsParams
from components.demand.network import Network, pinball
from components.demand.network_response import Response
from components.demand.network_windows import Layout, lessons, questions

NETWORKS = [name for name in model_names("demand") if issubclass(model_class("demand", name), Network)]
FEW: dict[str, Any] = {"n_nets": 1, "max_steps": 120, "batch": 64, "learning_rate": 0.01}
QUICK: dict[str, dict[str, Any]] = {  # beside FEW, of architectures that have something to make smaller
    "nhits": {"hidden": 32},
    "tft": {"max_steps": 60, "hidden": 8, "heads": 2, "learning_rate": 0.02},
}
HORIZON, LENGTH, N_SERIES = 2, 20, 16
LEVELS = [0.1, 0.5, 0.9]
every_network = pytest.mark.parametrize("name", NETWORKS)


def shop(length: int = LENGTH, future: bool = False, seed: int = 0, size: float = 1.0) -> pl.DataFrame:
    """Series that sell `level` units, three times as many in the random weeks of a mailer, and nothing else."""
    random = np.random.default_rng(seed)
    level = size * np.array([10.0, 20.0, 40.0, 80.0])[np.arange(N_SERIES) % 4]
    mailer = (random.random((N_SERIES, 60)) < 0.3).astype(float)
    units = level[:, None] * (1 + 2 * mailer)
    return table(units[:, :length], mailer[:, : length + HORIZON * future])


def table(units: np.ndarray, mailer: np.ndarray) -> pl.DataFrame:
    n, length = units.shape
    return pl.DataFrame(
        {
            "query": np.arange(n, dtype=np.int32),
            "series_id": [f"s{number}" for number in range(n)],
            "origin": [date(2025, 1, 6) + timedelta(weeks=length)] * n,
            "period_days": [7] * n,
            "horizon": [HORIZON] * n,
            "quantiles": [LEVELS] * n,
            "y": units.tolist(),
            "known_mailer": mailer.tolist(),
            "past_price": np.ones((n, length)).tolist(),
            "static_category": np.zeros(n, np.int32),
            "series_class": ["fast"] * n,
        }
    )


def quick(name: str, **values: Any) -> Model:
    return make_model("demand", name, FEW | QUICK.get(name, {}) | values)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Model]:
    return {name: quick(name).fit(shop()) for name in NETWORKS}


def medians(answer: pl.DataFrame) -> np.ndarray:
    return answer.filter(pl.col("quantile") == 0.5)["score"].to_numpy().reshape(-1, HORIZON)


@every_network
def test_planned_promotions_are_answered(name: str, fitted: dict[str, Model]) -> None:
    """Also for series never seen, and with a longer history than train had."""
    for seed, length in ((0, LENGTH), (7, LENGTH), (7, LENGTH + 6)):
        queries = shop(length, future=True, seed=seed)
        truth = np.array([10.0, 20.0, 40.0, 80.0])[np.arange(N_SERIES) % 4][:, None] * (
            1 + 2 * Panel.of(queries).future[:, :, 0]
        )
        found = medians(fitted[name].predict(queries))
        assert np.abs(found - truth).sum() / truth.sum() < 0.2, (seed, length)


@every_network
def test_a_mailer_sells_more_than_none(name: str, fitted: dict[str, Model]) -> None:
    queries = shop(future=True)
    mailer = np.array(queries["known_mailer"].to_list())

    def planned(value: float) -> np.ndarray:
        plan = np.concatenate([mailer[:, :LENGTH], np.full((N_SERIES, HORIZON), value)], axis=1)
        return medians(fitted[name].predict(queries.with_columns(known_mailer=pl.Series(plan.tolist()))))

    assert (planned(1.0) > 1.5 * planned(0.0)).all()
    assert np.array_equal(planned(100.0), planned(1.0))  # nobody has seen a hundredfold mailer


@every_network
def test_scaled_sales_give_scaled_forecasts(name: str, fitted: dict[str, Model]) -> None:
    usual = fitted[name].predict(shop(future=True))["score"].to_numpy()
    scaled = fitted[name].predict(shop(future=True, size=1000.0))["score"].to_numpy()
    np.testing.assert_allclose(scaled, 1000 * usual, rtol=1e-3)


@every_network
def test_same_seed_gives_the_same_answer_and_disturbs_nobody(name: str, fitted: dict[str, Model]) -> None:
    queries = shop(future=True)
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    again = quick(name).fit(shop()).predict(queries)
    assert np.random.random() == expected
    assert_frame_equal(again, fitted[name].predict(queries), check_exact=True)


@every_network
def test_loaded_network_predicts_identically(name: str, fitted: dict[str, Model], tmp_path: Path) -> None:
    model, queries = fitted[name], shop(LENGTH + 3, future=True, seed=3)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert_frame_equal(loaded.predict(queries), model.predict(queries), check_exact=True)
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}


def test_nets_are_averaged_and_all_saved(tmp_path: Path) -> None:
    model = quick("nhits", n_nets=2, max_steps=30).fit(shop())
    first, second = (quick("nhits", seed=seed, max_steps=30).fit(shop()) for seed in (0, 1))
    asked = Panel.of(shop(future=True))
    mean = (first.forecast(asked) + second.forecast(asked)) / 2  # type: ignore[attr-defined]
    assert not np.allclose(first.forecast(asked), second.forecast(asked))  # type: ignore[attr-defined]
    np.testing.assert_allclose(model.forecast(asked), mean, rtol=1e-5)  # type: ignore[attr-defined]
    model.save(tmp_path)
    loaded = type(model).load(tmp_path)
    np.testing.assert_array_equal(loaded.forecast(asked), model.forecast(asked))  # type: ignore[attr-defined]


def test_environment_says_where_and_how_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Panel.of(shop(future=True))
    full = quick("nhits", max_steps=30).fit(shop()).forecast(asked)  # type: ignore[attr-defined]
    monkeypatch.setenv("SHOP_PRECISION", "bf16-mixed")
    half = quick("nhits", max_steps=30).fit(shop()).forecast(asked)  # type: ignore[attr-defined]
    assert np.isfinite(half).all() and not np.array_equal(half, full)
    monkeypatch.setenv("SHOP_ACCELERATOR", "abacus")
    with pytest.raises(ValueError, match="abacus"):
        quick("nhits", max_steps=3).fit(shop())


def test_training_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick("nhits", max_steps=3).fit(shop(), scratch=tmp_path / "scratch")
    assert list(tmp_path.iterdir()) == []


def test_training_that_dies_leaves_the_model_as_it_was(
    fitted: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.demand import network_training

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network_training._Dataset, "__getitems__", killed)
    model = quick("nhits")
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        model.fit(shop())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFitted):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_diverged_network_steps_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DoesNotFit, match="diverged"):
        quick("nhits", learning_rate=1e4, max_steps=5, warm_up_share=0.9).fit(shop())


def test_too_little_memory_or_history_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DoesNotFit, match="known periods in a row"):
        quick("nhits").fit(shop(4))
    monkeypatch.setenv("SHOP_MEMORY_GIB", "0.00001")
    with pytest.raises(DoesNotFit, match="GiB"):
        quick("nhits").fit(shop())


@every_network
def test_what_was_not_learned_is_refused(name: str, fitted: dict[str, Model]) -> None:
    longer = table(np.ones((1, LENGTH)), np.ones((1, LENGTH))).with_columns(horizon=pl.lit(HORIZON + 1))
    with pytest.raises(ModelError, match="at most 2 periods"):
        fitted[name].predict(longer)
    one = shop(future=True).with_columns(quantiles=pl.lit([0.5]))
    np.testing.assert_array_equal(
        fitted[name].predict(one)["score"].to_numpy().reshape(-1, HORIZON),
        medians(fitted[name].predict(shop(future=True))),
    )


@every_network
def test_gaps_and_absent_covariates_are_no_obstacle(name: str, fitted: dict[str, Model]) -> None:
    queries = shop(future=True).drop("known_mailer", "past_price")
    units = np.array(queries["y"].to_list(), object)
    units[0, 5:9], units[1, :] = None, None
    answer = fitted[name].predict(queries.with_columns(y=pl.Series(units.tolist(), dtype=pl.List(pl.Float64))))
    assert answer["query"].n_unique() == N_SERIES - 1  # a series without any known week is left out
    assert answer["score"].is_finite().all()


def test_windows_know_nothing_of_what_follows_their_origin() -> None:
    """Poisoning what follows an origin changes neither the scale nor the regression of its window."""
    params = NhitsParams(input_periods=4)
    panel = Panel.of(shop())
    layout = Layout.of(panel)
    windows = lessons(panel, layout, params)
    origin = 12
    at = np.flatnonzero(windows.starts == origin)
    asked = questions(Panel.of(table(panel.y[:, :origin], panel.known[:, : origin + HORIZON, 0])), layout, params)
    known = slice(0, params.input_periods)
    np.testing.assert_allclose(windows.scales[at], asked.scales)
    everyone = np.arange(len(asked))
    np.testing.assert_allclose(windows.take(at)[:, known, :4], asked.take(everyone)[:, known, :4], atol=1e-5)
    future_known = windows.take(at)[:, 4:, 2:4]
    np.testing.assert_allclose(future_known, asked.take(everyone)[:, 4:, 2:4], atol=1e-5)


def test_windows_hold_the_truth_they_are_for() -> None:
    panel = Panel.of(shop())
    windows = lessons(panel, Layout.of(panel), NhitsParams(input_periods=3))
    cut = windows.take(np.arange(len(windows)))
    for number in (0, 50, len(windows) - 1):
        row, origin = windows.rows[number], windows.starts[number]
        expected = panel.y[row, origin : origin + HORIZON] / series_scale(panel.y[row : row + 1, :origin])
        np.testing.assert_allclose(cut[number, 3:, 0], expected, rtol=1e-6)
    assert set(windows.starts[windows.latest()]) == {LENGTH - HORIZON}
    assert windows.weights.mean() == pytest.approx(1.0)


@examples(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 100))
def test_response_is_the_ridge_regression(seed: int, shrinkage: float) -> None:
    from sklearn.linear_model import Ridge

    random = np.random.default_rng(seed)
    covariates = random.normal(size=(2, 15, 3)).astype(np.float32)
    units, known = random.random((2, 15)).astype(np.float32), random.random((2, 15)) < 0.8
    known[:, :3] = True
    found = Response.of(units, known, covariates, shrinkage).over(covariates) + 1
    for row in range(2):
        told = known[row]
        expected = Ridge(alpha=shrinkage).fit(covariates[row, told], units[row, told]).predict(covariates[row])
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_pinball_loss_by_hand() -> None:
    truth, forecast = np.array([[10.0], [0.0]]), np.array([[[8.0, 12.0]], [[1.0, 1.0]]])
    # the first: .1 * 2 units too few and .1 * 2 too many; the second: .9 and .1 of one too many
    assert pinball(truth, forecast, np.array([0.1, 0.9]), np.array([1.0, 3.0])) == pytest.approx((0.2 + 3 * 0.5) / 4)
