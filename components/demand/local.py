"""Local models: each series is forecast from its own history alone, when it is asked.

Nothing is learnt in `fit`, so a forecast never depends on which other series stand beside it, and a
model that was fitted long ago forecasts from today's history.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from components.core.artifacts import read_json, write_json
from components.core.errors import NotFitted
from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.forecaster import Forecaster
from components.demand.spread import Trace, roots

log = logging.getLogger(__name__)

MIN_PERIODS = 10  # known periods below which a model with parameters of its own is not fitted
FALLBACK_WINDOW = 8
SECONDS_BETWEEN_NEWS = 5.0

# (known history, horizon) -> what comes, what was fitted (NaN at the start), how the errors widen (or None)
Method = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray, np.ndarray | None]]


class Local(Forecaster):
    """A forecaster that has parameters and no state; a series that is nowhere known is left out."""

    params_class: ClassVar[type[Params]]
    params: Params

    def __init__(self, params: Params | None = None) -> None:
        self.params = self.params_class.model_validate((params or self.params_class()).model_dump())
        self._is_fitted = False

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        self._is_fitted = True
        return self

    def forecast(self, panel: Panel) -> np.ndarray:
        self._check_fitted()
        relative = panel.y.astype(np.float64) / panel.scale[:, None]
        values = self.relative(relative, panel) * panel.scale[:, None, None]
        values[~np.isfinite(relative).any(axis=1)] = np.nan
        return values

    @abstractmethod
    def relative(self, relative: np.ndarray, panel: Panel) -> np.ndarray:
        """(n, horizon, n_quantiles) forecasts in the scale of `relative` (n, T), which is units / panel.scale."""

    def save(self, folder: Path) -> None:
        self._check_fitted()
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(cls.params_class(**read_json(folder / "params.json")))
        model._is_fitted = True
        return model

    def _check_fitted(self) -> None:
        if not self._is_fitted:
            name = type(self).__module__.rpartition(".")[2]
            raise NotFitted(f"{name}: expected a fitted model; call fit() or load() first")


def trailing_mean(values: np.ndarray, window: int) -> np.ndarray:
    """(n, T) mean of the latest `window` known values up to and with each period; NaN before the first."""
    known = np.isfinite(values)
    order = np.argsort(known, axis=1, kind="stable")  # the unknown first, the known keep their order
    packed = np.nan_to_num(np.take_along_axis(values, order, axis=1))
    sums = np.cumsum(np.pad(packed, ((0, 0), (1, 0))), axis=1)
    count = np.cumsum(known, axis=1)
    end = (~known).sum(axis=1, keepdims=True) + count
    taken = np.minimum(count, window)
    total = np.take_along_axis(sums, end, axis=1) - np.take_along_axis(sums, end - taken, axis=1)
    return np.where(count > 0, total / np.maximum(taken, 1), np.nan)


def mean_trace(relative: np.ndarray, window: int, horizon: int) -> Trace:
    """The mean of the latest `window` known periods, for every period ahead."""
    levels = roots(trailing_mean(relative, window))
    ahead = np.repeat(np.nan_to_num(levels[:, -1:]), horizon, axis=1)
    return Trace(ahead, shifted(levels, 1), np.ones_like(ahead))


def shifted(values: np.ndarray, periods: int) -> np.ndarray:
    """(n, T) what stood `periods` earlier; NaN where nothing did."""
    result = np.full_like(values, np.nan)
    if periods < values.shape[1]:
        result[:, periods:] = values[:, :-periods]
    return result


def trace_each(series: np.ndarray, fallback: Trace, method: Method, name: str) -> Trace:
    """`method` on every row of (n, T) that is long enough; the rest keep the fallback's forecast.

    `series` and what the method says may be in any unit; the caller turns them into roots. Unknown
    periods inside a history are filled with the mean of the known ones before them.
    """
    horizon = fallback.ahead.shape[1]
    ahead, fitted, growth = fallback.ahead.copy(), fallback.fitted.copy(), fallback.growth.copy()
    begin = np.isfinite(series).argmax(axis=1)
    able = np.flatnonzero(np.isfinite(series).sum(axis=1) >= MIN_PERIODS)
    filled = np.where(np.isfinite(series), series, trailing_mean(series, FALLBACK_WINDOW))
    histories = [filled[row, begin[row] :] for row in able]
    for row, result in zip(able, _results(method, histories, horizon, name), strict=True):
        if result is not None:
            ahead[row], fitted[row, begin[row] :], growth[row] = result
    return Trace(ahead, fitted, growth)


def widening(sigmas: np.ndarray) -> np.ndarray:
    """Growth of the errors over the horizon, kept between none and that of a random walk."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(sigmas / sigmas[0], nan=1.0, posinf=1.0)
    return np.clip(ratio, 1.0, np.sqrt(np.arange(1, len(sigmas) + 1)))


def _results(method: Method, histories: list[np.ndarray], horizon: int, name: str) -> Iterator[Any]:
    """One result per history, in order.

    In one process: threads were tried and gained nothing, and the graph runs other models beside this one anyway.
    """
    told = time.monotonic()
    for done, history in enumerate(histories):
        if time.monotonic() - told > SECONDS_BETWEEN_NEWS:
            told = time.monotonic()
            log.info("%s: %d of %d series", name, done, len(histories))
        yield _one_series(method, history, horizon)


def _one_series(method: Method, history: np.ndarray, horizon: int) -> Any:
    """The method's answer, guarded; None where it found none, and the fallback stands in."""
    with np.errstate(all="ignore"):
        ahead, fitted, growth = method(history, horizon)
    if not np.isfinite(ahead).all():
        return None
    most = 2 * np.abs(history).max()  # an optimiser that went astray must not forecast ten times the best week
    widths = np.ones(horizon) if growth is None else growth
    return np.clip(ahead, 0.0, most), np.clip(fitted, 0.0, most), widths
