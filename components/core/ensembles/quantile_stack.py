"""Fusion of quantiles by a learned meta-model: LightGBM corrects a blend of the members, level by level.

One booster per level starts from the level's blend and learns, from the members' disagreement with it
and the pool's features, what is left (pinball loss; Koenker and Bassett 1978). Everything is divided by
the group's scale, and rows weigh by it, so that the loss is that of units.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json, write_text
from components.core.boosting import BoostingParams, Count, Leaves, Part, settings
from components.core.ensembles import PoolSpec, asked_of, pool_arrays
from components.core.ensembles.blend import Blend, BlendParams
from components.core.errors import ModelError, NotFitted
from components.core.params import Params


class QuantileStackParams(BoostingParams):
    n_trees: Count = 150
    n_leaves: Leaves = 8
    learning_rate: Part = 0.05
    min_rows_per_leaf: Count = 100
    feature_fraction: Part = 0.5
    row_fraction: Part = 0.8
    l2: float = Field(5.0, ge=0)


class QuantileStack:
    """A blend of the members, corrected by gradient-boosted trees of each level."""

    params_class: ClassVar[type[Params]] = QuantileStackParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        if spec.level is None or spec.scale is None:
            raise ModelError("quantile_stack combines quantiles, and this application has none; name stack instead")
        self.spec = spec
        self.params = QuantileStackParams.model_validate((params or QuantileStackParams()).model_dump())
        self._start = Blend(spec, BlendParams(per=(spec.level,), seed=self.params.seed))
        self._boosters: dict[float, Any] = {}
        self._importance: dict[str, float] = {}

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        members, features, _ = pool_arrays(pool, self.spec)
        asked = asked_of(pool, truth, self.spec, features)
        assert asked.levels is not None  # noqa: S101 - the constructor refuses pools without levels
        self._start.fit(pool, truth)
        inputs, start, scale = self._inputs(members, features)
        self._boosters = {}
        for level in np.unique(asked.levels):
            rows = asked.levels == level
            target = asked.labels[rows] / scale[rows]
            self._boosters[float(level)] = self._boost(inputs[rows], target, start[rows], scale[rows], float(level))
        gains = np.sum([booster.feature_importance("gain") for booster in self._boosters.values()], axis=0)
        shares = gains / gains.sum() if gains.sum() > 0 else np.full(len(gains), 1 / len(gains))
        self._importance = dict(zip(self._names(), map(float, shares), strict=True))
        return self

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        if not self._boosters:
            raise NotFitted("quantile_stack: expected a fitted ensemble; call fit() or load() first")
        inputs, start, scale = self._inputs(members, features)
        levels = self._levels(features)
        threads = 0 if len(inputs) > 10_000 else 1  # waking threads costs more than one request's rows
        for level, booster in self._boosters.items():
            rows = np.isclose(levels, level)
            if rows.any():
                start[rows] += booster.predict(inputs[rows], num_threads=threads)
        return start * scale

    def weights(self) -> dict[str, float]:
        return dict(sorted(self._importance.items(), key=lambda pair: -pair[1]))

    def save(self, folder: Path) -> None:
        if not self._boosters:
            raise NotFitted("quantile_stack: expected a fitted ensemble; call fit() or load() first")
        self.spec.save(folder)
        (folder / "start").mkdir(exist_ok=True)
        self._start.save(folder / "start")
        for number, booster in enumerate(self._boosters.values()):
            write_text(folder / f"booster_{number}.txt", booster.model_to_string())
        kept = {"params": self.params.model_dump(), "levels": list(self._boosters), "importance": self._importance}
        write_json(folder / "quantile_stack.json", kept)

    @classmethod
    def load(cls, folder: Path) -> Self:
        import lightgbm

        kept = read_json(folder / "quantile_stack.json")
        ensemble = cls(PoolSpec.load(folder), QuantileStackParams(**kept["params"]))
        ensemble._importance = kept["importance"]
        ensemble._start = Blend.load(folder / "start")
        for number, level in enumerate(kept["levels"]):
            ensemble._boosters[level] = lightgbm.Booster(model_file=str(folder / f"booster_{number}.txt"))
        return ensemble

    def _names(self) -> list[str]:
        return [*self.spec.members, *[f"{name} against the blend" for name in self.spec.members], *self.spec.features]

    def _levels(self, features: np.ndarray) -> np.ndarray:
        assert self.spec.level is not None  # noqa: S101 - the constructor refuses pools without levels
        return self.spec.column(features, self.spec.level).astype(np.float64)

    def _inputs(self, members: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs of the trees, what they start from, and the scale: (n, n_inputs), (n,), (n,)."""
        assert self.spec.scale is not None  # noqa: S101 - the constructor refuses pools without a scale
        scale = self.spec.column(features, self.spec.scale).astype(np.float64)
        scaled, known = members / scale[:, None], self._start.spec
        chosen = members[:, [self.spec.members.index(name) for name in known.members]]
        needed = features[:, [self.spec.features.index(name) for name in known.features]]
        start = self._start.combine(chosen, needed, np.array([0, len(members)])) / scale
        return np.column_stack([scaled, scaled - start[:, None], features]).astype(np.float32), start, scale

    def _boost(
        self, inputs: np.ndarray, target: np.ndarray, start: np.ndarray, weight: np.ndarray, level: float
    ) -> Any:
        import lightgbm

        loss = {"objective": "quantile", "alpha": level, "boost_from_average": False}
        chosen = settings(self.params, self.params.l2, force_row_wise=True, **loss)
        data = lightgbm.Dataset(inputs, target, weight=weight / weight.mean(), init_score=start)
        return lightgbm.train(chosen, data, self.params.n_trees)


ENSEMBLE = QuantileStack
