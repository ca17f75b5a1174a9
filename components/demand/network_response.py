"""How each series answered its covariates so far: a ridge regression per series and origin.

A network that reads a few periods cannot know what a mailer did to this very series months ago, and one that
reads many learns the train series by heart. Its own regression over the latest SCALE_PERIODS, carried over the
window, tells it in one number per period.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.demand.features.panel import SCALE_PERIODS


@dataclass(frozen=True)
class Response:
    """One regression per window: level (n,) and slopes (n, n_known) around the covariates' means (n, n_known)."""

    level: np.ndarray
    centre: np.ndarray
    slopes: np.ndarray

    @classmethod
    def of(cls, units: np.ndarray, known: np.ndarray, covariates: np.ndarray, shrinkage: float) -> Response:
        """Ridge regression (Hoerl and Kennard 1970) of units on covariates (n, T, n_known), where known (n, T)."""
        weights = known.astype(np.float32)
        counts = np.maximum(weights.sum(axis=1), 1.0)
        level = (units * weights).sum(axis=1) / counts
        centre = (covariates * weights[:, :, None]).sum(axis=1) / counts[:, None]
        around = (covariates - centre[:, None]) * weights[:, :, None]
        moments = around.transpose(0, 2, 1) @ around + shrinkage * np.eye(covariates.shape[2], dtype=np.float32)
        together = around.transpose(0, 2, 1) @ (units - level[:, None])[:, :, None]
        slopes = np.linalg.solve(moments, together)[:, :, 0] if covariates.shape[2] else centre
        return cls(level, centre, slopes.astype(np.float32))

    @classmethod
    def at(cls, cells: np.ndarray, stop: int, scales: np.ndarray, n_known: int, shrinkage: float) -> Response:
        """From the periods of cells (n, T, n_columns) before `stop`; `scales` (n,) bring units to one size."""
        before = cells[:, max(0, stop - SCALE_PERIODS) : stop]
        return cls.of(before[:, :, 0] / scales[:, None], before[:, :, 1] > 0, before[:, :, 2 : 2 + n_known], shrinkage)

    @classmethod
    def none(cls, n_known: int) -> Response:
        """Of no window."""
        return cls(np.zeros(0, np.float32), np.zeros((0, n_known), np.float32), np.zeros((0, n_known), np.float32))

    @classmethod
    def joined(cls, parts: list[Response]) -> Response:
        return cls(
            np.concatenate([part.level for part in parts]),
            np.concatenate([part.centre for part in parts]),
            np.concatenate([part.slopes for part in parts]),
        )

    def take(self, chosen: np.ndarray) -> Response:
        return Response(self.level[chosen], self.centre[chosen], self.slopes[chosen])

    def over(self, covariates: np.ndarray) -> np.ndarray:
        """What is to be expected in each period of covariates (n, T, n_known), less 1, a usual period: (n, T)."""
        moved: np.ndarray = np.einsum("ntk,nk->nt", covariates - self.centre[:, None], self.slopes)
        return self.level[:, None] - 1 + moved
