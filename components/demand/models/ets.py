"""ETS: exponential smoothing in state-space form, its weights fitted to each series.

Hyndman et al. (2008), as in statsforecast, between square roots. On validation (default data) the
choice among trends and error types (ZZN) took three times as long as the level alone (ANN) and was
worse: weighted quantile loss .334 against .327.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
from pydantic import Field

from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.local import FALLBACK_WINDOW, Local, mean_trace, trace_each, widening
from components.demand.spread import roots, spread

ONE_SIGMA = 68.27  # per cent of a normal within one standard deviation


class EtsParams(Params):
    model: str = Field("ANN", pattern="^[AZ][NAZ]N$", description="Error, trend and season; Z lets AICc choose.")
    damped: bool | None = Field(None, description="Damp the trend; null tries both.")


class Ets(Local):
    """Level (and trend, if asked for); series shorter than ten periods fall back on their mean."""

    params_class: ClassVar[type[Params]] = EtsParams
    params: EtsParams

    def relative(self, relative: np.ndarray, panel: Panel) -> np.ndarray:
        method = partial(smoothed, model=self.params.model, damped=self.params.damped)
        fallback = mean_trace(relative, FALLBACK_WINDOW, panel.horizon)
        return spread(trace_each(roots(relative), fallback, method, "ets"), relative, panel.quantiles)


def smoothed(
    history: np.ndarray, horizon: int, model: str, damped: bool | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecast, fitted values and growth of the errors of one series of roots."""
    from statsforecast.models import AutoETS

    said = AutoETS(season_length=1, model=model, damped=damped).forecast(
        history, horizon, level=[ONE_SIGMA], fitted=True
    )
    return said["mean"], said["fitted"], widening(said[f"hi-{ONE_SIGMA}"] - said["mean"])


MODEL = Ets
