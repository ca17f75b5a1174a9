"""Seasonal naive: what was sold one season ago; the other floor that every forecaster must beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.local import FALLBACK_WINDOW, Local, mean_trace, shifted
from components.demand.spread import ENOUGH_ERRORS, Trace, roots, spread


class SeasonalNaiveParams(Params):
    season_days: int = Field(364, ge=1, description="A season, where the history of a series goes back so far.")
    short_season_days: int = Field(28, ge=1, description="A season for shorter histories.")


class SeasonalNaive(Local):
    """The value one season before; a moving average where that is unknown.

    364 days are 52 weeks, so that a day repeats the same day of the week.
    """

    params_class: ClassVar[type[Params]] = SeasonalNaiveParams
    params: SeasonalNaiveParams

    def relative(self, relative: np.ndarray, panel: Panel) -> np.ndarray:
        seasons = (self.params.season_days, self.params.short_season_days)
        long, short = (season_trace(relative, max(days // panel.period_days, 1), panel.horizon) for days in seasons)
        reaches = np.isfinite(long.ahead).all(axis=1)[:, None]
        mean = mean_trace(relative, FALLBACK_WINDOW, panel.horizon)
        ahead = np.where(reaches, long.ahead, np.where(np.isfinite(short.ahead), short.ahead, mean.ahead))
        # A history of one year and a day has one error a year apart: until there are enough, those of the short season.
        tried = (np.isfinite(long.fitted) & np.isfinite(relative)).sum(axis=1) >= ENOUGH_ERRORS
        trace = Trace(ahead, np.where(reaches & tried[:, None], long.fitted, short.fitted), mean.growth)
        return spread(trace, relative, panel.quantiles)


def season_trace(relative: np.ndarray, season: int, horizon: int) -> Trace:
    """The last `season` periods again and again; NaN where one of them is unknown or before the history."""
    values = roots(relative)
    last = np.pad(values, ((0, 0), (season, 0)), constant_values=np.nan)[:, -season:]
    ahead = last[:, np.arange(horizon) % season]
    return Trace(ahead, shifted(values, season), np.ones_like(ahead))


MODEL = SeasonalNaive
