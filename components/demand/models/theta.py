"""Theta: a smoothed level with half of the trend; the dynamic optimised theta model.

Fiorucci et al. (2016), as in statsforecast, between square roots. On validation (default data) the
choice among the four variants (AutoTheta) took nearly twice as long and was worse: weighted quantile
loss .344 against .332.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.local import FALLBACK_WINDOW, Local, mean_trace, trace_each, widening
from components.demand.spread import roots, spread

ONE_SIGMA = 68.27  # per cent of a normal within one standard deviation


class ThetaParams(Params):
    """Everything is fitted to each series."""


class Theta(Local):
    """Level and a damped trend; series shorter than ten periods fall back on their mean."""

    params_class: ClassVar[type[Params]] = ThetaParams
    params: ThetaParams

    def relative(self, relative: np.ndarray, panel: Panel) -> np.ndarray:
        fallback = mean_trace(relative, FALLBACK_WINDOW, panel.horizon)
        return spread(trace_each(roots(relative), fallback, dynamic_theta, "theta"), relative, panel.quantiles)


def dynamic_theta(history: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecast, fitted values and growth of the errors of one series of roots."""
    from statsforecast.models import DynamicOptimizedTheta

    said = DynamicOptimizedTheta(season_length=1).forecast(history, horizon, level=[ONE_SIGMA], fitted=True)
    return said["mean"], said["fitted"], widening(said[f"hi-{ONE_SIGMA}"] - said["mean"])


MODEL = Theta
