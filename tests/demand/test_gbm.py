"""The boosted forecaster on a world whose promotions are known."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.core.errors import DataError, NotFitted
from components.demand.features.panel import Panel
from components.demand.models.gbm import Gbm, GbmParams

WEEKS, HORIZON, ORIGIN = 40, 4, date(2024, 1, 1)
PARAMS = GbmParams(n_trees=60, n_bags=2, learning_rate=0.15, min_rows_per_leaf=10)
LISTS = ("y", "known_mailer", "past_price")


def world(factor: float = 1.0, n: int = 30, seed: int = 0) -> pl.DataFrame:
    """Queries: levels of 10 to 200, three times as much in the mailer; the first of four weeks ahead is in it."""
    random = np.random.default_rng(seed)
    mailer = (random.random((n, WEEKS + HORIZON)) < 0.3).astype(float)
    mailer[:, WEEKS:] = [1, 0, 0, 0]
    level = np.linspace(10, 200, n)[:, None]
    y = np.round(level * 3 ** mailer[:, :WEEKS] * random.lognormal(0, 0.1, (n, WEEKS))) * factor
    return pl.DataFrame(
        {
            "query": np.arange(n, dtype=np.int32),
            "series_id": [f"s{number}" for number in range(n)],
            "origin": [ORIGIN] * n,
            "period_days": [7] * n,
            "horizon": [HORIZON] * n,
            "quantiles": [[0.1, 0.5, 0.9]] * n,
            "series_class": ["fast"] * n,
            "y": y.astype(np.float32).tolist(),
            "known_mailer": mailer.tolist(),
            "past_price": (1 - 0.3 * mailer[:, :WEEKS]).tolist(),
            "static_category": [number * 3 // n for number in range(n)],
        },
        schema_overrides={name: pl.List(pl.Float32) for name in LISTS} | {"static_category": pl.Int32},
    )


def train_of(queries: pl.DataFrame) -> pl.DataFrame:
    return queries.with_columns(pl.col("known_mailer").list.head(pl.col("y").list.len()))


@pytest.fixture(scope="module")
def fitted() -> Gbm:
    return Gbm(PARAMS).fit(train_of(world()))


def test_it_knows_what_a_mailer_does_and_how_sure_it_is(fitted: Gbm) -> None:
    values = fitted.forecast(Panel.of(world()))
    level = np.linspace(10, 200, 30)
    np.testing.assert_allclose(values[:, 0, 1] / level, 3, atol=0.6)
    np.testing.assert_allclose(values[:, 1:, 1] / level[:, None], 1, atol=0.25)
    assert (values[:, :, 0] < values[:, :, 1]).mean() > 0.95
    assert (values[:, :, 1] < values[:, :, 2]).mean() > 0.95


def test_a_plan_with_more_mailers_sells_more(fitted: Gbm) -> None:
    queries = world()
    more = queries.with_columns(known_mailer=pl.col("known_mailer").list.head(WEEKS).list.concat(pl.lit([1.0] * 4)))
    before, after = (fitted.forecast(Panel.of(one))[:, 1:, 1] for one in (queries, more))
    assert (after > 2 * before).all()


@pytest.mark.parametrize("factor", [0.25, 10.0])
def test_sales_in_another_unit_give_the_same_forecasts_in_it(fitted: Gbm, factor: float) -> None:
    expected = factor * fitted.forecast(Panel.of(world()))
    asked = fitted.forecast(Panel.of(world(factor)))
    learned = Gbm(PARAMS).fit(train_of(world(factor))).forecast(Panel.of(world(factor)))
    np.testing.assert_allclose(asked, expected, rtol=1e-3)
    np.testing.assert_allclose(np.median(learned / expected), 1, rtol=1e-3)
    np.testing.assert_allclose(learned, expected, rtol=0.1)


def test_save_and_load_predict_identically_without_pickle(fitted: Gbm, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".txt", ".json"}
    assert Gbm.load(tmp_path).predict(world()).equals(fitted.predict(world()))


def test_new_products_sell_what_their_category_does(fitted: Gbm) -> None:
    none = pl.lit([], dtype=pl.List(pl.Float32))
    codes = pl.Series("static_category", [0, 2, 9, -1], dtype=pl.Int32)
    last = pl.col("known_mailer").list.tail(HORIZON)
    new = world().head(4).with_columns(codes, y=none, past_price=none, known_mailer=last)
    mixed = pl.concat([world().tail(2), new]).with_columns(query=pl.int_range(6, dtype=pl.Int32))
    values = fitted.forecast(Panel.of(mixed))[2:]
    promoted, plain = values[:, 0, 1], values[:, 1, 1]
    assert np.isfinite(values).all()
    np.testing.assert_allclose(promoted / plain, 3, atol=0.4)
    assert plain[0] < plain[2] < plain[1]  # small category, unheard-of category, large category
    assert plain[2] == plain[3]
    alone = fitted.forecast(Panel.of(new))
    np.testing.assert_allclose(alone, values)


def test_a_short_history_is_enough(fitted: Gbm) -> None:
    short = world().with_columns(
        pl.col("y", "past_price").list.tail(2), known_mailer=pl.col("known_mailer").list.tail(2 + HORIZON)
    )
    values = fitted.forecast(Panel.of(short))[:, 1, 1]
    assert np.corrcoef(values, np.linspace(10, 200, 30))[0, 1] > 0.7


def test_other_covariates_than_it_was_fitted_on_are_refused(fitted: Gbm) -> None:
    with pytest.raises(DataError, match="known"):
        fitted.predict(world().drop("known_mailer"))


def test_a_shop_without_promotions_gets_forecasts() -> None:
    plain = world().drop("known_mailer")
    scores = Gbm(PARAMS).fit(plain).predict(plain)
    assert scores.height == plain.height * HORIZON * 3 and scores["score"].is_finite().all()


def test_rows_are_bounded_and_too_short_a_history_is_refused() -> None:
    few = Gbm(GbmParams(max_rows=300, n_trees=2))
    assert len(few._pairs(WEEKS, HORIZON, 30)) == 10
    assert max(origin + step for origin, step in Gbm(PARAMS)._pairs(WEEKS, HORIZON, 30)) == WEEKS
    once = train_of(world()).with_columns(pl.col(*LISTS).list.head(1))
    with pytest.raises(DataError, match="min_history"):
        few.fit(once)
    with pytest.raises(NotFitted):
        Gbm().predict(world())


def test_a_year_before_counts_where_the_history_reaches_it() -> None:
    random, weeks = np.random.default_rng(0), 110
    year = 20 + 80 * (np.arange(weeks + HORIZON) % 52 < 2)  # two high weeks a year, one of them asked for
    y = [np.round(year[:weeks] * random.lognormal(0, 0.05, weeks)).tolist() for _ in range(12)]
    flat = [[0.0] * (weeks + HORIZON)] * 12
    queries = world(n=12).with_columns(
        y=pl.Series(y), known_mailer=pl.Series(flat), past_price=pl.Series([[1.0] * weeks] * 12)
    )
    queries = queries.with_columns(pl.col(*LISTS).cast(pl.List(pl.Float32)))
    until = 103  # weeks 104 and 105 are high
    asked = queries.with_columns(
        pl.col("y", "past_price").list.head(until), pl.col("known_mailer").list.head(until + HORIZON)
    )
    values = Gbm(PARAMS).fit(train_of(asked)).forecast(Panel.of(asked))[:, :, 1]
    assert (values[:, 1:3] > 2 * values[:, [0, 3]]).all()
