"""A year before, grown: known answers on series that repeat."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import NotFitted
from components.demand.models.seasonal_growth import SeasonalGrowth, SeasonalGrowthParams

HORIZON, SEASON = 3, 4


def asked(histories: list[list[float | None]], horizon: int = HORIZON) -> pl.DataFrame:
    """Weekly series asked at one origin for three quantiles."""
    n = len(histories)
    return pl.DataFrame(
        {
            "query": range(n),
            "series_id": [f"s{number}" for number in range(n)],
            "origin": [date(2024, 1, 1)] * n,
            "period_days": [7] * n,
            "horizon": [horizon] * n,
            "quantiles": [[0.1, 0.5, 0.9]] * n,
            "y": histories,
            "series_class": ["fast"] * n,
        },
        schema_overrides={"query": pl.Int32, "y": pl.List(pl.Float32)},
    )


def medians(histories: list[list[float | None]], horizon: int = HORIZON, **params: float) -> np.ndarray:
    chosen = SeasonalGrowthParams.model_validate({"season": SEASON, "smoothing": 0.0, "damping": 1.0} | params)
    queries = asked(histories, horizon)
    scores = SeasonalGrowth(chosen).fit(queries).predict(queries)
    return scores.filter(pl.col("quantile") == 0.5)["score"].to_numpy().reshape(len(histories), horizon)


def test_what_repeats_is_repeated_beyond_one_season_too() -> None:
    history: list[float | None] = [1.0, 5.0, 2.0, 8.0] * 2
    assert medians([history], horizon=6).tolist() == [[1, 5, 2, 8, 1, 5]]
    assert medians([history[:4]]).tolist() == [[1, 5, 2]], "one season is enough"


def test_growth_goes_on_as_far_as_it_is_believed() -> None:
    history: list[float | None] = [10.0, 20.0, 30.0, 40.0, 14.4, 28.8, 43.2, 57.6]
    assert medians([history])[0] == pytest.approx(np.array([14.4, 28.8, 43.2]) * 1.44)
    assert medians([history], damping=0.5)[0] == pytest.approx(np.array([14.4, 28.8, 43.2]) * 1.2)
    begun: list[float | None] = [1.0, 0.0, 0.0, 0.0, 10.0, 10.0, 10.0, 10.0]
    assert medians([begun])[0] == pytest.approx(20), "a series that just begins does not grow fortyfold again"


def test_neighbours_share_their_weight_among_those_that_are_known() -> None:
    history: list[float | None] = [0.0, 8.0, 0.0, None]
    found = medians([history], smoothing=0.5, horizon=4)
    assert found[0] == pytest.approx([0.25 * 8 / 0.75, 0.5 * 8, 0.25 * 8 / 0.75, 0])


def test_without_a_season_the_latest_mean_stands_in() -> None:
    assert medians([[None, 2.0, 4.0], [None] * 3], horizon=2).tolist() == [[3, 3], [0, 0]]


units = st.lists(st.integers(0, 30).map(float), min_size=1, max_size=14)


@settings(deadline=None, max_examples=30)
@given(histories=st.lists(units, min_size=1, max_size=3), factor=st.sampled_from([2.0, 8.0, 1024.0]))
def test_forecasts_scale_with_sales_are_ordered_and_heed_no_other_series(
    histories: list[list[float]], factor: float
) -> None:
    model = SeasonalGrowth(SeasonalGrowthParams(season=SEASON)).fit(asked([[1.0]]))
    whole = model.predict(asked([list(each) for each in histories]))
    scaled = model.predict(asked([[factor * value for value in each] for each in histories]))
    assert scaled["score"].to_numpy() == pytest.approx(factor * whole["score"].to_numpy())
    assert (whole.group_by("query", "week").agg(pl.col("score").diff().min())["score"] >= 0).all()
    alone = model.predict(asked([list(histories[0])]))["score"].to_numpy()
    assert whole.filter(pl.col("query") == 0)["score"].to_numpy() == pytest.approx(alone)


def test_it_must_be_fitted_and_comes_back_from_its_folder(tmp_path: Path) -> None:
    queries = asked([[1.0, 5.0, 2.0, 8.0] * 3])
    with pytest.raises(NotFitted):
        SeasonalGrowth().predict(queries)
    model = SeasonalGrowth(SeasonalGrowthParams(season=SEASON, damping=0.2)).fit(queries)
    model.save(tmp_path)
    assert SeasonalGrowth.load(tmp_path).predict(queries).equals(model.predict(queries))
