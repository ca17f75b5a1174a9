"""What the shared stages must know about demand, as values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from components.core.application import Application
from components.core.bundle import read_bundle
from components.core.gate import Gate
from components.core.metrics import pinball_objective
from components.core.params import Params, parse
from components.demand.answer.forecasts import Forecasts, request_milliseconds
from components.demand.evaluation import report
from components.demand.evaluation.outcomes import by_period
from components.demand.evaluation.outcomes import outcomes as measures
from components.demand.features.folds import featurise
from components.demand.features.panel import KEYS, Panel

EXPLAINER = "gbm"
WINDOW, SEASON, SHORT_SEASON = 8, 52, 4  # of the floors; a history of less than a year repeats its last weeks


class GateParams(Params):
    """Rules before a release; slack is how much worse than the live release it may be."""

    wql_floor: float = Field(1.0, gt=0, description="Weighted quantile loss, at most.")
    against_floors: float = Field(1.0, gt=0, description="Error of the median beside either naive forecast's, at most.")
    coverage: tuple[float, float] = Field((0.7, 0.9), description="Share of periods inside the outer quantiles.")
    bias: float = Field(0.1, ge=0, description="|sum of forecasts - sum of sales| beside the sum of sales, at most.")
    slack: float = Field(0.005, ge=0, description="Weighted quantile loss that may be lost against the live release.")
    slice_slack: float = Field(0.02, ge=0, description="The same within one class of volume.")
    protected: tuple[str, ...] = ("series_class=fast", "series_class=medium", "series_class=slow")
    ms_per_query: float = Field(200.0, gt=0, description="Processor time of one series' forecast.")
    max_mb: float = Field(2000.0, gt=0)


def outcomes(scores: pl.DataFrame, queries: pl.DataFrame, truth: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """One row per query; beside its measures the error over that of two naive forecasts (1 = no better)."""
    found = measures(scores, queries, truth, pool)
    naive = by_naive(queries, truth)
    joined = found.join(naive, on="query", how="left", maintain_order="left")
    return joined.with_columns(pl.col("wape").alias("vs_moving_average"), pl.col("wape").alias("vs_seasonal_naive"))


def by_naive(queries: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Per query the absolute error of the last weeks' mean, and of last year's (else the last) weeks repeated."""
    panel = Panel.of(queries)
    recent = panel.y[:, -WINDOW:]
    mean = np.nansum(recent, axis=1) / np.maximum(np.isfinite(recent).sum(axis=1), 1)
    season = SEASON if panel.period_days == 7 and panel.y.shape[1] >= SEASON + panel.horizon else SHORT_SEASON
    steps = np.arange(panel.horizon) % season - season
    repeated = np.nan_to_num(panel.y[:, steps] if panel.y.shape[1] >= season else np.tile(mean[:, None], len(steps)))
    forecasts = {"vs_moving_average": np.tile(mean[:, None], panel.horizon), "vs_seasonal_naive": repeated}
    errors = []
    for name, values in forecasts.items():
        wide = panel.answer(np.repeat(values[:, :, None], len(panel.quantiles), axis=2))
        cells = by_period(wide, truth).with_columns(error=(pl.col("y") - pl.col("median")).abs())
        errors.append(cells.group_by("query").agg(pl.col("error").sum().alias(f"{name} of")))
    return errors[0].join(errors[1], on="query")


def gates(values: Mapping[str, Any]) -> Sequence[Gate]:
    """Floors and slacks as rules."""
    chosen = parse(GateParams, dict(values), "demand.gates")
    never = float("inf")
    return [
        Gate("wql", "lower", chosen.wql_floor, chosen.slack),
        Gate("vs_moving_average", "lower", chosen.against_floors, never),
        Gate("vs_seasonal_naive", "lower", chosen.against_floors, never),
        Gate("coverage", "higher", chosen.coverage[0], never),
        Gate("coverage", "lower", chosen.coverage[1], never),
        Gate("bias", "higher", -chosen.bias, never),
        Gate("bias", "lower", chosen.bias, never),
        *[Gate(f"{name}/wql", "lower", None, chosen.slice_slack) for name in chosen.protected],
        Gate("ms_per_query", "lower", chosen.ms_per_query, never),
        Gate("mb", "lower", chosen.max_mb, never),
    ]


def package(features: Path, bundle: Path) -> None:
    """What the service needs beside the models: every series and category up to the end of the data, forecast."""
    for name in ("queries", "categories"):
        shutil.copy(features / "now" / f"{name}.parquet", bundle / f"{name}.parquet")
    fitted = features.parent / "models" / EXPLAINER / "model"
    if fitted.is_dir() and not (bundle / "members" / EXPLAINER).is_dir():
        shutil.copytree(fitted, bundle / "explainer")  # it says what moves a forecast, whatever makes the forecast
    Forecasts.of(read_bundle(bundle)).save(bundle)


APPLICATION = Application(
    name="demand",
    keys=KEYS,
    tables=(),
    optional=("sales", "transactions", "products", "promotions", "campaigns"),
    unit="score",
    metrics={
        "wql": "lower", "wape": "lower", "rmsse": "lower", "bias": "lower", "coverage": "higher",
        "vs_moving_average": "lower", "vs_seasonal_naive": "lower",
    },
    slices=("series_class", "level", "age", "promoted"),
    featurise=featurise,
    outcomes=outcomes,
    summary=lambda scores, features: {},
    objective=pinball_objective,
    stack={},
    package=package,
    milliseconds=lambda folder: request_milliseconds(Forecasts.load(folder)),
    gates=gates,
    level="level",
    parts=("series_class",),
    scale="scale",
    pictures=report.pictures,
    plots=report.plots,
)  # fmt: skip
