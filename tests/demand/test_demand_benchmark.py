"""The demand benchmark on a generated folder: its windows, its figure by hand, and a whole run."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from benchmarks import demand
from components.demand.features.folds import FeatureParams
from components.demand.features.panel import Panel

START, LENGTH, HORIZON = date(2020, 1, 3), 72, 4  # Fridays
TEST = START + timedelta(weeks=LENGTH - HORIZON)
TABLES = ("train", "queries", "pool", "truth")


def sales(n_series: int = 4, length: int = LENGTH) -> pl.DataFrame:
    """Weekly sales with a yearly peak, a known holiday, weights, and a series that begins in the test."""
    rows = []
    for number in range(n_series):
        for period in range(length):
            holiday = period % 52 == 10
            y = 10.0 * (number + 1) + period % 4 + 30 * holiday
            rows.append((f"{number % 2}_{number}", period, y, 5.0 if holiday else 1.0, holiday, "AB"[number % 2]))
    rows.append(("9_9", length - 1, 7.0, 1.0, False, "A"))
    schema = ["series_id", "period", "y", "weight", "is_holiday", "kind"]
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(week=pl.lit(START) + pl.duration(weeks="period")).drop("period")


def write(folder: Path, frame: pl.DataFrame, test: date = TEST, horizon: int = HORIZON) -> Path:
    folder.mkdir()
    frame.write_parquet(folder / "sales.parquet")
    task = {"freq": "W-FRI", "horizon": horizon, "first_test_week": str(test), "known_in_advance": ["is_holiday"]}
    (folder / "task.json").write_text(json.dumps(task))
    return folder


def test_windows_keep_the_weekday_and_a_whole_year_of_history(tmp_path: Path) -> None:
    demand.windows(write(tmp_path / "shop", sales()), tmp_path / "out", FeatureParams())
    origins = {
        fold: pl.read_parquet(tmp_path / "out" / fold / "queries.parquet")["origin"].unique().item()
        for fold in ("oof_1", "validation", "test")
    }
    assert origins == {
        "oof_1": TEST - timedelta(weeks=2 * HORIZON),
        "validation": TEST - timedelta(weeks=HORIZON),
        "test": TEST,
    }
    panel = Panel.of(pl.read_parquet(tmp_path / "out" / "test" / "queries.parquet"))
    assert panel.series_ids == ["0_0", "0_2", "1_1", "1_3"], "a series without a history is not asked about"
    assert panel.known_names == ("is_holiday",) and panel.future.shape == (4, HORIZON, 1)
    truth = pl.read_parquet(tmp_path / "out" / "test" / "truth.parquet")
    assert truth["week"].unique().sort().to_list() == panel.weeks[0].tolist()
    described = dict(zip(panel.static_names, panel.static.T.tolist(), strict=True))
    assert described["department"] == [0, 0, 1, 1] and described["brand"] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("first_test", "horizon", "cutoffs"),
    [(104, 39, [52, 65, 104]), (200, 39, [122, 161, 200]), (60, 8, [44, 52, 60]), (40, 20, [10, 20, 40])],
)
def test_the_window_that_teaches_begins_after_a_year_where_there_is_one(
    first_test: int, horizon: int, cutoffs: list[int]
) -> None:
    assert demand.cut(first_test, horizon, 52) == cutoffs


def test_a_history_too_short_ends_the_run_with_a_reason() -> None:
    with pytest.raises(SystemExit, match="expected at least 43 periods before the test, got 41"):
        demand.cut(41, 39, 52)


@pytest.mark.parametrize(
    ("since", "folds"), [(TEST, ["oof_1", "validation", "test"]), (TEST - timedelta(weeks=4), ["oof_1"])]
)
def test_the_future_changes_nothing_before_it(tmp_path: Path, since: date, folds: list[str]) -> None:
    frame = sales().filter(pl.col("series_id") != "9_9")
    poisoned = frame.with_columns(
        y=pl.when(pl.col("week") >= since).then(9e5).otherwise(pl.col("y")), weight=pl.lit(1.0)
    )
    for name, each in {"one": frame.with_columns(weight=pl.lit(1.0)), "other": poisoned}.items():
        demand.windows(write(tmp_path / name, each), tmp_path / f"{name}_out", FeatureParams())
    for fold in folds:
        for table in TABLES[: 3 if fold == folds[-1] and since == TEST else 4]:
            one, other = (
                pl.read_parquet(tmp_path / f"{name}_out" / fold / f"{table}.parquet") for name in ("one", "other")
            )
            assert one.equals(other), f"{fold}/{table}"


def test_a_window_that_reaches_into_validation_teaches_only_what_lies_before_it(tmp_path: Path) -> None:
    horizon, test = 26, START + timedelta(weeks=84)
    validation = test - timedelta(weeks=horizon)
    frame = sales(2, length=110)
    poisoned = frame.with_columns(y=pl.when(pl.col("week") >= validation).then(9e5).otherwise(pl.col("y")))
    truths = []
    for name, each in {"one": frame, "other": poisoned}.items():
        demand.windows(write(tmp_path / name, each, test, horizon), tmp_path / f"{name}_out", FeatureParams())
        fold = tmp_path / f"{name}_out" / "oof_1"
        truths.append(pl.read_parquet(fold / "truth.parquet"))
        weeks = pl.concat([truths[-1]["week"], pl.read_parquet(fold / "pool.parquet")["week"]])
        assert (weeks.min(), weeks.max()) == (START + timedelta(weeks=52), validation - timedelta(weeks=1))
    assert truths[0].equals(truths[1])


def test_the_weighted_error_counts_every_row_and_a_missing_forecast_as_0() -> None:
    rows = pl.DataFrame(
        {"series_id": ["a", "a", "b"], "week": [TEST, TEST + timedelta(weeks=1), TEST], "y": [4.0, -1.0, 7.0],
         "weight": [1.0, 5.0, 2.0]}
    )  # fmt: skip
    forecasts = rows.filter(pl.col("series_id") == "a").select("series_id", "week", forecast=pl.lit(3.0))
    found = demand.weighted_errors(rows, forecasts)
    assert found.rows() == [("a", 1 * 1 + 5 * 4, 6.0), ("b", 2 * 7, 2.0)]


def test_last_year_repeats_a_year_then_the_latest_then_0() -> None:
    week = [TEST - timedelta(weeks=52), TEST - timedelta(weeks=1), TEST, TEST + timedelta(weeks=1), TEST]
    table = {"series_id": ["a", "a", "a", "a", "b"], "week": week, "y": [5.0, 8.0, 6.0, 10.0, 3.0], "weight": [1.0] * 5}
    row = demand.last_year(pl.DataFrame(table), TEST, 28, 7)
    assert row["metrics"]["wmae"] == pytest.approx((abs(6 - 5) + abs(10 - 8) + 3) / 3)


def test_a_whole_run_ranks_models_and_writes_the_common_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = {
        "models": {"seasonal_naive": {}, "moving_average": {"window": 4}},
        "ensembles": {"select": {}, "blend": {"n_steps": 4}},
    }
    monkeypatch.setattr(demand, "benchmark_params", lambda asked: params)
    folder, out = write(tmp_path / "shop", sales()), tmp_path / "result.json"
    demand.main([str(folder), "--json", str(out), "--work", str(tmp_path / "work")])
    result = json.loads(out.read_text())
    rows = {row["name"]: row for row in result["rows"]}
    assert set(rows) == {"seasonal_naive", "moving_average", "select", "blend", "the same week a year before"}
    assert result["benchmark"] == "demand" and result["data"] == "shop" and result["shipped"] in rows
    assert {"metric", "of", "over", "mean", "low", "high"} <= set(result["gain"])
    assert all(np.isfinite(list(row["metrics"].values())).all() for row in rows.values())
    unasked = 7.0  # the series that begins in the test counts with all it sold
    n_rows = 4 * HORIZON + 1
    assert rows["moving_average"]["metrics"]["wmae"] == pytest.approx((4 * (1.5 + 0.5 + 0.5 + 1.5) + unasked) / n_rows)
    demand.main([str(folder), "--json", str(out), "--work", str(tmp_path / "work")])
    assert {row["name"] for row in json.loads(out.read_text())["rows"]} == set(rows), "a kept workspace goes on"


def test_the_stated_parameters_follow_the_command(tmp_path: Path) -> None:
    import argparse

    asked = argparse.Namespace(data="complete_journey", models=None, level="category_store", without="display")
    params = demand.benchmark_params(asked)
    assert params["features"]["levels"] == ["category_store"] and params["features"]["leave_out"] == ["display"]
    only = argparse.Namespace(data=str(tmp_path / "any"), models="gbm", level="product", without=None)
    assert list(demand.benchmark_params(only)["models"]) == ["gbm"]
    blocks = yaml.safe_load(Path(demand.__file__).with_suffix(".yaml").read_text())
    assert {"default", "complete_journey"} <= set(blocks)
