"""Weighted combination: weights on the simplex, found greedily (Caruana et al. 2004, with replacement).

Starting from nothing, the member that helps the application's objective most is added, again and
again; a member's weight is how often it was taken. Members that do not help are never taken.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json
from components.core.ensembles import PoolSpec, comparable, labels, pool_arrays, truth_counts
from components.core.errors import NotFitted
from components.core.metrics import ranks_within
from components.core.params import Params


class BlendParams(Params):
    n_steps: int = Field(25, ge=1, description="How many members are taken, with replacement.")
    max_groups: int = Field(2000, ge=1, description="Groups drawn at random to judge weights on.")
    depth: int = Field(50, ge=1, description="Rank units only: rows that no member ranks so high are left out.")
    seed: int = 0


class Blend:
    """Weighted mean of members on one scale."""

    params_class: ClassVar[type[Params]] = BlendParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        self.spec = replace(spec, features=())
        self.params = BlendParams.model_validate((params or BlendParams()).model_dump())
        self._weights: np.ndarray | None = None

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        objective = self.spec.judge()
        members, _, offsets = pool_arrays(pool, self.spec)
        scaled = comparable(members, offsets, self.spec.unit)
        target = labels(pool, truth, self.spec.keys)
        kept, offsets, n_true = self._sample(members, target, offsets, truth_counts(pool, truth, self.spec.keys[0]))
        scaled, target = scaled[kept], target[kept]
        taken, total = np.zeros(scaled.shape[1]), np.zeros(len(scaled))
        best_taken, best = taken, -np.inf
        for step in range(self.params.n_steps):
            found = [objective((total + column) / (step + 1), target, offsets, n_true) for column in scaled.T]
            choice = int(np.argmax(found))
            taken, total = taken.copy(), total + scaled[:, choice]
            taken[choice] += 1
            if found[choice] > best:
                best_taken, best = taken, found[choice]
        self._weights = best_taken[best_taken > 0] / best_taken.sum()
        heeded = [name for name, count in zip(self.spec.members, best_taken, strict=True) if count > 0]
        self.spec = replace(self.spec, members=tuple(heeded))  # the rest need not be shipped nor asked
        return self

    def _sample(
        self, members: np.ndarray, target: np.ndarray, offsets: np.ndarray, n_true: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mask, offsets and truth counts of fewer groups and, where only ranks count, the rows that could matter."""
        n_groups = len(offsets) - 1
        rows = np.repeat(np.arange(n_groups), np.diff(offsets))
        drawn = np.ones(n_groups, bool)
        if n_groups > self.params.max_groups:
            chosen = np.random.default_rng(self.params.seed).choice(n_groups, self.params.max_groups, replace=False)
            drawn = np.isin(np.arange(n_groups), chosen)
        kept = drawn[rows]
        if self.spec.unit == "rank":
            best_rank = np.full(len(rows), np.inf)
            for column in members.T:
                best_rank = np.fmin(best_rank, ranks_within(column, offsets))
            kept &= (best_rank <= self.params.depth) | (target > 0)
        counts = np.bincount(rows[kept], minlength=n_groups)
        left = counts > 0
        return kept, np.concatenate([[0], np.cumsum(counts[left])]), n_true[left]

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        weights = self._fitted()
        scaled = comparable(members, offsets, self.spec.unit)
        present = np.isfinite(scaled)
        return (np.where(present, scaled, 0) @ weights) / np.maximum(present @ weights, 1e-12)

    def weights(self) -> dict[str, float]:
        return {name: float(weight) for name, weight in zip(self.spec.members, self._fitted(), strict=True)}

    def save(self, folder: Path) -> None:
        self.spec.save(folder)
        write_json(folder / "blend.json", {"params": self.params.model_dump(), "weights": self.weights()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        kept = read_json(folder / "blend.json")
        ensemble = cls(PoolSpec.load(folder), BlendParams(**kept["params"]))
        ensemble._weights = np.array([kept["weights"][name] for name in ensemble.spec.members])
        return ensemble

    def _fitted(self) -> np.ndarray:
        if self._weights is None:
            raise NotFitted("blend: expected a fitted ensemble; call fit() or load() first")
        return self._weights


ENSEMBLE = Blend
