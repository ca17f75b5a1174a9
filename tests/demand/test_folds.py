"""Featurise: which series, which windows, what a query may know, and rows that fit together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.core.artifacts import read_json
from components.core.errors import DataError, MissingTable
from components.core.splits import fold_table, read_folds
from components.demand.features.categories import category_means, category_units
from components.demand.features.folds import (
    FeatureParams,
    SplitParams,
    cut,
    featurise,
    load_series,
    pool_of,
    volume_classes,
)
from components.demand.features.panel import Panel
from components.demand.features.series import Grid, Series

MONDAY, N_WEEKS = date(2024, 1, 1), 16
SPLIT = SplitParams(horizon=2, origins=2, oof_folds=1, min_history=4)  # cut-offs after 4, 8 and 12 weeks
VALIDATION = MONDAY + timedelta(weeks=8)
END = "2024-04-22T00:00:00+00:00"  # 16 whole weeks
Tables = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def shop() -> Tables:
    """Twelve products of three categories in two stores; p11 comes in week 10, p00 ends with week 5."""
    random = np.random.default_rng(0)
    rows = [
        (f"p{product:02}", week, str(store), float(random.integers(1, product + 3)))
        for product in range(12)
        for week in range(N_WEEKS)
        for store in range(2)
        if random.random() < 0.8 and not (product == 11 and week < 10) and not (product == 0 and week > 4)
    ]
    lines = pl.DataFrame(rows, schema=["product_id", "week", "store_id", "quantity"], orient="row").select(
        "product_id", "store_id", "quantity", amount=2 * pl.col("quantity"),
        at=pl.lit(datetime(2024, 1, 1, 12, tzinfo=UTC)) + pl.duration(weeks="week"),
    )  # fmt: skip
    names = [f"p{product:02}" for product in range(12)]
    products = pl.DataFrame({"product_id": names, "title": names, "category": [f"c{n % 3}" for n in range(12)]})
    weeks = [MONDAY + timedelta(weeks=week) for week in range(N_WEEKS + 2)]
    placed = [(name, week, "1", "A", "7") for week in weeks for name in names if random.random() < 0.3]
    columns = ["product_id", "week", "store_id", "mailer", "display"]
    campaigns = {"campaign_id": ["1"], "product_id": ["p03"], "starts": [MONDAY], "ends": [MONDAY]}
    return {
        "transactions": lines,
        "products": products,
        "promotions": pl.DataFrame(placed, schema=columns, orient="row"),
        "campaigns": pl.DataFrame(campaigns),
    }


def sales_of(shop: Mapping[str, pl.DataFrame], days: int = 7) -> pl.DataFrame:
    """The shop's products as it might keep them itself: a row per product and week, or every `days` days."""
    cells = shop["transactions"].with_columns(at=pl.col("at").dt.date().dt.truncate("1w"))
    cells = cells.group_by("product_id", "at").agg(y=pl.col("quantity").sum()).sort("product_id", "at")
    named = cells.with_columns(series_id="series " + pl.col("product_id"), heat=pl.lit(20.0), mailer_cost=pl.lit(3.0))
    shares = pl.DataFrame({"ahead": range(0, 7, days)})
    spread = named.join(shares, how="cross").with_columns(
        at=pl.col("at") + pl.duration(days="ahead"), y=pl.col("y") / shares.height
    )
    return spread.drop("ahead")


def loaded(tables: Mapping[str, pl.DataFrame], end: str = END, **features: Any) -> Series:
    lazy = {name: table.lazy() for name, table in tables.items()}
    return load_series(lazy, end, SPLIT, FeatureParams(**features), "UTC")[0]


def written(tables: Mapping[str, pl.DataFrame], out: Path, **features: Any) -> Path:
    params = {"split": SPLIT.model_dump(), "features": features, "timezone": "UTC"}
    featurise({name: table.lazy() for name, table in tables.items()}, END, params, out)
    return out


# --- which series, and what is known of them --------------------------------------------------------


def test_a_sales_table_has_the_plans_of_its_products(shop: Tables) -> None:
    plans = {name: shop[name] for name in ("promotions", "campaigns")}
    found = loaded(plans | {"sales": sales_of(shop)}, known=["heat"])
    same = loaded(shop)
    assert found.table["product_id"].to_list() == [f"p{number:02}" for number in range(12)]
    rows = [same.table["product_id"].to_list().index(name) for name in ("p03", "p07")]
    for name in ("mailer", "mailer_A", "display", "display_7", "campaign"):
        np.testing.assert_array_equal(found.known[name][[3, 7]], same.known[name][rows], err_msg=name)
    assert set(found.known) == {*same.known, "heat"} and set(found.past) == {"mailer_cost"}
    assert found.known["campaign"][3, 0] == 1 and found.known["mailer"][:, N_WEEKS:].any(), "plans go on"


