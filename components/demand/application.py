"""What the shared stages must know about demand, as values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from components.core.application import Application, terms_of
from components.core.bundle import read_bundle
from components.core.gate import Gate
from components.core.metrics import pinball_objective
from components.core.params import Params, parse
from components.demand.answer.forecasts import EXPLAINER, Forecasts, request_milliseconds
from components.demand.evaluation import report
from components.demand.evaluation.floors import against_floors
from components.demand.evaluation.outcomes import outcomes as measures
from components.demand.features.folds import featurise
from components.demand.features.panel import KEYS
from components.demand.features.terms import in_terms_of

QUERIES = "now/queries.parquet"
NEVER = float("inf")  # a slack: only the floor speaks


class GateParams(Params):
    """Rules before a release; slack is how much worse than the live release it may be."""

    wql_floor: float = Field(1.0, gt=0, description="Weighted quantile loss, at most.")
    against_floors: float = Field(1.0, gt=0, description="Error of the median beside either naive forecast's, at most.")
    coverage: tuple[float, float] = Field(
        (0.75, 0.85), description="Share of periods inside the outer quantiles, of which .1 and .9 promise .8."
    )
    class_coverage: tuple[float, float] = Field((0.72, 0.88), description="The same within each class of volume.")
    coverage_slack: float = Field(
        0.04,
        ge=0,
        description="How much further from `promised` the share may lie than the live release's; in a class, twice.",
    )
    promised: float = Field(0.8, gt=0, lt=1, description="The share that the outer quantiles promise: .9 - .1.")
    bias: float = Field(
        0.1,
        ge=0,
        description="|sum of forecasts - sum of sales| beside the sum of sales, at most. The forecast is "
        "the median, which lies below the mean of skewed demand: on the default data good ones show -.03 to -.09.",
    )
    slack: float = Field(0.005, ge=0, description="Weighted quantile loss that may be lost against the live release.")
    slice_slack: float = Field(0.02, ge=0, description="The same within one class of volume.")
    protected: tuple[str, ...] = ("series_class=fast", "series_class=medium", "series_class=slow")
    ms_per_query: float = Field(200.0, gt=0, description="Processor time of one series' forecast.")
    max_mb: float = Field(2000.0, gt=0)
    slower: float = Field(3.0, ge=1, description="At most so many times the live release's processor time, and 20 ms.")
    larger: float = Field(2.0, ge=1, description="At most so many times the live release's size, and 50 MB.")


def outcomes(scores: pl.DataFrame, queries: pl.DataFrame, truth: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """One row per query; beside its measures the error over that of the two floors (1 = no better)."""
    return against_floors(measures(scores, queries, truth, pool), queries, truth)


def gates(values: Mapping[str, Any]) -> Sequence[Gate]:
    """Floors and slacks as rules."""
    chosen = parse(GateParams, dict(values), "demand.gates")
    classes, around = chosen.protected, chosen.promised
    return [
        Gate("wql", "lower", chosen.wql_floor, chosen.slack),
        Gate("vs_moving_average", "lower", chosen.against_floors, NEVER),
        Gate("vs_seasonal_naive", "lower", chosen.against_floors, NEVER),
        *_within("coverage", chosen.coverage),
        *[gate for name in classes for gate in _within(f"{name}/coverage", chosen.class_coverage)],
        Gate("coverage", "higher", None, chosen.coverage_slack, around=around),
        *[Gate(f"{name}/coverage", "higher", None, 2 * chosen.coverage_slack, around=around) for name in classes],
        *_within("bias", (-chosen.bias, chosen.bias)),
        *[Gate(f"{name}/wql", "lower", None, chosen.slice_slack) for name in classes],
        Gate("ms_per_query", "lower", chosen.ms_per_query, 20.0, share=chosen.slower - 1),
        Gate("mb", "lower", chosen.max_mb, 50.0, share=chosen.larger - 1),
    ]


def _within(metric: str, bounds: tuple[float, float]) -> list[Gate]:
    """Two floors that the live release does not move."""
    return [Gate(metric, "higher", bounds[0], NEVER), Gate(metric, "lower", bounds[1], NEVER)]


def package(features: Path, bundle: Path) -> None:
    """What the service needs beside the models: every series and category up to the end of the data, forecast.

    Both are told in the terms of the weights, which may have learned from earlier data (a refresh).
    """
    known = pl.read_parquet(terms_of(features, QUERIES))
    for name in ("queries", "categories"):
        told = in_terms_of(pl.read_parquet(features / "now" / f"{name}.parquet"), known)
        told.write_parquet(bundle / f"{name}.parquet")
    if (features / "now" / "catalogue.parquet").is_file():  # a shop may keep no table of products
        shutil.copy(features / "now" / "catalogue.parquet", bundle / "catalogue.parquet")
    fitted = features.parent / "models" / EXPLAINER / "model"
    if fitted.is_dir() and not (bundle / "members" / EXPLAINER).is_dir():
        shutil.copytree(fitted, bundle / "explainer")
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
    gates=lambda values, features: gates(values),
    level="level",
    parts=("series_class",),
    scale="scale",
    pictures=report.pictures,
    plots=report.plots,
    terms=(QUERIES,),
)  # fmt: skip
