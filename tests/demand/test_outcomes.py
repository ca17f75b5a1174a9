"""Outcomes of forecasts, against figures worked out by hand."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.demand.evaluation.outcomes import outcomes

ORIGIN = date(2024, 1, 1)
POOL = pl.DataFrame({"query": []})
FIGURES = ("wape", "wql", "bias", "coverage")


def asked(histories: list[list[float | None]], horizon: int = 2, **columns: list[Any]) -> pl.DataFrame:
    """Queries with these histories, one week a period."""
    n = len(histories)
    return pl.DataFrame(
        {
            "query": range(n),
            "series_id": [f"s{number}" for number in range(n)],
            "origin": [ORIGIN] * n,
            "period_days": [7] * n,
            "horizon": [horizon] * n,
            "y": histories,
            "series_class": ["fast"] * n,
            **columns,
        },
        schema_overrides={"query": pl.Int32, "y": pl.List(pl.Float32)},
    )


def table(column: str, values: list[list[list[float]]], levels: list[float], weights: bool = False) -> pl.DataFrame:
    """Long table of values[query][step][level]."""
    rows = [
        (query, ORIGIN + timedelta(weeks=step), level, value)
        for query, steps in enumerate(values)
        for step, each in enumerate(steps)
        for level, value in zip(levels, each, strict=True)
    ]
    schema = {"query": pl.Int32, "week": pl.Date, "quantile": pl.Float64, column: pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(weight=1.0 + 4 * (pl.col("week") > ORIGIN).cast(pl.Float64)) if weights else frame


def units(values: list[list[float]], levels: list[float], weights: bool = False) -> pl.DataFrame:
    return table("label", [[[value] * len(levels) for value in steps] for steps in values], levels, weights)


THREE = [0.1, 0.5, 0.9]


def test_every_measure_by_hand() -> None:
    queries = asked([[None, 0.0, 2.0, 4.0, 4.0]])
    scores = table("score", [[[4.0, 7.0, 9.0], [1.0, 3.0, 5.0]]], THREE)
    (row,) = outcomes(scores, queries, units([[10.0, 2.0]], THREE, weights=True), POOL).iter_rows(named=True)
    assert (row["wape"], row["wape of"]) == (3 + 1, 12)
    assert row["bias"] == (7 - 10) + (3 - 2) and row["bias of"] == 12
    # over the top by 6, 3 and 1 in the first week; in the second 1 below, 1 and 3 above
    first, second = (0.1 * 6 + 0.5 * 3 + 0.9 * 1), (0.1 * 1 + 0.5 * 1 + 0.1 * 3)
    assert row["wql"] == pytest.approx(2 * (first + second) / 3) and row["wql of"] == 12
    assert (row["coverage"], row["coverage of"]) == (1, 2), "10 is above 9, 2 is within [1, 5]"
    assert row["wmae"] == 1 * 3 + 5 * 1 and row["wmae of"] == 6
    assert [row[f"wape@{step}"] for step in (1, 2)] == [3, 1]
    assert [row[f"wape@{step} of"] for step in (1, 2)] == [10, 2]
    # history from the first sale on: 2, 4, 4; its changes squared: 4, 0
    assert row["rmsse"] == pytest.approx(math.sqrt((9 + 1) / 2 / 2))
    assert row["headline"] is True


def test_unknown_weeks_count_nowhere_and_silence_is_a_forecast_of_nothing() -> None:
    queries = asked([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    scores = table("score", [[[3.0, 3.0, 3.0], [9.0, 9.0, 9.0]]], THREE)
    truth = units([[5.0], [5.0, 5.0]], THREE)
    found = outcomes(scores, queries, truth, POOL)
    assert found["query"].to_list() == [0, 1, 2]
    assert found["wape"].to_list() == [2.0, 10.0, None] and found["wape of"].to_list() == [5.0, 10.0, None]
    assert found["coverage"].to_list() == [0.0, 0.0, None] and found["wape@2"].to_list() == [None, 5.0, None]


def test_without_a_median_the_nearest_level_stands_for_it_and_one_level_has_no_band() -> None:
    queries, truth = asked([[1.0, 2.0]], horizon=1), units([[10.0]], [0.2, 0.6, 0.9])
    three = outcomes(table("score", [[[1.0, 8.0, 20.0]]], [0.2, 0.6, 0.9]), queries, truth, POOL)
    assert three["wape"].item() == 2 and three["coverage"].item() == 1
    one = outcomes(table("score", [[[8.0]]], [0.6]), queries, units([[10.0]], [0.6]), POOL)
    assert one["wape"].item() == 2 and one["coverage"].item() is None and one["coverage of"].item() is None


def test_a_history_that_never_changes_has_no_scale() -> None:
    queries = asked([[0.0, 0.0, 3.0, 3.0], [None, None], [0.0, 3.0, None, 1.0, 2.0]])
    scores = table("score", [[[1.0] * 3]] * 3, THREE)
    found = outcomes(scores, queries, units([[2.0], [2.0], [2.0]], THREE), POOL)["rmsse"]
    assert found.to_list() == [None, None, 1.0], "an unknown week has no change to or from it"


def test_scaled_errors_stand_once_per_series_against_its_first_history() -> None:
    queries = asked([[2.0, 4.0, 50.0], [2.0, 4.0]], horizon=1).with_columns(
        series_id=pl.lit("one"), origin=pl.Series([ORIGIN + timedelta(weeks=2), ORIGIN])
    )
    scores, truth = table("score", [[[1.0]], [[3.0]]], [0.5]), units([[3.0], [4.0]], [0.5])
    later = (pl.col("query") == 0).cast(pl.Int64) * pl.duration(weeks=2)
    found = outcomes(
        scores.with_columns(pl.col("week") + later), queries, truth.with_columns(pl.col("week") + later), POOL
    )
    assert found["rmsse"].to_list() == [None, pytest.approx(math.sqrt((4 + 1) / 2 / 4))]


def test_slices_say_class_level_age_and_whether_a_promotion_is_asked_about() -> None:
    mailer = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.2], [1.0, 1.0]]
    queries = asked([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], known_mailer=mailer, level=["product", "store", "store"])
    queries = queries.with_columns(pl.Series("y", [[1.0, 2.0], [None] + [0.0] * 12, [None] * 9 + [0.0] * 13]))
    queries = queries.with_columns(
        known_mailer=pl.Series([[1.0, 0.0, 0.0, 0.0], [0.0] * 14 + [0.2], [1.0] * 22]),
    )
    found = outcomes(table("score", [[[1.0]]], [0.5]), queries, units([[1.0]], [0.5]), POOL)
    assert found["promoted"].to_list() == ["no", "yes", "no"], "only the periods that are asked for count"
    assert found["age"].to_list() == ["new", "new", "established"]
    assert found["level"].to_list() == ["product", "store", "store"]


counts = st.lists(st.lists(st.integers(0, 50).map(float), min_size=2, max_size=2), min_size=1, max_size=5)


@settings(deadline=None, max_examples=30)
@given(truth=counts, spread=st.integers(1, 20), factor=st.sampled_from([0.5, 3.0, 1000.0]))
def test_ratios_are_free_of_scale_and_coverage_is_a_share(truth: list[list[float]], spread: int, factor: float) -> None:
    forecast = [[[max(value - spread, 0), 20.0, 20.0 + spread] for value in steps] for steps in truth]

    def total(scale: float) -> dict[str, float]:
        scaled = [[[scale * value for value in each] for each in steps] for steps in forecast]
        labels = [[scale * value for value in steps] for steps in truth]
        queries = asked([[scale, 2 * scale]] * len(truth))
        found = outcomes(table("score", scaled, THREE), queries, units(labels, THREE), POOL)
        sums = {name: found[name].to_numpy().sum() for name in found.columns if name.split()[0] in FIGURES}
        ratios = {name: sums[name] / max(sums[f"{name} of"], 1e-9) for name in FIGURES}
        return ratios | {"rmsse": found["rmsse"].to_numpy().mean()}

    one = total(1.0)
    if any(map(any, truth)):
        assert total(factor) == pytest.approx(one)
    assert 0 <= one["coverage"] <= 1 and one["wape"] >= abs(one["bias"]) - 1e-9