def test_what_is_left_out_is_left_out_of_sales_too_but_not_the_shops_own(shop: Tables) -> None:
    tables = shop | {"sales": sales_of(shop)}
    found = loaded(tables, known=["heat", "mailer_cost"], leave_out=["mailer", "campaign"])
    assert set(found.known) == {"display", "display_7", "display_rivals", "heat", "mailer_cost"}
    assert "heat" not in loaded(tables, known=["heat"], leave_out=["heat"]).known
    assert not [name for name in loaded(shop, leave_out=["display"]).known if name.startswith("display")]


def test_sales_by_the_day_make_the_same_weeks(shop: Tables) -> None:
    weekly, daily = (loaded({"sales": sales_of(shop, days)}) for days in (7, 1))
    assert weekly.grid == daily.grid == Grid(MONDAY, 7, N_WEEKS)
    np.testing.assert_allclose(weekly.y, daily.y, rtol=1e-6)


def test_weeks_named_by_another_day_lose_no_week(shop: Tables) -> None:
    friday = sales_of(shop).with_columns(pl.col("at") + pl.duration(days=4))
    named = loaded({"sales": friday}, end="2024-04-26T00:00:00+00:00")
    np.testing.assert_array_equal(named.y, loaded({"sales": sales_of(shop)}).y)
    assert named.grid.start == MONDAY


def test_weekly_sales_are_no_daily_ones(shop: Tables) -> None:
    with pytest.raises(DataError, match="got one every 7 days; set it to week"):
        loaded({"sales": sales_of(shop)}, period="day")


def test_placements_hold_on_all_days_of_daily_series(shop: Tables) -> None:
    weekly, daily = (loaded(shop, period=period) for period in ("week", "day"))
    rows = [series.table["product_id"].to_list().index("p05") for series in (weekly, daily)]
    by_week = daily.known["mailer"][rows[1], : 7 * N_WEEKS].reshape(N_WEEKS, 7)
    np.testing.assert_array_equal(by_week, np.repeat(weekly.known["mailer"][rows[0], :N_WEEKS, None], 7, axis=1))
    assert by_week.any() and daily.grid.period_days == 1


def flooded(shop: Tables) -> Tables:
    """From the validation cut-off on everybody buys p01 by the million, and all mailers are of another code."""
    late, week = pl.col("at") >= datetime.combine(VALIDATION, time(), UTC), pl.col("week")
    name = pl.when(late).then(pl.lit("p01")).otherwise("product_id")
    lines = shop["transactions"].with_columns(product_id=name, quantity=pl.when(late).then(1e6).otherwise("quantity"))
    mailer = pl.when(week >= VALIDATION).then(pl.lit("Z")).otherwise("mailer")
    return shop | {"transactions": lines, "promotions": shop["promotions"].with_columns(mailer=mailer)}


def test_nothing_after_the_validation_cut_off_decides_which_series_and_codes_there_are(shop: Tables) -> None:
    levels = ["product", "category_store"]
    clean, dirty = (loaded(tables, n_series=6, levels=levels) for tables in (shop, flooded(shop)))
    assert clean.table.equals(dirty.table) and list(clean.known) == list(dirty.known)
    np.testing.assert_array_equal(clean.y[:, :8], dirty.y[:, :8])
    assert not np.array_equal(clean.y[:, 8:], dirty.y[:, 8:])
    for kind in ("mailer_rivals", "display_rivals"):  # another code is as much of a rival
        np.testing.assert_array_equal(clean.known[kind], dirty.known[kind])


def test_nothing_after_the_validation_cut_off_decides_the_classes(shop: Tables, tmp_path: Path) -> None:
    clean, dirty = (written(tables, tmp_path / str(n)) for n, tables in enumerate((shop, flooded(shop))))
    for fold in ("oof_1", "test"):
        mine, theirs = (fold_table(out, fold, "queries")["series_class"].to_list() for out in (clean, dirty))
        assert mine == theirs and set(mine) == {"slow", "medium", "fast"}
    mine, theirs = (
        pl.read_parquet(out / "now" / "queries.parquet")["series_class"].to_list() for out in (clean, dirty)
    )
    assert mine == theirs


