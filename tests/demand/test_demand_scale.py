"""The scale benchmark: parts forecast as the whole does, and a tiny run says what it must."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import demand_scale
from benchmarks.demand_parts import cut, forecast_parts, unequal
from components.core.errors import ModelError
from components.core.model import make_model, model_class, model_names
from components.demand.features.panel import Panel
from components.demand.local import Local
from components.demand.models.seasonal_growth import SeasonalGrowth

Frame = Callable[..., pl.DataFrame]
LOCAL = [name for name in model_names("demand") if issubclass(model_class("demand", name), Local | SeasonalGrowth)]


@pytest.fixture(scope="module")
def shop(weekly_frame: Frame) -> pl.DataFrame:
    """Sixty weeks of series of many sizes, some intermittent, some young, one that never sold."""
    random = np.random.default_rng(0)
    sales = random.poisson(np.geomspace(0.2, 300, 23)[:, None], (23, 60)).astype(float)
    histories = [row.tolist() for row in sales]
    for number, age in ((3, 5), (11, 20)):
        histories[number][:-age] = [None] * (60 - age)
    histories[0] = [0.0] * 60
    return weekly_frame(histories)


@given(height=st.integers(1, 40), n_parts=st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_parts_hold_every_row_once_in_order_and_evenly(height: int, n_parts: int) -> None:
    frame = pl.DataFrame({"query": range(height)})
    parts = cut(frame, n_parts)
    assert pl.concat(parts).equals(frame)
    sizes = [part.height for part in parts]
    assert len(parts) == min(height, n_parts) and min(sizes) > 0 and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("name", [*LOCAL, "gbm"])
def test_parts_forecast_bit_for_bit_as_the_whole(name: str, shop: pl.DataFrame, tmp_path: Path) -> None:
    least = {"n_trees": 15} if name == "gbm" else {}
    train = shop.with_columns(pl.col("known_mailer").list.head(60))
    fitted: Any = make_model("demand", name, least).fit(train)
    fitted.save(tmp_path)
    whole = fitted.forecast(Panel.of(shop))
    for n_parts in (1, 2, 5, shop.height):
        assert unequal(whole, forecast_parts(name, tmp_path, cut(shop, n_parts))) == 0


def test_one_different_bit_is_told_and_so_is_another_shape() -> None:
    whole = np.array([[1.0, np.nan], [2.0, 3.0]])
    assert unequal(whole, whole.copy()) == 0
    assert unequal(whole, np.where(whole == 3.0, np.nextafter(3.0, 4.0), whole)) == 1
    assert unequal(whole, np.nan_to_num(whole)) == 1, "a forecast where there was none"
    assert unequal(whole, whole[:1]) == 4


def test_a_job_runs_in_another_process_and_its_error_arrives() -> None:
    assert demand_scale.alone(os.getpid) != os.getpid()
    with pytest.raises(ModelError, match="no model 'nobody'"):
        demand_scale.alone(model_class, "demand", "nobody")


def test_a_tiny_run_tells_times_peaks_and_ratios(
    shop: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(out: Path, params: dict[str, Any]) -> None:
        some = shop.head(params["features"]["n_series"])
        (out / "test").mkdir(parents=True)
        some.with_columns(pl.col("known_mailer").list.head(60)).write_parquet(out / "test" / "train.parquet")
        some.write_parquet(out / "test" / "queries.parquet")

    monkeypatch.setattr(demand_scale, "complete_journey", write)
    monkeypatch.setattr(demand_scale, "alone", lambda function, *arguments: function(*arguments))
    out = tmp_path / "out.json"
    arguments = ["--series", "5,20", "--models", "moving_average,gbm", "--work", str(tmp_path), "--json", str(out)]
    demand_scale.main(arguments)
    rows = json.loads(out.read_text())["rows"]
    assert [row["name"] for row in rows] == ["featurise", "moving_average", "gbm"] * 2
    assert [row["metrics"]["series"] for row in rows] == [5] * 3 + [20] * 3
    assert all(row["seconds"] > 0 and row["metrics"]["own_mib"] > 10 for row in rows)
    small, large = rows[2], rows[5]
    assert "ratio" not in small["metrics"]
    assert large["metrics"]["ratio"] == pytest.approx(large["seconds"] / small["seconds"])
    demand_scale.main(arguments)
    again = json.loads(out.read_text())["rows"]
    assert [row["name"] for row in again] == ["moving_average", "gbm"] * 2, "features that are kept are not made again"
