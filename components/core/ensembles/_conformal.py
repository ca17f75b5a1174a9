"""Quantiles that cover what they claim: conformal shifts learned on rows that the ensemble had not seen.

The ensemble fitted on the older rows answers the latest ones. Within each part (a level, a class of series) the
shift is that quantile of (label - answer) / scale which makes the share of labels below the answer equal to
the level (split conformal prediction: Vovk et al. 2005; per level as in Romano et al. 2019). Only the latest
rows speak: members fitted on a short history err more than those that will be asked. The median is left alone:
it is the forecast, not a bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from components.core.artifacts import read_json, write_json
from components.core.ensembles import Ensemble, PoolSpec, ensemble_class, labels, parts_of, pool_arrays, predict
from components.core.params import Params

FILE = "conformal.json"
LATEST = 1 / 3  # share of the groups on which shifts are learned


class Conformal:
    """An ensemble, and by how much each part's quantiles are shifted."""

    params_class: ClassVar[type[Params]] = Params

    def __init__(self, inner: Ensemble, spec: PoolSpec, params: Params) -> None:
        self._inner, self._asked, self._params = inner, spec, params
        self._shifts: dict[str, float] = {}

    @property
    def spec(self) -> PoolSpec:
        return self._inner.spec

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        """Groups are numbered oldest first, as the ensemble stage does."""
        groups = pool[self._asked.keys[0]]
        edge = float(np.quantile(groups.unique().to_numpy(), 1 - LATEST))
        older, latest = pool.filter(groups <= edge), pool.filter(groups > edge)
        if len(older) and len(latest):
            answered = predict(self._new().fit(older, truth), latest)
            self._shifts = self._learn(latest.with_columns(answer=answered["score"]), truth)
        self._inner = self._new().fit(pool, truth)
        return self

    def _new(self) -> Ensemble:
        chosen: type[Any] = type(self._inner)
        made: Ensemble = chosen(self._asked, self._params)
        return made

    def _learn(self, answered: pl.DataFrame, truth: pl.DataFrame) -> dict[str, float]:
        spec = self._asked
        _, features, _ = pool_arrays(answered, spec)
        missed = labels(answered, truth, spec.keys) - answered["answer"].to_numpy()
        missed = missed / self._scale(features, spec)
        assert spec.level is not None  # noqa: S101 - only quantiles are wrapped
        levels = spec.column(features, spec.level)
        rows_of = parts_of(features, spec, (spec.level, *spec.parts))
        return {
            part: float(np.quantile(missed[rows], levels[rows[0]]))
            for part, rows in rows_of.items()
            if abs(levels[rows[0]] - 0.5) > 1e-6
        }

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        scores, spec = self._inner.combine(members, features, offsets), self.spec
        scale = self._scale(features, spec)
        assert spec.level is not None  # noqa: S101 - only quantiles are wrapped
        for part, rows in parts_of(features, spec, (spec.level, *spec.parts)).items():
            scores[rows] = scores[rows] + self._shifts.get(part, 0.0) * scale[rows]
        return scores

    @staticmethod
    def _scale(features: np.ndarray, spec: PoolSpec) -> np.ndarray:
        return np.ones(len(features)) if spec.scale is None else spec.column(features, spec.scale).astype(np.float64)

    def weights(self) -> dict[str, float]:
        return self._inner.weights()

    @property
    def by_part(self) -> dict[str, dict[str, float]]:
        """What each member counts for within each part, where that differs."""
        found: dict[str, dict[str, float]] = getattr(self._inner, "by_part", {})
        return found

    @property
    def dropped(self) -> dict[str, float]:
        """Inputs that the ensemble did not use."""
        found: dict[str, float] = getattr(self._inner, "dropped", {})
        return found

    def save(self, folder: Path) -> None:
        self._inner.save(folder)
        name = type(self._inner).__module__.rpartition(".")[2]
        write_json(folder / FILE, {"inner": name, "shifts": self._shifts})

    @classmethod
    def load(cls, folder: Path) -> Self:
        kept = read_json(folder / FILE)
        inner: Ensemble = ensemble_class(kept["inner"]).load(folder)
        found = cls(inner, inner.spec, Params())
        found._shifts = kept["shifts"]
        return found
