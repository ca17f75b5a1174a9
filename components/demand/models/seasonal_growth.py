"""A year before, grown: the same season's sales, smoothed a little and scaled as the latest periods grew.

Where most of what happens comes back every year (holidays, weather), this is hard to beat far ahead. A
series without a whole season forecasts the mean of its latest periods.
"""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json
from components.core.errors import NotFitted
from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.forecaster import Forecaster

YEAR_DAYS = 364  # whole weeks, so that weekdays meet
FEWEST = 4  # periods known in both years before growth is believed
LARGEST = 2.0  # growth beyond this is a new or an ending series, not a trend
LATEST = 8  # periods whose mean stands in where there is no season
MAD_TO_SIGMA = 1.2533  # of a normal distribution


class SeasonalGrowthParams(Params):
    season: int | None = Field(None, ge=1, description="Periods after which sales come back; null: a year.")
    growth_periods: int = Field(13, ge=1, description="Latest periods, held against the same ones a season before.")
    damping: float = Field(0.5, ge=0, le=1, description="Power of the growth that is believed to go on.")
    smoothing: float = Field(0.3, ge=0, lt=1, description="Weight that a period's two neighbours share.")


class SeasonalGrowth(Forecaster):
    """Learns nothing beforehand: a query's own history says it all."""

    params_class: ClassVar[type[Params]] = SeasonalGrowthParams

    def __init__(self, params: Params | None = None) -> None:
        self.params = SeasonalGrowthParams.model_validate((params or SeasonalGrowthParams()).model_dump())
        self._fitted = False

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        self._fitted = True
        return self

    def forecast(self, panel: Panel) -> np.ndarray:
        self._check()
        season, latest = self.params.season or max(1, YEAR_DAYS // panel.period_days), self.params.growth_periods
        y = _at_least(panel.y.astype(np.float64), season + latest)  # so that no other series' length matters
        level = _mean(y[:, -LATEST:], fallback=_mean(y))
        grown = self._smoothed(y) * _growth(y, season, latest)[:, None] ** self.params.damping
        ahead = grown[:, y.shape[1] - season + np.arange(panel.horizon) % season]
        middle, missed = np.where(np.isfinite(ahead), ahead, level[:, None]), y[:, season:] - grown[:, :-season]
        missed = np.where(np.isfinite(missed).sum(axis=1, keepdims=True) >= LATEST, missed, np.nan)
        sigma = MAD_TO_SIGMA * _mean(np.abs(missed), fallback=_mean(np.abs(y - level[:, None])))
        spread = np.array([NormalDist().inv_cdf(level) for level in panel.quantiles])
        return middle[:, :, None] + sigma[:, None, None] * spread

    def _smoothed(self, y: np.ndarray) -> np.ndarray:
        """Weighted mean of each period and its two neighbours, of those that are known; NaN where none is."""
        share = self.params.smoothing / 2
        weights = (share, 1 - 2 * share, share)
        around = np.pad(y, ((0, 0), (1, 1)), constant_values=np.nan)
        parts = [around[:, place : place + y.shape[1]] for place in range(3)]
        total = sum(weight * np.nan_to_num(part) for weight, part in zip(weights, parts, strict=True))
        known = sum(weight * np.isfinite(part) for weight, part in zip(weights, parts, strict=True))
        return np.divide(total, known, out=np.full_like(y, np.nan), where=known > 0)

    def save(self, folder: Path) -> None:
        self._check()
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(SeasonalGrowthParams(**read_json(folder / "params.json")))
        model._fitted = True
        return model

    def _check(self) -> None:
        if not self._fitted:
            raise NotFitted("seasonal_growth: expected a fitted model; call fit() or load() first")


def _at_least(y: np.ndarray, length: int) -> np.ndarray:
    """`y` with unknown periods before it, so that it has `length` of them."""
    return np.pad(y, ((0, 0), (max(length - y.shape[1], 0), 0)), constant_values=np.nan)


def _growth(y: np.ndarray, season: int, latest: int) -> np.ndarray:
    """(n,) sales of the latest periods over those a season before, of periods known in both; 1 where too few are."""
    now, before = y[:, -latest:], y[:, -latest - season : -season]
    both = np.isfinite(now) & np.isfinite(before)
    above, below = (np.where(both, part, 0).sum(axis=1) for part in (now, before))
    told = (both.sum(axis=1) >= min(FEWEST, latest)) & (above > 0) & (below > 0)
    ratio = np.divide(above, below, out=np.ones(len(y)), where=told)
    return np.clip(ratio, 1 / LARGEST, LARGEST)


def _mean(values: np.ndarray, fallback: np.ndarray | float = 0.0) -> np.ndarray:
    """(n,) mean of what is known of each row; `fallback` where nothing is."""
    known = np.isfinite(values).sum(axis=1)
    return np.where(known > 0, np.nansum(values, axis=1) / np.maximum(known, 1), fallback)


MODEL = SeasonalGrowth
