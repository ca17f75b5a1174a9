"""Demand: every single model and every ensemble on series of sales, ahead of the first test week.

    python -m benchmarks.demand DIR                                   sales.parquet and task.json
    python -m benchmarks.demand complete_journey [--level category_store] [--without display]

Either prepares folds in the layout of `featurise`, by its own functions; the project's train and
ensemble stages and the rule by which evaluate chooses do the rest.

Protocol of a folder: the test is the `horizon` periods from `first_test_week` on, asked once, before
they begin; validation the `horizon` periods before. Ensembles learn, to be chosen, on one earlier window
that begins after a whole year (or, where there is none, half of what is known) and whose truth is cut
off where validation begins; to be shipped, on that and on validation. The deciding figure is the absolute
error weighed by the column `weight`, over the test rows that the file has; a series without a forecast counts
as a forecast of 0. Covariates that task.json does not call known in advance end at the origin.

Protocol of Complete Journey: as params.yaml has it. Weekly units, four weeks ahead from two origins a
window, the last eight weeks as the test; the deciding figure is the application's own.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import yaml

from benchmarks.report import publish
from benchmarks.workspace import workspace
from components.core.application import Application, load_application
from components.core.artifacts import read_json
from components.core.metrics import overall
from components.core.splits import fold_table
from components.demand.features.folds import FeatureParams, SplitParams, featurise, write_windows
from components.demand.features.series import Grid, Series, from_sales
from components.logs import set_up_logs
from components.stages.ensemble import ensemble
from components.stages.evaluate import choose
from components.stages.train import train

YEAR_DAYS = 364  # of whole weeks
TIMEZONE = "America/New_York"  # of the Complete Journey shops
SHOWN = ("wape", "rmsse", "wql", "coverage", "bias")
DAYS = {"W": 7, "D": 1}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demand", description=__doc__.split("\n")[0])
    parser.add_argument("data", help="complete_journey, or a folder with sales.parquet and task.json")
    parser.add_argument("--level", default="product", choices=("product", "category_store"))
    parser.add_argument("--without", help="ablation: placements not used, with commas, such as display")
    parser.add_argument("--models", help="only these, with commas; default: all in benchmarks/demand.yaml")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--work", type=Path, help="keep intermediate files here; the next run goes on from them")
    asked = parser.parse_args(arguments)
    set_up_logs("INFO")
    params = benchmark_params(asked)
    folder = None if asked.data == "complete_journey" else Path(asked.data).absolute()
    name = f"complete_journey_{asked.level}" if folder is None else folder.name
    with workspace(asked.work, name, "demand", params) as root:
        prepare(root / "demand" / "features", folder, params)
        rows, gain, shipped = run(root / "demand", params, folder)
    publish("demand", name, rows, gain, shipped, asked.json)


def benchmark_params(asked: argparse.Namespace) -> dict[str, Any]:
    """The block of demand.yaml for this data (by folder name), else its `default`, with what the command says."""
    blocks = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    params: dict[str, Any] = blocks.get(Path(asked.data).name, blocks["default"])
    if asked.models is not None:
        params["models"] = {name: params["models"].get(name) or {} for name in asked.models.split(",")}
    if asked.data == "complete_journey":
        left_out = asked.without.split(",") if asked.without else []
        params["features"] = {**params["features"], "levels": [asked.level], "leave_out": left_out}
    return params


def prepare(features: Path, folder: Path | None, params: dict[str, Any]) -> None:
    """Write `features` unless a kept workspace has it."""
    if features.is_dir():
        return
    unfinished = features.with_name("features.part")
    if folder is None:
        complete_journey(unfinished, params)
    else:
        windows(folder, unfinished, FeatureParams(**params.get("features", {})))
    unfinished.rename(features)


def run(data: Path, params: dict[str, Any], folder: Path | None) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Train, combine, score: the table's rows, the ensemble's gain and what ships by evaluate's rule."""
    for model in params["models"]:
        if not (data / "models" / model / "report.json").is_file():
            train("demand", model)
    ensemble("demand")
    application = load_application("demand")
    metric = application.primary if folder is None else "wmae"
    application = replace(application, metrics={metric: application.metrics[application.primary]})
    sales = None if folder is None else sales_of(folder)
    found = {
        fold: {name: outcomes_of(application, data, name, fold, sales) for name in trained(data, params)}
        for fold in ("validation", "test")
    }
    ensembles = read_json(data / "ensembles" / "report.json")
    rows = {name: _row(data, name, name in ensembles, metric, found) for name in found["test"]}
    shipped, gain = choose(application, rows, found["test"])
    listed = [
        {"name": name, "kind": row["kind"], "metrics": row["shown"], "seconds": row["seconds"]}
        for name, row in rows.items()
    ]
    if sales is not None and folder is not None:
        listed.append(last_year(sales, *task_of(folder)))
    return listed, gain, shipped["name"]


