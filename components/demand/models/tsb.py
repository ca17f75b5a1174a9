"""TSB: how often it sells and how much when it does, each smoothed; for intermittent demand.

Teunter, Syntetos and Babai (2011), as in statsforecast. On validation its quantiles were as good as
those of Croston-SBA, ADIDA and IMAPA (weighted quantile loss .338, .336, .338, .337 on the chain's
best sellers; .695, .694, .704, .705 on store-by-product series, half of whose weeks are zero). It was
chosen because, unlike Croston's, it lets a product that stopped selling fade: WAPE of the level itself
1.27 there, Croston-SBA 1.69 (ADIDA and IMAPA 1.25, at three times the time).
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
from pydantic import Field

from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.local import FALLBACK_WINDOW, Local, mean_trace, trace_each
from components.demand.spread import roots, spread


class TsbParams(Params):
    alpha_demand: float = Field(0.15, gt=0, lt=1, description="Weight of the latest amount sold.")
    alpha_probability: float = Field(0.15, gt=0, lt=1, description="Weight of whether the latest period sold at all.")


class Tsb(Local):
    """One level for all periods ahead; series shorter than ten periods fall back on their mean."""

    params_class: ClassVar[type[Params]] = TsbParams
    params: TsbParams

    def relative(self, relative: np.ndarray, panel: Panel) -> np.ndarray:
        method = partial(smoothed, demand=self.params.alpha_demand, probability=self.params.alpha_probability)
        fallback = mean_trace(relative, FALLBACK_WINDOW, panel.horizon)
        trace = trace_each(np.maximum(relative, 0.0), fallback, method, "tsb")
        return spread(trace, relative, panel.quantiles)


def smoothed(
    history: np.ndarray, horizon: int, demand: float, probability: float
) -> tuple[np.ndarray, np.ndarray, None]:
    """Roots of the forecast and of the fitted values of one series; the errors do not widen."""
    from statsforecast.models import TSB

    said = TSB(alpha_d=demand, alpha_p=probability).forecast(history, horizon, fitted=True)
    return roots(said["mean"]), roots(said["fitted"]), None


MODEL = Tsb
