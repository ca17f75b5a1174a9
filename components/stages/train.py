"""Train: one model, fitted at every cut-off it needs, scores every fold's pool out of fold."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.core.artifacts import folder_bytes, write_json
from components.core.errors import DoesNotFit
from components.core.model import Model, Refits, make_model, model_class
from components.core.params import read_params, section
from components.core.splits import Fold, fold_table, read_folds
from components.settings import settings

log = logging.getLogger(__name__)


def train(application: str, model: str) -> None:
    """Write data/<application>/models/<model>/: scores per fold, the model of the test cut-off, a report.

    `ms_per_query` is processor time over a batch, so that a busy machine does not change what ships.
    A model that does not fit this catalogue or memory leaves a report that says so and exits well.
    """
    data = settings().data / application
    out, scratch = data / "models" / model, data / "scratch" / model
    shutil.rmtree(out, ignore_errors=True)
    (out / "scores").mkdir(parents=True)
    values = section(read_params(), f"{application}.models.{model}")
    report: dict[str, Any] = {"model": model, "skipped": None, "seconds": 0.0, "bytes": 0, "ms_per_query": 0.0}
    try:
        report |= _fit_and_score(application, model, values, data / "features", out, scratch)
    except DoesNotFit as reason:
        log.warning("%s steps aside: %s", model, reason)
        shutil.rmtree(out / "scores")
        report["skipped"] = str(reason)
    write_json(out / "report.json", report)
    shutil.rmtree(scratch, ignore_errors=True)


def _fit_and_score(
    application: str, name: str, values: dict[str, Any], features: Path, out: Path, scratch: Path
) -> dict[str, Any]:
    started, n_queries, scoring = time.perf_counter(), 0, 0.0
    fitted: Model | None = None
    for fit_on, scored in fits(read_folds(features), model_class(application, name).refits):
        fitted = make_model(application, name, values)
        log.info("%s: fitting at %s", name, fit_on.name)
        has_valid = (features / fit_on.name / "valid.parquet").is_file()
        valid = fold_table(features, fit_on.name, "valid") if has_valid else None
        fitted.fit(fold_table(features, fit_on.name, "train"), valid, scratch / fit_on.name)
        for fold in scored:
            queries, began = fold_table(features, fold.name, "queries"), time.process_time()
            fitted.predict(queries).write_parquet(out / "scores" / f"{fold.name}.parquet")
            n_queries, scoring = n_queries + queries.height, scoring + time.process_time() - began
    assert fitted is not None  # noqa: S101 - read_folds always ends with the test fold
    fitted.save(out / "model")
    return {
        "seconds": time.perf_counter() - started,
        "bytes": folder_bytes(out / "model"),
        "ms_per_query": 1000 * scoring / max(n_queries, 1),
    }


def fits(folds: Sequence[Fold], refits: Refits) -> list[tuple[Fold, list[Fold]]]:
    """Where to fit and which folds each fit scores; the last fit is the test cut-off's.

    A fit never scores a fold before its own cut-off, so every score is out of fold. Folds that
    share a cut-off split customers instead of time, and each needs a fit of its own.
    """
    split_by_time = len({fold.cutoff for fold in folds}) == len(folds)
    if refits == "every_fold" or not split_by_time:
        return [(fold, [fold]) for fold in folds]
    return [(folds[0], list(folds[:-1])), (folds[-1], [folds[-1]])]
