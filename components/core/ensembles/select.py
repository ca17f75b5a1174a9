"""Selection: the single model that was best on out-of-fold rows; of all rows, or of each part of them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json
from components.core.ensembles import PoolSpec, asked_of, parts_of, pool_arrays
from components.core.errors import NotFitted
from components.core.metrics import Asked
from components.core.params import Params


class SelectParams(Params):
    per: tuple[str, ...] = Field((), description="Feature columns within whose values to choose apart.")


class Select:
    """Passes through one member's scores."""

    params_class: ClassVar[type[Params]] = SelectParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        self.spec = spec.only(spec.members)
        self.params = SelectParams.model_validate((params or SelectParams()).model_dump())
        self._chosen: dict[str, str] = {}  # part -> member; "" for parts never seen
        self._shares: dict[str, float] = {}

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        members, features, _ = pool_arrays(pool, self.spec)
        asked, objective = asked_of(pool, truth, self.spec, features), self.spec.judge()

        def best(rows: np.ndarray | None) -> str:
            of = (
                asked
                if rows is None
                else Asked(asked.labels[rows], np.array([0, len(rows)]), np.ones(1), _at(asked, rows))
            )
            found = [objective(column if rows is None else column[rows], of) for column in members.T]
            return self.spec.members[int(np.argmax(found))]

        self._chosen = {"": best(None)}
        parts = parts_of(features, self.spec, self.params.per)
        if self.params.per:
            self._chosen |= {part: best(rows) for part, rows in parts.items()}
        for part, rows in parts.items():
            self._shares[self._chosen[part]] = self._shares.get(self._chosen[part], 0.0) + len(rows) / len(members)
        self.spec = self.spec.only([name for name in self.spec.members if name in self._chosen.values()])
        return self

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        self._fitted()
        scores = np.empty(len(members))
        for part, rows in parts_of(features, self.spec, self.params.per).items():
            chosen = self._chosen.get(part, self._chosen[""])
            scores[rows] = members[rows, self.spec.members.index(chosen)]
        if self.spec.unit == "score":
            return np.where(np.isfinite(scores), scores, np.nan_to_num(np.nanmean(members, axis=1)))
        lowest = np.min(scores, where=np.isfinite(scores), initial=0.0)
        return np.where(np.isfinite(scores), scores, lowest - 1)  # what it cannot score comes last

    def weights(self) -> dict[str, float]:
        self._fitted()
        return dict(sorted(self._shares.items(), key=lambda pair: -pair[1]))

    @property
    def by_part(self) -> dict[str, dict[str, float]]:
        """What was chosen for each part."""
        return {part: {name: 1.0} for part, name in self._chosen.items() if part}

    def save(self, folder: Path) -> None:
        self._fitted()
        self.spec.save(folder)
        kept = {"params": self.params.model_dump(), "chosen": self._chosen, "shares": self._shares}
        write_json(folder / "select.json", kept)

    @classmethod
    def load(cls, folder: Path) -> Self:
        kept = read_json(folder / "select.json")
        ensemble = cls(PoolSpec.load(folder), SelectParams(**kept["params"]))
        ensemble._chosen, ensemble._shares = kept["chosen"], kept["shares"]
        return ensemble

    def _fitted(self) -> None:
        if not self._chosen:
            raise NotFitted("select: expected a fitted ensemble; call fit() or load() first")


def _at(asked: Asked, rows: np.ndarray) -> np.ndarray | None:
    return None if asked.levels is None else asked.levels[rows]


ENSEMBLE = Select
