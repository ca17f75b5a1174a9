"""The page's pictures of forecasts: drawn from files, the same on every run, true to the figures."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.core.artifacts import write_json
from components.demand.evaluation.fans import chosen_series, happened
from components.demand.evaluation.report import calibration, pictures, plots

START, LENGTH, HORIZON, LEVELS = date(2024, 1, 1), 20, 2, [0.1, 0.5, 0.9]
CLASSES = ("slow", "medium", "fast")
METRICS = {
    "primary": "wape",
    "shipped": {"name": "blend"},
    "rows": {
        "flat": {"kind": "single", "validation": {"wape": 0.3}},
        "blend": {"kind": "ensemble", "validation": {"wape": 0.2}},
    },
}


def units(number: int, period: int) -> float:
    return float((number + 1) * (1 + period % 3))


def asked_at(origin: int, first: int) -> list[dict[str, Any]]:
    """Six series, two of each class, asked after `origin` periods."""
    return [
        {
            "query": first + number,
            "series_id": f"s{number}",
            "title": f"Thing <{number}> for $5",
            "level": "product",
            "origin": START + timedelta(weeks=origin),
            "period_days": 7,
            "horizon": HORIZON,
            "series_class": CLASSES[number // 2],
            "y": [units(number, period) for period in range(origin)],
        }
        for number in range(6)
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """data/demand with a test fold of two origins; `flat` forecasts 3 always, `blend` is right."""
    queries = pl.DataFrame(asked_at(LENGTH, 0) + asked_at(LENGTH + HORIZON, 6)).cast({"query": pl.Int32})
    rows = [
        (row["query"], row["origin"] + timedelta(weeks=step), level, units(row["query"] % 6, len(row["y"]) + step))
        for row in queries.iter_rows(named=True)
        for step in range(HORIZON)
        for level in LEVELS
    ]
    keys = {"query": pl.Int32, "week": pl.Date, "quantile": pl.Float64}
    truth = pl.DataFrame(rows, schema={**keys, "label": pl.Float64}, orient="row")
    folds, models = tmp_path / "features" / "test", tmp_path / "models" / "flat" / "scores"
    ensembles = tmp_path / "ensembles" / "scores" / "test"
    for folder in (folds, models, ensembles):
        folder.mkdir(parents=True)
    for name, table in {"queries": queries, "truth": truth, "pool": truth.drop("label")}.items():
        table.write_parquet(folds / f"{name}.parquet")
    truth.select(*keys, score=pl.lit(3.0)).write_parquet(models / "test.parquet")
    truth.rename({"label": "score"}).write_parquet(ensembles / "blend.parquet")
    parts = {f"level={level:g} series_class={code}": {"flat": 0.25} for code in range(3) for level in LEVELS}
    report = {"blend": {"weights": {"flat": 1.0}, "by_part": parts}, "select": {"weights": {"flat": 1.0}}}
    write_json(tmp_path / "ensembles" / "report.json", report)
    return tmp_path


def test_pictures_are_the_same_bytes_again_and_need_nothing_from_elsewhere(data: Path) -> None:
    one = pictures(data, METRICS)
    titles = [title for title, _ in one]
    assert titles[0] == "Forecasts of blend and what happened" and titles[-1] == "Weights of blend"
    assert len(titles) == 5, "what has no weights by class and quantile gets no map"
    assert all(f"{name} {level:g}" in one[-1][1] for name in CLASSES for level in LEVELS)
    assert one == pictures(data, METRICS)
    for _, drawn in one:
        assert drawn.startswith("<svg") and "<script" not in drawn and "<image href=" not in drawn
    assert "Thing &lt;0&gt; for $5" in one[0][1], "a title is text, never markup nor mathematics"
    assert all("flat" in drawn for _, drawn in one[1:])


def test_tables_hold_every_model_and_what_is_right_has_no_error(data: Path) -> None:
    tables = plots(data, METRICS)
    assert {name: table.height for name, table in tables.items()} == {"by_step": 4, "by_class": 6, "calibration": 6}
    right = {name: table.filter(pl.col("name") == "blend") for name, table in tables.items()}
    assert right["by_step"]["wape"].to_list() == [0, 0] and right["by_class"]["wape"].to_list() == [0, 0, 0]
    assert right["by_class"]["series_class"].to_list() == ["slow", "medium", "fast"]
    # periods 20 and 22 are the first step: factors 3 and 2; series 1 to 6 times that, against 3
    truth = [(number + 1) * factor for number in range(6) for factor in (3, 2)]
    by_hand = sum(abs(value - 3) for value in truth) / sum(truth)
    assert tables["by_step"].filter(pl.col("name") == "flat", pl.col("step") == 1)["wape"].item() == pytest.approx(
        by_hand
    )


def test_a_share_below_a_quantile_has_two_ends_where_sales_equal_it() -> None:
    cells = pl.DataFrame({"query": [0, 1, 2, 3], "week": [START] * 4, "quantile": [0.5] * 4})
    scores = cells.with_columns(score=pl.Series([1.0, 1.0, 0.0, float("nan")]))
    found = calibration(scores, cells.with_columns(label=pl.Series([0.0, 1.0, 1.0, 0.0])))
    assert found.rows() == [(0.5, pytest.approx(1 / 3), pytest.approx(2 / 3))]


def test_a_dozen_series_spread_over_classes_and_volumes_in_any_order_of_rows() -> None:
    names = [f"s{number:02}" for number in range(60)]
    table = pl.DataFrame(
        {
            "series_id": names,
            "series_class": [CLASSES[number // 20] for number in range(60)],
            "y": [[float(number), float(number)] for number in range(60)],
        }
    )
    chosen = chosen_series(table)
    assert len(set(chosen)) == 12 and chosen == chosen_series(table.sample(fraction=1, shuffle=True, seed=1))
    counts = table.filter(pl.col("series_id").is_in(chosen))["series_class"].value_counts()
    assert dict(counts.iter_rows()) == dict.fromkeys(CLASSES, 4)
    assert len(chosen_series(table.head(2))) == 2


def test_what_happened_joins_history_and_truth_without_a_gap(data: Path) -> None:
    queries = pl.read_parquet(data / "features" / "test" / "queries.parquet").filter(pl.col("series_id") == "s2")
    line = happened(queries, pl.read_parquet(data / "features" / "test" / "truth.parquet"))
    n = LENGTH + 2 * HORIZON
    assert line["week"].to_list() == [START + timedelta(weeks=period) for period in range(n)]
    assert np.array_equal(line["y"], [units(2, period) for period in range(n)])
