"""Fusion by a learned meta-model: LightGBM over members' out-of-fold scores and features.

Features that contribute next to nothing on rows the first fit did not see are dropped before the
final fit; `dropped` says which, and how little each contributed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json, write_text
from components.core.boosting import BoostingParams, Count, Leaves, Part, settings
from components.core.ensembles import PoolSpec, comparable, labels, pool_arrays
from components.core.errors import NotFitted
from components.core.params import Params


class StackParams(BoostingParams):
    n_trees: Count = 250
    n_leaves: Leaves = 31
    learning_rate: Part = 0.06
    min_rows_per_leaf: Count = 50
    feature_fraction: Part = 0.6
    row_fraction: Part = 0.8
    l2: float = Field(5.0, ge=0)
    negatives_per_group: int | None = Field(
        80, description="Rank units: rows without truth kept per group; null = all."
    )
    min_contribution: float = Field(0.002, ge=0, description="Features below this share of |SHAP| are dropped.")
    probe_rows: int = Field(20_000, ge=100, description="Held-out rows on which contributions are measured.")


class Stack:
    """Gradient-boosted trees with the application's objectives; several boosters are averaged."""

    params_class: ClassVar[type[Params]] = StackParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        self.spec = spec
        self.params = StackParams.model_validate((params or StackParams()).model_dump())
        self.dropped: dict[str, float] = {}
        self._names: list[str] = []
        self._scales: list[float] = []
        self._boosters: list[Any] = []
        self._importance: dict[str, float] = {}

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        members, features, offsets = pool_arrays(pool, self.spec)
        target, names = labels(pool, truth, self.spec.keys), self._input_names()
        rows, sampled = self._sample(target, offsets)
        inputs, target, offsets = self._inputs(members, features, offsets, rows), target[rows], sampled
        kept = self._contributing(inputs, target, offsets, names)
        self._names = [names[column] for column in kept]
        self._boosters = [self._boost(inputs[:, kept], target, offsets, each) for each in self._objectives()]
        raw = [booster.predict(inputs[:, kept], raw_score=True) for booster in self._boosters]
        self.spec = self._narrowed()
        self._scales = [1 / max(float(np.std(scores)), 1e-9) for scores in raw]
        gains = np.sum([_shares(booster.feature_importance("gain")) for booster in self._boosters], axis=0)
        self._importance = {name: float(gain) for name, gain in zip(self._names, _shares(gains), strict=True)}
        return self

    def _narrowed(self) -> PoolSpec:
        """Only members and features that the trees read need be shipped and asked."""
        members = [name for name in self.spec.members if {name, f"{name} rank"} & set(self._names)]
        features = [name for name in self.spec.features if name in self._names]
        return replace(self.spec, members=tuple(members), features=tuple(features))

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        if not self._boosters:
            raise NotFitted("stack: expected a fitted ensemble; call fit() or load() first")
        position = {name: column for column, name in enumerate(self._input_names())}
        chosen = [position[name] for name in self._names]
        inputs = self._inputs(members, features, offsets)[:, chosen]
        threads = 0 if len(inputs) > 10_000 else 1  # waking threads costs more than one request's rows
        raw = [booster.predict(inputs, raw_score=True, num_threads=threads) for booster in self._boosters]
        return np.sum([scores * scale for scores, scale in zip(raw, self._scales, strict=True)], axis=0) / len(raw)

    def weights(self) -> dict[str, float]:
        return dict(sorted(self._importance.items(), key=lambda pair: -pair[1]))

    def save(self, folder: Path) -> None:
        if not self._boosters:
            raise NotFitted("stack: expected a fitted ensemble; call fit() or load() first")
        self.spec.save(folder)
        for number, booster in enumerate(self._boosters):
            write_text(folder / f"booster_{number}.txt", booster.model_to_string())
        kept = {"params": self.params.model_dump(), "names": self._names, "scales": self._scales}
        write_json(folder / "stack.json", kept | {"importance": self._importance, "dropped": self.dropped})

    @classmethod
    def load(cls, folder: Path) -> Self:
        import lightgbm

        kept = read_json(folder / "stack.json")
        ensemble = cls(PoolSpec.load(folder), StackParams(**kept["params"]))
        ensemble._names, ensemble._scales = kept["names"], kept["scales"]
        ensemble._importance, ensemble.dropped = kept["importance"], kept["dropped"]
        files = [folder / f"booster_{number}.txt" for number in range(len(ensemble._scales))]
        ensemble._boosters = [lightgbm.Booster(model_file=str(file)) for file in files]
        return ensemble

    def _objectives(self) -> list[dict[str, Any]]:
        return list(self.spec.stack["objectives"])

    def _input_names(self) -> list[str]:
        ranked = [f"{name} rank" for name in self.spec.members] if self.spec.unit == "rank" else []
        return [*self.spec.members, *ranked, *self.spec.features]

    def _inputs(
        self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray, rows: np.ndarray | slice = slice(None)
    ) -> np.ndarray:
        """Raw scores, their within-group ranks where only ranks mean anything, and features, of some rows."""
        ranked = [comparable(members, offsets, "rank")[rows]] if self.spec.unit == "rank" else []
        return np.column_stack([members[rows], *ranked, features[rows]]).astype(np.float32)

    def _sample(self, target: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and their offsets: all positives, at most `negatives_per_group` others; groups without truth go."""
        n_groups = len(offsets) - 1
        rows = np.repeat(np.arange(n_groups), np.diff(offsets))
        kept = np.ones(len(rows), bool)
        positives = np.bincount(rows, target > 0, n_groups)
        if self.spec.unit == "rank" and positives.any():
            kept = positives[rows] > 0
            if self.params.negatives_per_group is not None:
                lottery = np.random.default_rng(self.params.seed).random(len(rows))
                lottery[target > 0] = -1
                order = np.lexsort((lottery, rows))
                place = np.empty(len(rows))
                place[order] = np.arange(len(rows)) - offsets[rows]
                kept &= place < positives[rows] + self.params.negatives_per_group
        counts = np.bincount(rows[kept], minlength=n_groups)
        return np.flatnonzero(kept), np.concatenate([[0], np.cumsum(counts[counts > 0])])

    def _contributing(
        self, inputs: np.ndarray, target: np.ndarray, offsets: np.ndarray, names: list[str]
    ) -> np.ndarray:
        """Columns whose mean |SHAP| on held-out groups (Lundberg and Lee 2017) is worth keeping."""
        half = offsets[max(1, (len(offsets) - 1) // 2)]
        if self.params.min_contribution == 0 or half == len(inputs):
            return np.arange(len(names))
        probe = inputs[half : half + self.params.probe_rows]
        objective = self._objectives()[0]
        booster = self._boost(inputs[:half], target[:half], offsets[offsets <= half], objective, n_trees=60)
        contributions = np.abs(booster.predict(probe, pred_contrib=True)[:, :-1]).mean(axis=0)
        shares = contributions / max(contributions.sum(), 1e-12)
        kept = shares >= self.params.min_contribution
        self.dropped = {names[column]: float(shares[column]) for column in np.flatnonzero(~kept)}
        return np.flatnonzero(kept) if kept.any() else np.arange(len(names))

    def _boost(
        self,
        inputs: np.ndarray,
        target: np.ndarray,
        offsets: np.ndarray,
        objective: dict[str, Any],
        n_trees: int | None = None,
    ) -> Any:
        import lightgbm

        chosen = settings(self.params, self.params.l2, force_row_wise=True, **objective)
        ranking = "rank" in objective["objective"]
        data = lightgbm.Dataset(inputs, target, group=np.diff(offsets) if ranking else None)
        return lightgbm.train(chosen, data, n_trees or self.params.n_trees)


def _shares(amounts: np.ndarray) -> np.ndarray:
    """Amounts as shares of their sum; equal shares where trees found nothing to split on."""
    total = amounts.sum()
    return amounts / total if total > 0 else np.full(len(amounts), 1 / max(len(amounts), 1))


ENSEMBLE = Stack
