"""Ensemble: learn on out-of-fold rows, be chosen on validation, learn again with validation, score the test once."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl

from components.core import ensembles
from components.core.application import ALONE, THROUGH, Application, load_application
from components.core.artifacts import folder_bytes, read_json, write_json
from components.core.bundle import join_members
from components.core.errors import ModelError
from components.core.params import read_params, section
from components.core.splits import Fold, fold_table, read_folds
from components.settings import settings

log = logging.getLogger(__name__)


def ensemble(application: str) -> None:
    """Write data/<application>/ensembles/: each ensemble, its validation and test scores, a report, the terms.

    Below alone/ the same of every single classifier, so that one may ship in an ensemble's place.
    """
    chosen, data = load_application(application), settings().data / application
    out = data / "ensembles"
    shutil.rmtree(out, ignore_errors=True)
    params = section(read_params(), application)
    members = trained_members(data / "models", list(params["models"]))
    features = [name for name in fold_table(data / "features", "test", "pool").columns if name not in chosen.keys]
    spec = ensembles.PoolSpec.of(chosen, members, features)
    report = {name: learn(name, values or {}, spec, chosen, data, out) for name, values in params["ensembles"].items()}
    write_json(out / "report.json", report)
    if chosen.unit == "probability":
        stated = params["ensembles"].get(THROUGH) or {}
        write_json(out / ALONE / "report.json", learn_alone(members, stated, spec, chosen, data, out / ALONE))
    for name in chosen.terms:
        if not (data / "features" / name).is_file():  # a benchmark's folds, from which nothing is packaged
            continue
        (out / "terms" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / "features" / name, out / "terms" / name)


def trained_members(folder: Path, names: list[str]) -> list[str]:
    """The models that params.yaml names and that did not step aside, in its order."""
    members = [name for name in names if read_json(folder / name / "report.json")["skipped"] is None]
    if not members:
        raise ModelError(f"expected a trained model among {', '.join(names)}, all stepped aside; see their reports")
    return members


def learn_alone(
    members: list[str],
    values: dict[str, Any],
    spec: ensembles.PoolSpec,
    application: Application,
    data: Path,
    out: Path,
) -> dict[str, Any]:
    """Every classifier as it would ship alone, its probabilities calibrated and able to reject, below `out`."""
    return {name: learn(THROUGH, values, spec.only([name]), application, data, out / name) for name in members}


def learn(
    name: str, values: dict[str, Any], spec: ensembles.PoolSpec, application: Application, data: Path, out: Path
) -> dict[str, Any]:
    """Write one ensemble and its scores below `out`: fitted before validation to be chosen, before the test to ship.

    The answer is its report.
    """
    folds = read_folds(data / "features")
    started, report = time.perf_counter(), {}
    for scored in folds[-2:]:
        earlier = [fold for fold in folds if fold.cutoff < scored.cutoff]
        fitted = ensembles.make_ensemble(name, spec, values)
        fitted.fit(*_rows(earlier, spec, application, data))
        pool = member_pool(data, scored, spec)
        began = time.process_time()
        scores = ensembles.predict(fitted, pool)
        milliseconds = 1000 * (time.process_time() - began) / max(pool[application.group].n_unique(), 1)
        target = out / "scores" / scored.name / f"{name}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        scores.write_parquet(target)
        report = {"weights": fitted.weights(), "ms_per_query": milliseconds, **_details(fitted)}
    folder = out / name / "model"
    folder.mkdir(parents=True)
    fitted.save(folder)
    log.info("%s: learned in %.0f s", name, time.perf_counter() - started)
    return report | {"seconds": time.perf_counter() - started, "bytes": folder_bytes(folder)}


def _details(fitted: ensembles.Ensemble) -> dict[str, Any]:
    """What only some ensembles can say: inputs they dropped, weights that differ by part."""
    return {name: getattr(fitted, name, {}) for name in ("dropped", "by_part")}


def _rows(
    folds: list[Fold], spec: ensembles.PoolSpec, application: Application, data: Path
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pools and truths of several folds as one; groups are numbered anew so that they stay apart."""
    pools, truths, first = [], [], 0
    for fold in folds:
        pool, truth = member_pool(data, fold, spec), fold_table(data / "features", fold.name, "truth")
        names = pl.concat([pool[application.group], truth[application.group]]).unique().sort()
        codes = pl.DataFrame({application.group: names, "_group": pl.arange(first, first + len(names), eager=True)})
        pools.append(_recode(pool, codes, application.group))
        truths.append(_recode(truth, codes, application.group))
        first += len(names)
    return pl.concat(pools), pl.concat(truths)


def _recode(table: pl.DataFrame, codes: pl.DataFrame, group: str) -> pl.DataFrame:
    return table.join(codes, on=group, how="left", maintain_order="left").drop(group).rename({"_group": group})


def member_pool(data: Path, fold: Fold, spec: ensembles.PoolSpec) -> pl.DataFrame:
    """A fold's pool with every member's out-of-fold scores."""
    scores = {
        name: pl.read_parquet(data / "models" / name / "scores" / f"{fold.name}.parquet") for name in spec.members
    }
    return join_members(fold_table(data / "features", fold.name, "pool"), scores, list(spec.keys))
