"""NPTS: the series' own past values as the forecast, the later the likelier.

The non-parametric time series forecaster of GluonTS (Alexandrov et al., 2020) with exponential
weights; it samples past values, here their weighted quantiles are taken directly.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.local import Local
from components.demand.spread import ENOUGH_ERRORS, USUAL_ERROR, normal_quantiles, recency, roots, weighted_quantiles


class NptsParams(Params):
    half_life_days: float = Field(56.0, gt=0, description="A past period counts half after so many days.")


class Npts(Local):
    """The same distribution for every period ahead: no level is estimated, so none can be wrong."""

    params_class: ClassVar[type[Params]] = NptsParams
    params: NptsParams

    def relative(self, relative: np.ndarray, panel: Panel) -> np.ndarray:
        weights = recency(relative.shape[1], self.params.half_life_days / panel.period_days)
        values = roots(relative)
        past = weighted_quantiles(values, weights, panel.quantiles)
        middle = weighted_quantiles(values, weights, np.array([0.5]))
        # A product that sold for two weeks has not shown its spread: lean on the usual one.
        lacking = np.maximum(1 - np.isfinite(relative).sum(axis=1) / ENOUGH_ERRORS, 0.0)[:, None]
        usual = np.maximum(middle + USUAL_ERROR * normal_quantiles(panel.quantiles), 0.0)
        quantiles = ((1 - lacking) * past + lacking * usual) ** 2
        return np.repeat(quantiles[:, None], panel.horizon, axis=1)


MODEL = Npts
