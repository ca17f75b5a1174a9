"""Forecasts past one machine: a panel cut by rows, each part forecast by a worker of its own.

A fitted model travels as the files that it saves, a part as rows of the queries frame; a worker needs
nothing else, and the forecasts are put one below the other. Ray is one way to run the workers: nothing
in components knows of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from components.core.model import model_class
from components.demand.features.panel import Panel
from components.demand.forecaster import Forecaster

OBJECT_STORE_BYTES = 200 * 1024**2
WARM_UP_ROWS = 20

Asked = tuple[str, Path, pl.DataFrame]  # a model's name, the folder of its files, rows to forecast
Spread = Callable[[Callable[[Asked], np.ndarray], Iterable[Asked]], Iterable[np.ndarray]]  # as `map` does


def cut(queries: pl.DataFrame, n_parts: int) -> list[pl.DataFrame]:
    """Neighbouring rows in at most `n_parts` parts of equal size, give or take one row; none is empty."""
    edges = np.linspace(0, queries.height, min(n_parts, queries.height) + 1).astype(int).tolist()
    return [queries[start:stop] for start, stop in pairwise(edges)]


def forecast_part(asked: Asked) -> np.ndarray:
    """(n, horizon, n_quantiles) units of the rows, by the model that was saved in the folder."""
    name, folder, part = asked
    model = model_class("demand", name).load(folder)
    assert isinstance(model, Forecaster)
    return model.forecast(Panel.of(part))


def forecast_parts(name: str, folder: Path, parts: list[pl.DataFrame], spread: Spread = map) -> np.ndarray:
    """What `forecast_part` says of all parts, in their order."""
    return np.concatenate(list(spread(forecast_part, [(name, folder, part) for part in parts])))


@contextlib.contextmanager
def ray_workers(n: int) -> Iterator[Spread]:
    """`n` local Ray workers of one core each, as long as the block runs."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # else it warns of a default that will change
    import ray

    ray.init(
        num_cpus=n,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )

    def spread(function: Callable[[Asked], np.ndarray], asked: Iterable[Asked]) -> list[np.ndarray]:
        remote = ray.remote(num_cpus=1)(function)
        return ray.get([remote.remote(each) for each in asked])

    try:
        yield spread
    finally:
        ray.shutdown()


def timed_parts(name: str, folder: Path, parts: list[pl.DataFrame], spread: Spread = map) -> tuple[float, np.ndarray]:
    """Seconds and forecasts, once every worker has imported and compiled what it needs."""
    forecast_parts(name, folder, [part.head(WARM_UP_ROWS) for part in parts], spread)
    started = time.perf_counter()
    forecasts = forecast_parts(name, folder, parts, spread)
    return time.perf_counter() - started, forecasts


def unequal(whole: np.ndarray, joined: np.ndarray) -> int:
    """How many forecasts differ in any bit; both NaN counts as equal, another shape as all."""
    if whole.shape != joined.shape:
        return max(whole.size, joined.size)
    return int((~((whole == joined) | (np.isnan(whole) & np.isnan(joined)))).sum())