def test_levels_are_forecast_together(shop: Tables) -> None:
    found = loaded(shop, levels=["product", "category_store"])
    assert found.table["level"].unique(maintain_order=True).to_list() == ["product", "category_store"]
    stores = found.table["level"].to_numpy() == "category_store"
    assert found.known["mailer"][~stores].any() and found.known["mailer"][stores].any()
    assert np.isnan(found.known["campaign"][stores]).all() and found.known["campaign"][~stores].any()
    np.testing.assert_array_equal(found.past["category"][stores], np.nan_to_num(found.y[stores]))


def test_what_cannot_be_forecast_is_told(shop: Tables) -> None:
    with pytest.raises(MissingTable, match="sales or transactions, and sources has neither"):
        loaded({"products": shop["products"]})
    with pytest.raises(DataError, match="at least 16 periods for 3 windows of 4 after 4 periods"):
        loaded(shop, end="2024-04-15T00:00:00+00:00")
    with pytest.raises(DataError, match=r"series of the level category_store .* got none"):
        loaded(shop | {"transactions": shop["transactions"].head(3)}, levels=["category_store"])
    unknown = sales_of(shop).with_columns(y=pl.when(pl.col("at") >= MONDAY + timedelta(weeks=6)).then("y"))
    with pytest.raises(DataError, match="sold before the first cut-off, 2024-01-29, got none"):
        loaded({"sales": unknown})


def test_windows_lie_end_to_end_at_the_end() -> None:
    assert cut(18, SPLIT) == [6, 10, 14]
    assert cut(52, SplitParams()) == [20, 28, 36, 44]


def test_classes_are_thirds_by_volume() -> None:
    means = np.array([5.0, 1.0, 9.0, 2.0, 7.0, 0.0])
    y = np.repeat(means[:, None], 4, axis=1)
    y[2, :3] = np.nan  # few periods, many units
    assert volume_classes(y).tolist() == ["medium", "slow", "fast", "medium", "fast", "slow"]
    assert volume_classes(np.zeros((0, 4))).tolist() == []


# --- the tables of a fold ---------------------------------------------------------------------------


def test_every_fold_knows_the_past_of_its_origins_and_the_plans_ahead(shop: Tables, tmp_path: Path) -> None:
    out = written(shop, tmp_path / "out")
    folds = read_folds(out)
    assert [(fold.name, fold.cutoff.date()) for fold in folds] == [
        ("oof_1", MONDAY + timedelta(weeks=4)), ("validation", VALIDATION), ("test", MONDAY + timedelta(weeks=12)),
    ]  # fmt: skip
    assert read_json(out / "report.json")["n_series"] == 11, "what came after the cut-off is no series"
    for number, fold in enumerate(folds, 1):
        train, queries = (fold_table(out, fold.name, name) for name in ("train", "queries"))
        assert train["y"].list.len().unique().to_list() == [4 * number]
        assert train["known_mailer"].list.len().unique().to_list() == [4 * number]
        assert queries["origin"].unique().sort().to_list() == [
            fold.cutoff.date() + timedelta(weeks=weeks) for weeks in (0, 2)
        ]
        assert (queries["known_mailer"].list.len() - queries["y"].list.len()).unique().to_list() == [SPLIT.horizon]
        assert queries["past_price"].list.len().equals(queries["y"].list.len(), check_names=False)
        assert queries["query"].to_list() == list(range(queries.height))


