"""Scale of demand: seconds and peak memory of featurising and of every model as series are added.

    python -m benchmarks.demand_scale                        1,000 and 10,000 series, every model
    python -m benchmarks.demand_scale --series 500,5000 --models ets,gbm --json FILE
    python -m benchmarks.demand_scale --ray 2                and forecasts in parts on two local Ray workers

Data: the default ones, the best-selling products, weekly, four weeks ahead. Each figure comes from a
process of its own: `featurise` writes all folds as the stage does, a model is fitted at the test cut-off
and forecasts every series at one origin, with its defaults. Before that it is fitted to a few series with
as few trees and steps as it can, so that imports and compiling do not flatter the ratio. `own_mib` is the
process's peak (resident set, libraries included); `ratio` and `cpu_ratio` compare clock and processor
seconds with those of the first count.

The Ray workers get the model as saved files and rows of the same queries, one core each; beside them
stands one process on one core. `unequal` counts forecasts that differ in any bit.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from benchmarks.demand import complete_journey
from benchmarks.demand_parts import WARM_UP_ROWS, cut, ray_workers, timed_parts, unequal
from benchmarks.report import publish
from components.core.errors import DoesNotFit
from components.core.model import make_model, model_class, model_names
from components.core.splits import fold_table
from components.logs import set_up_logs

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
REPEATS, ENOUGH_SECONDS = 9, 2.0
IN_PARTS = ("ets", "theta", "tsb", "gbm")  # forecast by Ray workers
LEAST = ("n_trees", "n_bags", "max_steps", "n_nets")  # parameters that warming up sets to 1


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its tables, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demand_scale", description=__doc__.split("\n")[0])
    parser.add_argument("--series", default="1000,10000", help="how many best sellers, with commas, fewest first")
    parser.add_argument("--models", default=",".join(model_names("demand")), help="with commas; default: all on disk")
    parser.add_argument("--ray", type=int, default=0, help="workers that forecast in parts; 0: none")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--work", type=Path, help="keep the features here; the next run does not featurise again")
    asked = parser.parse_args(arguments)
    set_up_logs("INFO")
    counts, models = [int(count) for count in asked.series.split(",")], asked.models.split(",")
    with contextlib.ExitStack() as stack:
        work = asked.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-scale-")))
        rows = [row for count in counts for row in measure(work / f"features-{count}", count, models)]
        rows = [*with_ratios(rows), *(in_parts(work, max(counts), models, asked.ray) if asked.ray else [])]
    publish("demand_scale", "Complete Journey, best sellers", rows, json_file=asked.json)


def measure(features: Path, n_series: int, models: list[str]) -> Iterator[dict[str, Any]]:
    """A row for featurise, unless `features` is there already, and one per model that fits."""
    if not features.is_dir():
        unfinished = features.with_suffix(".part")
        yield _row("featurise", n_series, *alone(featurise_figures, unfinished, n_series))
        unfinished.rename(features)
    for name in models:
        yield _row(name, n_series, *alone(model_figures, name, features))


def _row(name: str, n_series: int, seconds: float, figures: dict[str, float]) -> dict[str, Any]:
    told = ", ".join(f"{figure} {value:.2f}" for figure, value in figures.items())
    log.info("%s, %d series: %.2f s; %s", name, n_series, seconds, told)
    return {"name": name, "kind": "single", "metrics": {"series": float(n_series)} | figures, "seconds": seconds}


def with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, from each name's second on with its times over those of the first."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        base = first.setdefault(row["name"], row)
        if base is not row:
            ratio = row["seconds"] / base["seconds"]
            row["metrics"] |= {"ratio": ratio, "cpu_ratio": row["metrics"]["cpu_s"] / base["metrics"]["cpu_s"]}
    return rows


# --- in a process of its own ---------------------------------------------------------------------


def alone(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """`function` in a fresh process, so that its peak memory is nobody else's; its errors arrive here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def featurise_figures(out: Path, n_series: int) -> tuple[float, dict[str, float]]:
    """Write every fold of so many products below `out`; seconds, and what else was used."""
    before, started = time.process_time(), time.perf_counter()
    complete_journey(out, {"split": {}, "features": {"n_series": n_series}})
    return time.perf_counter() - started, _usage(before)


def model_figures(name: str, features: Path) -> tuple[float, dict[str, float]]:
    """Fit at the test cut-off, forecast at the first origin; seconds of both, and what else was used.

    What takes milliseconds is done a few times and the middle one counts: one alone is mostly chance.
    """
    train, queries = tables(features)
    _warm_up(name, train, queries)
    before, started, spans = time.process_time(), time.perf_counter(), list[tuple[float, float]]()
    while len(spans) < REPEATS and time.perf_counter() - started < ENOUGH_SECONDS:
        spans.append(_fit_and_forecast(name, train, queries))
    fitting, asking = (float(np.median(each)) for each in zip(*spans, strict=True))
    return fitting + asking, {"fit_s": fitting, "forecast_s": asking} | _usage(before, len(spans))


def _fit_and_forecast(name: str, train: pl.DataFrame, queries: pl.DataFrame) -> tuple[float, float]:
    started = time.perf_counter()
    model = make_model("demand", name, {}).fit(train)
    fitted = time.perf_counter()
    model.predict(queries)
    return fitted - started, time.perf_counter() - fitted


def tables(features: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Train of the test fold, and the queries of its first origin: one row per series."""
    queries = fold_table(features, "test", "queries")
    return fold_table(features, "test", "train"), queries.filter(pl.col("origin") == pl.col("origin").min())


def _warm_up(name: str, train: pl.DataFrame, queries: pl.DataFrame) -> None:
    least = {each: 1 for each in LEAST if each in model_class("demand", name).params_class.model_fields}
    with contextlib.suppress(DoesNotFit):  # a network of one step may well count as diverged
        make_model("demand", name, least).fit(train.head(WARM_UP_ROWS)).predict(queries.head(WARM_UP_ROWS))


def _usage(before: float, times: int = 1) -> dict[str, float]:
    """Processor seconds since `before` over `times`, and this process's peak in MiB."""
    spent = (time.process_time() - before) / times
    return {"cpu_s": spent, "own_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


# --- in parts ------------------------------------------------------------------------------------


def in_parts(work: Path, n_series: int, models: list[str], n_workers: int) -> Iterator[dict[str, Any]]:
    """Per model a row for one process on one core and one for the workers; seconds are of the forecast alone."""
    features = work / f"features-{n_series}"
    os.environ["OMP_NUM_THREADS"] = "1"  # as Ray gives its workers; read by whatever starts from here
    chosen = [name for name in IN_PARTS if name in models]
    seconds = {name: alone(whole_saved, name, features, work / "saved" / name) for name in chosen}
    parts = cut(tables(features)[1], n_workers)
    with ray_workers(n_workers) as spread:
        for name in chosen:
            folder = work / "saved" / name
            taken, joined = timed_parts(name, folder, parts, spread)
            differing = unequal(np.load(folder / "whole.npy"), joined)
            yield _row(f"{name}, one process", n_series, seconds[name], {})
            yield _row(f"{name}, {n_workers} Ray workers", n_series, taken, {"unequal": float(differing)})


def whole_saved(name: str, features: Path, folder: Path) -> float:
    """Fit and save the model, and its forecast of all series at once; seconds of the forecast."""
    train, queries = tables(features)
    make_model("demand", name, {}).fit(train).save(folder)
    seconds, forecasts = timed_parts(name, folder, [queries])
    np.save(folder / "whole.npy", forecasts)
    return seconds


if __name__ == "__main__":
    main()
