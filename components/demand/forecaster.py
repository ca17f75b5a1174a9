"""What all forecasters share: from a frame of series to a score table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import polars as pl

from components.core.model import Refits
from components.demand.features.panel import Panel


class Forecaster(ABC):
    """Answers with quantiles of units per period; see components.core.model.Model for the contract.

    A query brings its own history, so that a model fitted some weeks ago forecasts from today's.
    """

    refits: ClassVar[Refits] = "every_fold"

    @abstractmethod
    def forecast(self, panel: Panel) -> np.ndarray:
        """(n, horizon, n_quantiles) units, in the order of the panel's rows; raises NotFitted.

        NaN in a whole row says that the model cannot forecast that series; the row is left out.
        """

    def predict(self, queries: pl.DataFrame) -> pl.DataFrame:
        """Score table: query, week, quantile, score (units >= 0, ascending in quantile)."""
        panel = Panel.of(queries)
        return panel.answer(self.forecast(panel)).filter(pl.col("score").is_finite())