def test_the_pool_is_sorted_and_stands_beside_the_truth_row_by_row(shop: Tables, tmp_path: Path) -> None:
    out = written(shop, tmp_path / "out", quantiles=[0.2, 0.8])
    series, keys = loaded(shop, quantiles=[0.2, 0.8]), ["query", "week", "quantile"]
    for fold in ("oof_1", "validation", "test"):
        pool, truth, queries = (fold_table(out, fold, name) for name in ("pool", "truth", "queries"))
        assert pool.select(keys).equals(truth.select(keys)) and pool.select(keys).equals(pool.select(keys).sort(keys))
        sold = truth.join(queries.select("query", "series_id", "origin"), on="query")
        for row in sold.sample(20, seed=1).iter_rows(named=True):
            place = series.table["series_id"].to_list().index(row["series_id"])
            assert row["label"] == series.y[place, (row["week"] - MONDAY).days // 7]
            assert 0 <= (row["week"] - row["origin"]).days < 14


def test_rows_of_the_pool_say_what_their_own_query_and_step_know(weekly_frame: Any) -> None:
    queries = weekly_frame([[2.0] * 20, [None] * 10 + [6.0] * 10, [0.0, 8.0] * 11])
    pool, panel = pool_of(queries), Panel.of(queries)
    assert pool.height == 3 * 4 * 3 and not pool.select("query", "week", "quantile").is_duplicated().any()
    assert pool["query"].to_list() == sorted(pool["query"].to_list())
    each = pool.filter(pl.col("quantile") == 0.5)
    assert each["step"].to_list() == [1, 2, 3, 4] * 3
    np.testing.assert_array_equal(each["known_mailer"].to_numpy().reshape(3, 4), panel.future[:, :, 0])
    first = pool.filter((pl.col("step") == 1) & (pl.col("level") == pl.lit(0.9, pl.Float32)))
    assert first["scale"].to_list() == [2, 6, 4] and first["n_known"].to_list() == [20, 10, 22]
    np.testing.assert_allclose(first["zero_share"], [0, 0, 6 / 13], rtol=1e-6)
    np.testing.assert_allclose(first["momentum"], [1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(first["variation"], [0, 0, np.std([8, 0] * 6 + [8]) / 4], rtol=1e-6)


def test_the_weight_of_a_period_stands_in_the_truth_alone(shop: Tables, tmp_path: Path) -> None:
    weighed = sales_of(shop).with_columns(weight=pl.col("at").dt.week().cast(pl.Float64))
    out = written({"sales": weighed}, tmp_path / "out")
    truth = fold_table(out, "test", "truth")
    assert (truth["weight"] == truth["week"].dt.week()).all() and truth.columns[-1] == "weight"
    for name in ("train", "queries", "pool"):
        assert not [column for column in fold_table(out, "test", name).columns if "weight" in column]


def test_a_shop_without_products_or_categories_has_folds_and_no_category(shop: Tables, tmp_path: Path) -> None:
    out = written({"transactions": shop["transactions"], "promotions": shop["promotions"]}, tmp_path / "out")
    queries = fold_table(out, "test", "queries")
    assert queries["static_category"].unique().to_list() == [-1] and queries["category"].null_count() == queries.height
    assert queries["known_mailer"].list.max().max() > 0 == queries["known_mailer_rivals"].list.max().max()
    assert pl.read_parquet(out / "now" / "categories.parquet").is_empty()
    assert pl.read_parquet(out / "now" / "queries.parquet").height == 11


# --- categories -------------------------------------------------------------------------------------


def of_categories() -> Series:
    """Two fruits, one of them young; a bread; one of no category; the fruits of one store."""
    names = ["fig", "kiwi", "rye", "what", "fruit | 1"]
    table = pl.DataFrame(
        {
            "series_id": names, "title": names, "product_id": [*names[:4], None],
            "category": ["fruit", "fruit", "bread", None, "fruit"], "store_id": [None] * 4 + ["1"],
            "department": ["D"] * 5, "brand": ["own", "own", None, None, None],
            "level": ["product"] * 4 + ["category_store"],
        },
        schema_overrides={"store_id": pl.String},
    )  # fmt: skip
    y = np.array([[2, 4, 6], [np.nan, np.nan, 8], [1, 1, 1], [50, 50, 50], [100, 100, 100]], np.float32)
    return Series(Grid(MONDAY, 7, 3), table, y, {"mailer": np.arange(20, dtype=np.float32).reshape(5, 4)})


def test_the_mean_series_of_a_category_is_of_its_products_alone() -> None:
    means = category_means(of_categories())
    assert means.table["series_id"].to_list() == means.table["category"].to_list() == ["bread", "fruit"]
    np.testing.assert_array_equal(means.y, [[1, 1, 1], [2, 4, 7]])
    np.testing.assert_array_equal(means.known["mailer"], [[8, 9, 10, 11], [2, 3, 4, 5]])
    assert means.codes["category"].to_list() == [0, 1] and means.codes["brand"].to_list() == [-1, 0]
    assert means.codes["level"].to_list() == [1, 1], "the codes that the models learned"
    nothing = category_means(of_categories().rows(np.array([3])))
    assert nothing.y.shape == (0, 3) and nothing.known["mailer"].shape == (0, 4)


def test_the_units_of_a_category_are_those_of_its_series_in_the_same_store() -> None:
    found = category_units(of_categories())
    np.testing.assert_array_equal(found, [[2, 4, 14], [2, 4, 14], [1, 1, 1], [50, 50, 50], [100, 100, 100]])
