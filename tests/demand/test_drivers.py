"""What moved a forecast: the parts add up, and a promotion is told as one."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from components.demand.answer.drivers import explain, group_of
from components.demand.features.panel import Panel
from components.demand.models.gbm import Gbm, GbmParams

WEEKS, HORIZON = 36, 3
LISTS = ("y", "known_mailer", "known_display")


def world(n: int = 24) -> pl.DataFrame:
    """Levels of 20 to 100; a mailer doubles sales, a display does nothing; mailer, nothing and display lie ahead."""
    random = np.random.default_rng(1)
    mailer, display = (random.random((2, n, WEEKS + HORIZON)) < 0.3).astype(float)
    mailer[:, WEEKS:], display[:, WEEKS:] = [1, 0, 0], [0, 0, 1]
    level = np.linspace(20, 100, n)[:, None]
    y = np.round(level * 2 ** mailer[:, :WEEKS] * random.lognormal(0, 0.05, (n, WEEKS)))
    return pl.DataFrame(
        {
            "query": np.arange(n, dtype=np.int32),
            "series_id": [f"s{number}" for number in range(n)],
            "origin": [date(2024, 1, 1)] * n,
            "period_days": [7] * n,
            "horizon": [HORIZON] * n,
            "quantiles": [[0.1, 0.5, 0.9]] * n,
            "series_class": ["fast"] * n,
            "y": y.tolist(),
            "known_mailer": mailer.tolist(),
            "known_display": display.tolist(),
        },
        schema_overrides={name: pl.List(pl.Float32) for name in LISTS},
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[Gbm, Panel]:
    known = pl.col("known_mailer", "known_display").list.head(WEEKS)
    model = Gbm(GbmParams(n_trees=60, n_bags=2, learning_rate=0.15, min_rows_per_leaf=10)).fit(
        world().with_columns(known)
    )
    return model, Panel.of(world())


@pytest.mark.parametrize("step", [1, 2, 3])
def test_the_parts_add_up_to_the_median(fitted: tuple[Gbm, Panel], step: int) -> None:
    model, panel = fitted
    values, explained = model.forecast(panel), explain(model, panel)
    for row in (0, 11, 23):
        total = sum(driver.units for driver in explained[row][step - 1])
        assert total == pytest.approx(values[row, step - 1, 1], rel=1e-4)


def test_a_mailer_is_found_and_told_in_units(fitted: tuple[Gbm, Panel]) -> None:
    model, panel = fitted
    level, promotion = explain(model, panel)[23][0][:2]
    assert (level.group, promotion.group) == ("level", "promotion")
    assert level.units == pytest.approx(100, rel=0.2)
    assert promotion.units == pytest.approx(100, rel=0.25)
    assert promotion.words == f"in the mailer that week: +{promotion.units:.0f} units"


def test_what_does_nothing_moves_little_and_nothing_planned_nothing(fitted: tuple[Gbm, Panel]) -> None:
    model, panel = fitted
    explained = [[{each.group: each for each in drivers} for drivers in steps] for steps in explain(model, panel)]
    assert not any("promotion" in plain for _, plain, _ in explained)
    displayed = [drivers["promotion"] for _, _, drivers in explained]  # it is told, however little it moves
    usual = [drivers["level"].units for _, _, drivers in explained]
    assert all(abs(told.units) < 0.15 * level for told, level in zip(displayed, usual, strict=True))
    assert all(told.words.startswith("on display that week") for told in displayed)


def test_a_product_without_a_history_has_a_level_and_a_promotion(fitted: tuple[Gbm, Panel]) -> None:
    model, _ = fitted
    none = pl.lit([], dtype=pl.List(pl.Float32))
    ahead = pl.col("known_mailer", "known_display").list.tail(HORIZON)
    new = Panel.of(world().head(1).with_columns(ahead, y=none))
    drivers = explain(model, new)[0][0]
    assert [driver.group for driver in drivers] == ["level", "promotion"]
    assert sum(driver.units for driver in drivers) == pytest.approx(model.forecast(new)[0, 0, 1])


def test_together_series_are_told_what_each_is_told_alone(fitted: tuple[Gbm, Panel]) -> None:
    model, panel = fitted
    together = explain(model, panel)
    assert len(together) == len(panel) and {len(each) for each in together} == {HORIZON}
    for row in (0, 23):
        assert explain(model, Panel.of(world()[row]))[0] == together[row]


@pytest.mark.parametrize(
    ("feature", "group"),
    [
        ("lag_1", "level"),
        ("known_mailer_A", "level"),
        ("known_mailer_rivals", "plan"),
        ("trend_4_13", "trend"),
        ("season_52_around", "season"),
        ("week_of_year", "season"),
        ("past_price_1", "price"),
        ("known_price", "price"),
        ("known_temperature", "plan"),
    ],
)
def test_features_speak_for_a_group(feature: str, group: str) -> None:
    assert group_of(feature) == group
