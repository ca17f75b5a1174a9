"""How sales follow what is planned, over all series: one linear model of log sales, for features to build upon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from components.demand.features.panel import Panel

RIDGE = 2.0  # of a mean series' periods: keeps rare codes near 0
SMALLEST = 0.1  # of the scale, added before the logarithm: a week without a sale is not minus infinity


@dataclass(frozen=True)
class Response:
    """units (n_known,): divides a covariate; beta (n_known,): what one unit of it adds to log sales."""

    units: np.ndarray
    beta: np.ndarray

    @classmethod
    def of(cls, panel: Panel) -> Self:
        """Weighted ridge regression of log(y / mean) on the covariates, both less their series' means."""
        known = filled(panel.known)
        units = _units(known)
        x = known / units
        seen = np.isfinite(panel.y)
        scale = np.maximum(_row_mean(np.nan_to_num(panel.y), seen), 1e-9)
        ratio = np.log(np.where(seen, panel.y, 1.0) / scale + SMALLEST)
        ratio = ratio - _row_mean(ratio, seen)
        x = x - _row_mean(x, seen[:, :, None])
        weight = np.broadcast_to(np.sqrt(scale / scale.mean()), seen.shape)[seen][:, None]
        rows = x[seen]
        gram = (rows * weight).T @ rows + RIDGE * np.eye(rows.shape[1])
        return cls(units, np.linalg.solve(gram, (rows * weight).T @ ratio[seen]))

    def plan(self, panel: Panel) -> np.ndarray:
        """(n, T + horizon, n_known) past and future plans in `units`; what is not said stays as it was."""
        return filled(np.concatenate([panel.known, panel.future], axis=1)) / self.units

    def effect(self, plan: np.ndarray) -> np.ndarray:
        """What a plan adds to log sales: one number less a dimension."""
        answer: np.ndarray = plan @ self.beta
        return answer

    def as_json(self) -> dict[str, Any]:
        return {"units": self.units.tolist(), "beta": self.beta.tolist()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(np.array(value["units"], np.float64), np.array(value["beta"], np.float64))


def filled(known: np.ndarray) -> np.ndarray:
    """(n, T, n_known) float64: a value that is not said is the last one said, or the first, or 0."""
    ahead = _carried(known.astype(np.float64))
    return np.nan_to_num(_carried(ahead[:, ::-1])[:, ::-1])


def _carried(values: np.ndarray) -> np.ndarray:
    if np.isfinite(values).all():
        return values
    places = np.where(np.isfinite(values), np.arange(values.shape[1])[None, :, None], 0)
    return np.take_along_axis(values, np.maximum.accumulate(places, axis=1), axis=1)


def _units(known: np.ndarray) -> np.ndarray:
    """Shares stay shares; a covariate of larger numbers is divided by its spread, that none outweighs the others."""
    flat = known.reshape(known.shape[0] * known.shape[1], known.shape[2])  # -1 cannot be told without covariates
    return np.where(np.abs(flat).max(axis=0, initial=0.0) > 1.5, np.maximum(flat.std(axis=0), 1e-9), 1.0)


def _row_mean(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return (values * seen).sum(axis=1, keepdims=True) / np.maximum(seen.sum(axis=1, keepdims=True), 1)
