"""Selection: the single model that was best on out-of-fold rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl

from components.core.artifacts import read_json, write_json
from components.core.ensembles import PoolSpec, labels, pool_arrays, truth_counts
from components.core.errors import NotFitted
from components.core.params import Params


class SelectParams(Params):
    """Nothing to choose."""


class Select:
    """Passes through one member's scores."""

    params_class: ClassVar[type[Params]] = SelectParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        self.spec = replace(spec, features=())
        self._chosen: str | None = None

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        members, _, offsets = pool_arrays(pool, self.spec)
        target = labels(pool, truth, self.spec.keys)
        objective = self.spec.judge()
        n_true = truth_counts(pool, truth, self.spec.keys[0])
        found = [objective(column, target, offsets, n_true) for column in members.T]
        self._chosen = self.spec.members[int(np.argmax(found))]
        self.spec = replace(self.spec, members=(self._chosen,))
        return self

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        self._fitted()
        scores = members[:, 0].astype(np.float64)
        if self.spec.unit == "score":
            return scores
        lowest = np.min(scores, where=np.isfinite(scores), initial=0.0)
        return np.where(np.isfinite(scores), scores, lowest - 1)  # what it cannot score comes last

    def weights(self) -> dict[str, float]:
        return {self._fitted(): 1.0}

    def save(self, folder: Path) -> None:
        self.spec.save(folder)
        write_json(folder / "select.json", {"chosen": self._fitted()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        ensemble = cls(PoolSpec.load(folder))
        ensemble._chosen = read_json(folder / "select.json")["chosen"]
        return ensemble

    def _fitted(self) -> str:
        if self._chosen is None:
            raise NotFitted("select: expected a fitted ensemble; call fit() or load() first")
        return self._chosen


ENSEMBLE = Select
