"""Moving average: the mean of the latest weeks; the floor that every other forecaster must beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.local import Local, mean_trace
from components.demand.spread import spread


class MovingAverageParams(Params):
    window: int = Field(8, ge=1, description="Latest known periods whose mean is forecast.")


class MovingAverage(Local):
    """One level for all periods ahead; the quantiles come from how the past strayed from it."""

    params_class: ClassVar[type[Params]] = MovingAverageParams
    params: MovingAverageParams

    def relative(self, relative: np.ndarray, panel: Panel) -> np.ndarray:
        return spread(mean_trace(relative, self.params.window, panel.horizon), relative, panel.quantiles)


MODEL = MovingAverage