def trained(data: Path, params: dict[str, Any]) -> list[str]:
    """Names of the models that did not step aside, and of the ensembles."""
    singles = [name for name in params["models"] if not read_json(data / "models" / name / "report.json")["skipped"]]
    return [*singles, *params["ensembles"]]


def outcomes_of(application: Application, data: Path, name: str, fold: str, sales: pl.DataFrame | None) -> pl.DataFrame:
    """The project's outcomes; for a folder wmae is over the rows of its file, with what nobody forecast as 0."""
    single = data / "models" / name / "scores" / f"{fold}.parquet"
    scores = pl.read_parquet(single if single.is_file() else data / "ensembles" / "scores" / fold / f"{name}.parquet")
    queries, truth, pool = (fold_table(data / "features", fold, table) for table in ("queries", "truth", "pool"))
    found = application.outcomes(scores, queries, truth, pool)
    if sales is None:
        return found
    middle = min(scores["quantile"].unique().sort().to_list(), key=lambda level: abs(level - 0.5))
    median = scores.filter(pl.col("quantile") == middle).join(queries.select("query", "series_id"), on="query")
    origin, horizon = queries["origin"][0], queries["horizon"][0] * int(queries["period_days"][0])
    errors = weighted_errors(window(sales, origin, horizon), median.select("series_id", "week", forecast="score"))
    named = found.drop("wmae", "wmae of").join(queries.select("query", "series_id"), on="query")
    return errors.join(named, on="series_id", how="left", maintain_order="left").with_columns(headline=pl.lit(True))


def window(sales: pl.DataFrame, origin: date, days: int) -> pl.DataFrame:
    """The rows of the `days` days from `origin` on."""
    return sales.filter(pl.col("week").is_between(origin, origin + timedelta(days=int(days)), closed="left"))


def weighted_errors(rows: pl.DataFrame, forecasts: pl.DataFrame) -> pl.DataFrame:
    """Per series: wmae = sum of weight |y - forecast|, of the sum of weights; a missing forecast is 0."""
    both = rows.join(forecasts, on=["series_id", "week"], how="left", maintain_order="left")
    error = (pl.col("y") - pl.col("forecast").fill_null(0.0)).abs()
    sums = {"wmae": (pl.col("weight") * error).sum(), "wmae of": pl.col("weight").sum()}
    return both.group_by("series_id").agg(**sums).sort("series_id")


def _row(
    data: Path, name: str, combined: bool, metric: str, found: dict[str, dict[str, pl.DataFrame]]
) -> dict[str, Any]:
    report = read_json(data / "ensembles" / "report.json")[name] if combined else None
    report = report or read_json(data / "models" / name / "report.json")
    validation = {metric: overall(found["validation"][name], metric) or 0.0}
    test = found["test"][name]
    shown = {each: value for each in dict.fromkeys((metric, *SHOWN)) if (value := overall(test, each)) is not None}
    return {
        "kind": "ensemble" if combined else "single",
        "metrics": {metric: {"mean": shown[metric]}},
        "validation": validation,
        "shown": shown | {f"validation {metric}": validation[metric]},
        "seconds": report["seconds"],
        "ms_per_query": report["ms_per_query"],
    }


