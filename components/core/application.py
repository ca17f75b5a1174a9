"""What an application tells the shared stages: its keys, its truth, its measures. No base class.

Each application's `application.py` ends with `APPLICATION = Application(...)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from components.core.errors import ParamsError
from components.core.gate import Gate
from components.core.metrics import Asked

ALONE, THROUGH = "alone", "class_select"  # folder of ensembles of one classifier each, and which ensemble they are
Unit = Literal["rank", "score", "probability"]
# featurise(tables, as_of ISO string, the application's params and `timezone`, output folder)
Featurise = Callable[[Mapping[str, pl.LazyFrame], str, Mapping[str, Any], Path], None]
# outcomes(scores, queries, truth, pool): one row per group, metric columns and slice columns
Outcomes = Callable[[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame], pl.DataFrame]
# summary(scores, features folder): figures of all answers together, such as coverage
Summary = Callable[[pl.DataFrame, Path], dict[str, float]]
# objective(scores, what they are held against): higher is better
Objective = Callable[[np.ndarray, Asked], float]
# pictures(data/<application>, metrics.json): titles and inline SVGs for the report
Pictures = Callable[[Path, Mapping[str, Any]], list[tuple[str, str]]]
# plots(data/<application>, metrics.json): tables for `dvc plots show`, by file stem
Plots = Callable[[Path, Mapping[str, Any]], dict[str, pl.DataFrame]]
# logged_keys(rows of feedback.rewards.shown_rows, the codes' bundle, release -> manifest): those of known releases,
# with the column that names a key beside the group, null where the bundle does not know it, and `chance`, with which
# the release shows the key anywhere in its answer; queries tell by `customer_id` whose they are
LoggedKeys = Callable[[pl.DataFrame, Path, Mapping[str, Mapping[str, Any]]], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Application:
    """The differences between applications, as values.

    keys          columns that name one score, the group first
    tables        shop tables without which nothing can be learned
    optional      shop tables that add something where a shop has them; of `tables` and these, the first
                  that the shop has says until when the data goes
    unit          "rank": only the order within a group means anything, so members become
                  within-group ranks before they are combined; "score": values are comparable;
                  "probability": log scores of a fixed list of labels, made probabilities (classification.py)
    metrics       metric -> which direction is better; the first decides. Where `outcomes` has a column
                  "<metric> of", the metric is sum(metric) / sum(metric of), else a mean over groups
    slices        columns of `outcomes` by which figures are broken down; its column `headline`
                  says which rows make the figures of the whole
    stack         LightGBM's objective and what belongs to it
    package       writes what serving needs beside the models (catalogue, histories, ...)
    milliseconds  processor time of one request, answered from a bundle's folder
    gates         floors and slacks from the application's `gates` block and its features folder
    level         where answers are quantiles: the pool's feature column that holds a row's level
    parts         feature columns of the pool; within their values members are combined separately
    scale         feature column by which scores and labels of different groups become comparable
    pictures      more pictures for the report
    plots         more tables for `dvc plots show`
    terms         files below features/ that say how weights read data; `ensemble` keeps them beside the weights, so
                  that `package` can tell them of other data than they learned from (terms_of)
    reject        where nothing may be true of a group: the pool's feature column that is 1 on the row that says so
    logged_keys   where answers are drawn with known chances: logged rows in the terms of scores, for a second opinion
    """

    name: str
    keys: tuple[str, ...]
    tables: tuple[str, ...]
    optional: tuple[str, ...]
    unit: Unit
    metrics: Mapping[str, Literal["higher", "lower"]]
    slices: tuple[str, ...]
    featurise: Featurise
    outcomes: Outcomes
    summary: Summary
    objective: Objective
    stack: Mapping[str, Any]
    package: Callable[[Path, Path], None]
    milliseconds: Callable[[Path], float]
    gates: Callable[[Mapping[str, Any], Path], Sequence[Gate]]
    level: str | None = None
    parts: tuple[str, ...] = ()
    scale: str | None = None
    pictures: Pictures | None = None
    plots: Plots | None = None
    terms: tuple[str, ...] = ()
    logged_keys: LoggedKeys | None = None
    reject: str | None = None

    @property
    def group(self) -> str:
        """The column within which scores compete."""
        return self.keys[0]

    @property
    def primary(self) -> str:
        """The metric that decides."""
        return next(iter(self.metrics))


def terms_of(features: Path, name: str) -> Path:
    """The file `name` of the features that the weights beside them learned from; these very ones where none is kept."""
    kept = features.parent / "ensembles" / "terms" / name
    return kept if kept.is_file() else features / name


def scores_file(data: Path, name: str, kind: str, fold: str = "test") -> Path:
    """Where a fold's scores of a model ("single") or an ensemble lie, below data/<application>.

    A single classifier answers as it would ship: through the ensemble of it alone, where there is one.
    """
    if kind == "ensemble":
        return data / "ensembles" / "scores" / fold / f"{name}.parquet"
    passed = data / "ensembles" / ALONE / name / "scores" / fold / f"{THROUGH}.parquet"
    return passed if passed.is_file() else data / "models" / name / "scores" / f"{fold}.parquet"


def load_application(name: str) -> Application:
    """APPLICATION of components/<name>/application.py."""
    folder = Path(__file__).parent.parent
    known = sorted(path.parent.name for path in folder.glob("*/application.py") if path.parent.name != "core")
    if name not in known:
        raise ParamsError(f"expected an application ({', '.join(known)}), got {name!r}; correct the command")
    application: Application = importlib.import_module(f"components.{name}.application").APPLICATION
    return application
