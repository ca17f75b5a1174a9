"""Weighted combination: weights on the simplex, found greedily (Caruana et al. 2004, with replacement).

Starting from nothing, the member that helps the application's objective most is added, again and
again; a member's weight is how often it was taken. Members that do not help are never taken.
Where an application has parts (a quantile's level, a class of series), each part has weights of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json
from components.core.ensembles import PoolSpec, asked_of, comparable, parts_of, pool_arrays
from components.core.errors import NotFitted
from components.core.metrics import Asked, ranks_within
from components.core.params import Params


class BlendParams(Params):
    n_steps: int = Field(25, ge=1, description="How many members are taken, with replacement.")
    max_groups: int = Field(2000, ge=1, description="Groups drawn at random to judge weights on.")
    depth: int = Field(50, ge=1, description="Rank units only: rows that no member ranks so high are left out.")
    per: tuple[str, ...] | None = Field(
        None, description="Feature columns with weights apart; null: the application's."
    )
    seed: int = 0


class Blend:
    """Weighted mean of members on one scale."""

    params_class: ClassVar[type[Params]] = BlendParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        self.spec = spec.only(spec.members)
        self.params = BlendParams.model_validate((params or BlendParams()).model_dump())
        self._weights: dict[str, dict[str, float]] = {}  # part -> member -> weight; "" for parts never seen
        self._sizes: dict[str, int] = {}

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        members, features, _ = pool_arrays(pool, self.spec)
        asked = asked_of(pool, truth, self.spec, features)
        scaled = _filled(comparable(members, asked.offsets, self.spec.unit))
        kept, asked = self._sample(members, asked)
        scaled, features = scaled[kept], features[kept]
        self._weights = {"": self._greedy(scaled, asked)}
        for part, rows in parts_of(features, self.spec, self._per()).items() if self._per() else ():
            levels = None if asked.levels is None else asked.levels[rows]
            within = Asked(asked.labels[rows], np.array([0, len(rows)]), np.ones(1), levels)
            self._weights[part], self._sizes[part] = self._greedy(scaled[rows], within), len(rows)
        heeded = {name for weights in self._weights.values() for name in weights}
        self.spec = self.spec.only([name for name in self.spec.members if name in heeded])  # the rest need not ship
        return self

    def _greedy(self, scaled: np.ndarray, asked: Asked) -> dict[str, float]:
        objective = self.spec.judge()
        taken, total = np.zeros(scaled.shape[1]), np.zeros(len(scaled))
        best_taken, best = taken, -np.inf
        for step in range(self.params.n_steps):
            found = [objective((total + column) / (step + 1), asked) for column in scaled.T]
            choice = int(np.argmax(found))
            taken, total = taken.copy(), total + scaled[:, choice]
            taken[choice] += 1
            if found[choice] > best:
                best_taken, best = taken, found[choice]
        pairs = zip(self.spec.members, best_taken / best_taken.sum(), strict=True)
        return {name: float(weight) for name, weight in pairs if weight > 0}

    def _per(self) -> tuple[str, ...]:
        if self.params.per is not None:
            return self.params.per
        return self.spec.parts if self.spec.level is None else (self.spec.level, *self.spec.parts)

    def _sample(self, members: np.ndarray, asked: Asked) -> tuple[np.ndarray, Asked]:
        """Mask of fewer groups and, where only ranks count, of the rows that could matter; and what they are asked."""
        offsets, n_groups = asked.offsets, len(asked.offsets) - 1
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
            kept &= (best_rank <= self.params.depth) | (asked.labels > 0)
        counts = np.bincount(rows[kept], minlength=n_groups)
        left = counts > 0
        levels = None if asked.levels is None else asked.levels[kept]
        starts = np.concatenate([[0], np.cumsum(counts[left])])
        return kept, Asked(asked.labels[kept], starts, asked.n_true[left], levels)

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        self._fitted()
        scaled = comparable(members, offsets, self.spec.unit)
        present, scores = np.isfinite(scaled), np.empty(len(scaled))
        for part, rows in parts_of(features, self.spec, self._per()).items():
            chosen = self._weights.get(part, self._weights[""])
            weights = np.array([chosen.get(name, 0.0) for name in self.spec.members])
            scores[rows] = _mean(scaled[rows], present[rows], weights)
        return scores

    def weights(self) -> dict[str, float]:
        self._fitted()
        if not self._sizes:
            return self._weights[""]
        whole = sum(self._sizes.values())
        means = {
            name: sum(self._weights[part].get(name, 0.0) * size for part, size in self._sizes.items()) / whole
            for name in self.spec.members
        }
        return {name: weight for name, weight in means.items() if weight > 0}

    @property
    def by_part(self) -> dict[str, dict[str, float]]:
        """Weights of each part."""
        return {part: weights for part, weights in self._weights.items() if part}

    def save(self, folder: Path) -> None:
        self._fitted()
        self.spec.save(folder)
        kept = {"params": self.params.model_dump(), "weights": self._weights, "sizes": self._sizes}
        write_json(folder / "blend.json", kept)

    @classmethod
    def load(cls, folder: Path) -> Self:
        kept = read_json(folder / "blend.json")
        ensemble = cls(PoolSpec.load(folder), BlendParams(**kept["params"]))
        ensemble._weights, ensemble._sizes = kept["weights"], kept["sizes"]
        return ensemble

    def _fitted(self) -> None:
        if not self._weights:
            raise NotFitted("blend: expected a fitted ensemble; call fit() or load() first")


def _mean(scaled: np.ndarray, present: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of those who say something; the plain mean where no weighted member does."""
    weighted = present * weights
    heeded = np.where((weighted.sum(axis=1) > 0)[:, None], weighted, present)
    return (np.where(present, scaled, 0) * heeded).sum(axis=1) / np.maximum(heeded.sum(axis=1), 1e-12)


def _filled(scaled: np.ndarray) -> np.ndarray:
    """Where a member says nothing, the mean of those that do: it can neither win nor lose there."""
    missing = np.isnan(scaled)
    if not missing.any():
        return scaled
    counts = np.maximum((~missing).sum(axis=1), 1)
    means = np.where(missing, 0, scaled).sum(axis=1) / counts
    return np.where(missing, means[:, None], scaled)


ENSEMBLE = Blend