def last_year(sales: pl.DataFrame, first_test: date, days: int, period_days: int) -> dict[str, Any]:
    """The baseline by itself: what was sold a year before; else the latest known value; else 0."""
    year = timedelta(days=YEAR_DAYS // period_days * period_days)
    past = sales.filter(pl.col("week") < first_test).sort("series_id", "week")
    before = past.select("series_id", pl.col("week") + year, forecast="y")
    latest = past.group_by("series_id").agg(latest=pl.col("y").last())
    asked = window(sales, first_test, days)
    known = asked.join(before, on=["series_id", "week"], how="left").join(latest, on="series_id", how="left")
    forecasts = known.select("series_id", "week", forecast=pl.coalesce("forecast", "latest"))
    figure = overall(weighted_errors(asked, forecasts), "wmae") or 0.0
    return {"name": "the same week a year before", "kind": "peer", "metrics": {"wmae": figure}, "seconds": 0.0}


# --- a folder of sales ---------------------------------------------------------------------------


def task_of(folder: Path) -> tuple[date, int, int]:
    """First day of the test, days of the test, days of a period; ends the run where `freq` is neither W nor D."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    period_days = DAYS.get(str(task["freq"])[:1])
    if period_days is None:
        raise SystemExit(f"expected freq W... or D in {folder / 'task.json'}, got {task['freq']!r}")
    return date.fromisoformat(task["first_test_week"]), int(task["horizon"]) * period_days, period_days


def sales_of(folder: Path) -> pl.DataFrame:
    """sales.parquet with a `weight`, 1 where the file has none."""
    sales = pl.read_parquet(folder / "sales.parquet").with_columns(pl.col("y").cast(pl.Float64))
    return sales if "weight" in sales.columns else sales.with_columns(weight=pl.lit(1.0))


def windows(folder: Path, out: Path, params: FeatureParams) -> None:
    """Folds oof_1, validation and test of a folder; see the protocol above."""
    series, first_test, horizon = series_of(folder)
    cutoffs = cut(first_test, horizon, YEAR_DAYS // series.grid.period_days)
    write_windows(series, cutoffs, SplitParams(horizon=horizon, origins=1), params.quantiles, out)
    end = series.grid.day(cutoffs[1])
    for table in ("truth", "pool"):
        file = out / "oof_1" / f"{table}.parquet"
        pl.read_parquet(file).filter(pl.col("week") < end).write_parquet(file)


def cut(first_test: int, horizon: int, year: int) -> list[int]:
    """First periods of the three windows; ends the run where the history is too short for them."""
    validation = first_test - horizon
    if validation < 4:
        raise SystemExit(f"expected at least {horizon + 4} periods before the test, got {first_test}")
    enough_years = validation - year >= max(horizon // 4, 1)
    earliest = year if enough_years else validation // 2
    return [max(earliest, validation - horizon), validation, first_test]


def series_of(folder: Path) -> tuple[Series, int, int]:
    """All series of a folder, the first test period and the horizon in periods."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    first_test, days, period_days = task_of(folder)
    start = pl.scan_parquet(folder / "sales.parquet").select(pl.col("week").min()).collect().item()
    place, horizon = (first_test - start).days // period_days, days // period_days
    grid = Grid(start, period_days, place + horizon)
    at = pl.col("week").cast(pl.Datetime("us", "UTC"))
    named = described(sales_of(folder)).with_columns(at=at).drop("week")
    known = tuple(task.get("known_in_advance") or ())
    return from_sales(named.lazy(), grid, known, horizon), place, horizon


def described(sales: pl.DataFrame) -> pl.DataFrame:
    """What a series is of: the two parts of an id such as 10_1 as department and category, a text column as brand."""
    texts = [name for name, kind in sales.schema.items() if kind == pl.String and name != "series_id"]
    found = sales.drop(texts).with_columns(brand=sales[texts[0]]) if texts else sales
    parts = pl.col("series_id").str.split("_")
    if (sales.select(parts.list.len() == 2)).to_series().all():
        found = found.with_columns(department=parts.list.first(), category=parts.list.last())
    return found


# --- Complete Journey ----------------------------------------------------------------------------


def complete_journey(out: Path, params: dict[str, Any]) -> None:
    """The project's own folds of the packaged tables, as they come: quarantine is not part of the protocol."""
    from components.sources.completejourney import CompleteJourney, CompleteJourneyParams

    names = ("transactions", "products", "promotions", "campaigns")
    tables = {name: CompleteJourney(name, CompleteJourneyParams(kind="completejourney")).read() for name in names}
    last = tables["transactions"].select(pl.col("at").max()).collect().item()
    midnight = datetime.combine(last.astimezone(ZoneInfo(TIMEZONE)).date() + timedelta(days=1), time(), None)
    end = midnight.replace(tzinfo=ZoneInfo(TIMEZONE)).astimezone(UTC)
    featurise(tables, end.isoformat(), {**params, "timezone": TIMEZONE}, out)


if __name__ == "__main__":
    main()
