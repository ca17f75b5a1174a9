"""Many series side by side: what every forecaster is fitted on and asked with.

A frame has one row per series and origin (the first period to be forecast):

    query        int32, names the row             series_id    the series in the shop's words
    origin       date, first period to forecast   period_days  7 = weeks that begin on Mondays, 1 = days
    horizon      periods wanted                   quantiles    list of levels wanted, ascending
    y            list, units per period, oldest first, up to the period before `origin`; null = unknown
                 (before the series began, or the shop did not say)
    known_<x>    list, a covariate known in advance: as long as y, and `horizon` longer where the future is asked
    past_<x>     list, a covariate known only afterwards, such as the price paid: as long as y
    static_<x>   int32 code, -1 = unknown
    series_class "fast", "medium" or "slow" by volume before the validation window, in every fold

The train table of a fold has the same columns, and its lists end at the cut-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from components.core.errors import DataError

KEYS = ("query", "week", "quantile")
SCALE_PERIODS = 26  # the level of a series is its mean over so many latest periods


@dataclass(frozen=True)
class Panel:
    """The frame as arrays; shorter histories are padded on the left with NaN.

    queries (n,) int32; origins (n,) datetime64[D]; y (n, T) float32, NaN = unknown;
    known (n, T, n_known) and past (n, T, n_past) float32; future (n, horizon, n_known), NaN where not
    given; static (n, n_static) int32; quantiles (n_quantiles,) ascending.
    """

    queries: np.ndarray
    series_ids: list[str]
    origins: np.ndarray
    period_days: int
    horizon: int
    quantiles: np.ndarray
    y: np.ndarray
    known: np.ndarray
    known_names: tuple[str, ...]
    future: np.ndarray
    past: np.ndarray
    past_names: tuple[str, ...]
    static: np.ndarray
    static_names: tuple[str, ...]
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.queries)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self:
        """The panel of a train or queries frame; raises DataError where lengths do not fit together."""
        if frame.is_empty():
            raise DataError("expected at least one series, got none; see demand.features in params.yaml")
        names = {
            kind: tuple(name.removeprefix(f"{kind}_") for name in frame.columns if name.startswith(f"{kind}_"))
            for kind in ("known", "past", "static")
        }
        horizon, length = int(frame["horizon"][0]), int(frame["y"].list.len().max() or 0)  # type: ignore[arg-type]
        spans = [_padded(frame, f"known_{name}", length, horizon) for name in names["known"]]
        both = _stacked(spans, frame.height, length + horizon)
        return cls(
            queries=frame["query"].to_numpy().astype(np.int32),
            series_ids=frame["series_id"].to_list(),
            origins=frame["origin"].to_numpy().astype("datetime64[D]"),
            period_days=int(frame["period_days"][0]),
            horizon=horizon,
            quantiles=np.array(frame["quantiles"][0].to_list(), np.float64),
            y=_padded(frame, "y", length, 0),
            known=both[:, :length],
            known_names=names["known"],
            future=both[:, length:],
            past=_stacked([_padded(frame, f"past_{name}", length, 0) for name in names["past"]], frame.height, length),
            past_names=names["past"],
            static=_codes(frame, names["static"]),
            static_names=names["static"],
            classes=frame["series_class"].to_numpy(),
        )

    @cached_property
    def scale(self) -> np.ndarray:
        """(n,) float32 > 0: units in a usual period, by which series of any size become comparable."""
        return series_scale(self.y)

    @cached_property
    def weeks(self) -> np.ndarray:
        """(n, horizon) datetime64[D]: the first day of each period to be forecast."""
        return self.origins[:, None] + np.arange(self.horizon) * np.timedelta64(self.period_days, "D")

    def answer(self, values: np.ndarray) -> pl.DataFrame:
        """Score table of forecasts (n, horizon, n_quantiles): quantiles put in order, never below 0."""
        ordered = np.sort(np.maximum(values.astype(np.float64), 0.0), axis=2)
        n, horizon, n_quantiles = ordered.shape
        return pl.DataFrame(
            {
                "query": np.repeat(self.queries, horizon * n_quantiles),
                "week": np.repeat(self.weeks.ravel(), n_quantiles),
                "quantile": np.tile(self.quantiles, n * horizon),
                "score": ordered.ravel(),
            }
        )


def series_scale(y: np.ndarray) -> np.ndarray:
    """Mean of the latest SCALE_PERIODS periods of (n, T); of all where those are nothing; else 1."""
    latest, ever = (_known_mean(part) for part in (y[:, -SCALE_PERIODS:], y))
    result = np.where(latest > 0, latest, ever)
    return np.where(result > 0, result, 1.0).astype(np.float32)


def _known_mean(y: np.ndarray) -> np.ndarray:
    return np.nansum(y, axis=1) / np.maximum(np.isfinite(y).sum(axis=1), 1)


def _padded(frame: pl.DataFrame, column: str, length: int, horizon: int) -> np.ndarray:
    """(n, length + horizon) float32 of a list column aligned at the origin, NaN where nothing is said.

    A list as long as y ends at the origin; one that is longer by `horizon` also tells the future.
    """
    spans, past = (frame[name].list.len().cast(pl.Int64).to_numpy() for name in (column, "y"))
    beyond = spans - past
    if not np.isin(beyond, [0, horizon]).all():
        raise DataError(f"expected {column} as long as y, or longer by {horizon}, got {beyond.max():+} periods")
    values = frame[column].explode(empty_as_null=False).cast(pl.Float32).fill_null(float("nan")).to_numpy()
    rows = np.repeat(np.arange(frame.height), spans)
    first = np.repeat(np.cumsum(spans) - spans, spans)
    place = np.arange(len(values)) - first + np.repeat(length - past, spans)
    array = np.full((frame.height, length + horizon), np.nan, np.float32)
    array[rows, place] = values
    return array


def _stacked(arrays: list[np.ndarray], n: int, length: int) -> np.ndarray:
    return np.stack(arrays, axis=2) if arrays else np.zeros((n, length, 0), np.float32)


def _codes(frame: pl.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    columns: list[Any] = [frame[f"static_{name}"].fill_null(-1).to_numpy() for name in names]
    return np.column_stack(columns).astype(np.int32) if columns else np.zeros((frame.height, 0), np.int32)
