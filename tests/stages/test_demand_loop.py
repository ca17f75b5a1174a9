"""Demand through the stages on a tiny shop: to a bundle that answers, and never from the future."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from components.__main__ import main
from components.core.artifacts import read_json, write_json
from components.core.bundle import load_bundle
from components.core.splits import fold_table, read_folds

MODELS: dict[str, object] = {
    "seasonal_naive": {}, "moving_average": {}, "ets": {}, "tsb": {},
    "gbm": {"n_trees": 12, "min_rows_per_leaf": 5},
    "nhits": {"max_steps": 3},
}  # fmt: skip
ENSEMBLES = {"select": {}, "select_by_class": {}, "blend": {}, "median": {}, "quantile_stack": {"n_trees": 10}}
SPLIT = {"horizon": 2, "origins": 2, "oof_folds": 1, "min_history": 6}
PARAMS = {
    "timezone": "UTC",
    "demand": {"split": SPLIT, "features": {}, "models": MODELS, "ensembles": ENSEMBLES, "gates": {}},
}


@pytest.fixture
def plans(tiny: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The tiny shop, with a mailer for some products in some weeks and a campaign."""
    random = np.random.default_rng(1)
    first = tiny["transactions"]["at"].min().date()  # type: ignore[union-attr]
    monday = first - timedelta(days=first.weekday())
    rows = [
        (product, monday + timedelta(weeks=week), str(store), random.choice(["A", "D"]), None)
        for product in tiny["products"]["product_id"]
        for week in range(22)
        for store in range(3)
        if random.random() < 0.2
    ]
    columns = ["product_id", "week", "store_id", "mailer", "display"]
    promotions = pl.DataFrame(rows, schema=columns, orient="row").cast({"display": pl.String})
    campaigns = pl.DataFrame(
        {"campaign_id": ["1"], "product_id": ["p001"], "starts": [monday], "ends": [monday + timedelta(weeks=9)]}
    )
    return tiny | {"promotions": promotions, "campaigns": campaigns}


def shop(folder: Path, tables: Mapping[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Accepted tables and params.yaml in a new folder, entered; answers data/demand."""
    as_of = (tables["transactions"]["at"].max() + timedelta(hours=1)).isoformat()  # type: ignore[operator]
    for name, table in tables.items():
        (folder / "data" / "accepted" / name).mkdir(parents=True)
        table.write_parquet(folder / "data" / "accepted" / name / "part-0.parquet")
        write_json(folder / "data" / "accepted" / name / "meta.json", {"as_of": as_of})
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SHOP_DATA", str(folder / "data"))
    return folder / "data" / "demand"


def run(*stages: str) -> None:
    for stage in stages:
        for model in MODELS if stage == "train" else [None]:
            assert main([stage, "demand", *([model] if model else [])]) == 0, stage


def scores(data: Path, name: str, fold: str) -> pl.DataFrame:
    single = data / "models" / name / "scores" / f"{fold}.parquet"
    return pl.read_parquet(single if single.is_file() else data / "ensembles" / "scores" / fold / f"{name}.parquet")


@pytest.mark.slow
def test_the_loop_ends_in_a_bundle_that_forecasts_as_it_was_tested(
    plans: dict[str, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shop(tmp_path / "shop", plans, monkeypatch)
    run("featurise", "train", "ensemble", "evaluate", "package")
    metrics = read_json(data / "metrics.json")
    assert set(metrics["rows"]) == {*MODELS, *ENSEMBLES} and not metrics["skipped"]
    assert metrics["better"] == "lower" and 0 < metrics["rows"]["moving_average"]["metrics"]["wape"]["mean"] < 2
    assert {"series_class=fast", "promoted=yes"} <= set(metrics["slices"]["gbm"])
    assert {"by_step.csv", "by_class.csv", "calibration.csv", "models.csv"} <= {
        p.name for p in (data / "plots").iterdir()
    }
    for file in (data / "plots").glob("*.csv"):
        plot = pl.read_csv(file)
        assert plot["label" if "label" in plot.columns else "name"].is_unique().all(), f"{file.name}: bars would add up"
    page = (data / "evaluation" / "report.html").read_text()
    assert page.count("<svg") >= 6 and not re.search(r"<script|src=|@import|<link", page)
    bundle = load_bundle(data / "bundle")
    answer = bundle.predict(*(fold_table(data / "features", "test", name) for name in ("queries", "pool")))
    assert answer.equals(scores(data, metrics["shipped"]["name"], "test")), "what ships is what was tested"
    waiting = pl.read_parquet(data / "bundle" / "queries.parquet")
    last_day = plans["transactions"]["at"].max().date()  # type: ignore[union-attr]
    assert waiting["origin"].unique().to_list() == [last_day - timedelta(days=last_day.weekday())], "the week begun"


@pytest.mark.slow
@pytest.mark.parametrize("fold", ["validation", "test"])
def test_poisoning_the_future_changes_no_score(
    plans: dict[str, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: str
) -> None:
    """What the shop plans is known in advance; what it sold, and for how much, is not."""
    clean = shop(tmp_path / "clean", plans, monkeypatch)
    run("featurise", "train", "ensemble")
    cutoff = next(each.cutoff for each in read_folds(clean / "features") if each.name == fold)
    dirty = shop(tmp_path / "dirty", plans | poisoned(plans, cutoff), monkeypatch)
    run("featurise", "train", "ensemble")
    assert not fold_table(clean / "features", fold, "truth").equals(fold_table(dirty / "features", fold, "truth"))
    first = fold_table(clean / "features", fold, "queries").filter(pl.col("origin") == cutoff.date())
    assert first.height > 20
    for name in [*MODELS, *ENSEMBLES]:
        mine, theirs = (by_series(at, name, fold, cutoff) for at in (clean, dirty))
        assert mine.height > 20 and mine.equals(theirs), name


def by_series(data: Path, name: str, fold: str, cutoff: datetime) -> pl.DataFrame:
    """Forecasts from the fold's own cut-off, by series: those from a later origin may know what came between."""
    asked = fold_table(data / "features", fold, "queries").filter(pl.col("origin") == cutoff.date())
    found = scores(data, name, fold).join(asked.select("query", "series_id"), on="query")
    return found.drop("query").sort("series_id", "week", "quantile")


def poisoned(plans: Mapping[str, pl.DataFrame], cutoff: datetime) -> dict[str, pl.DataFrame]:
    """Another future: everybody buys the first product only, by the thousand, for next to nothing."""
    lines, first = plans["transactions"], plans["products"]["product_id"][0]
    future = pl.col("at") >= cutoff
    changed = lines.with_columns(
        product_id=pl.when(future).then(pl.lit(first)).otherwise("product_id"),
        quantity=pl.when(future).then(1000.0).otherwise("quantity"),
        amount=pl.when(future).then(0.01).otherwise("amount"),
    )
    return {"transactions": changed}
