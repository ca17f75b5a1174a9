"""Median of the members that are worth asking: the plainest combination.

Members are judged first, on out-of-fold rows: one whose loss is far above the best one's is left out, since
many weak members outvote a strong one.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from components.core.ensembles import PoolSpec, asked_of, comparable, pool_arrays
from components.core.params import Params


class MedianParams(Params):
    worst: float = Field(
        1.15, ge=1, description="Members with more than so many times the best one's loss are left out."
    )


class Median:
    """Median of what the good members say, on one scale."""

    params_class: ClassVar[type[Params]] = MedianParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        self.spec = spec.only(spec.members)
        self.params = MedianParams.model_validate((params or MedianParams()).model_dump())

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Median:
        members, features, _ = pool_arrays(pool, self.spec)
        asked, objective = asked_of(pool, truth, self.spec, features), self.spec.judge()
        found = np.array([objective(column, asked) for column in members.T])  # losses are below 0, gains above
        best = found.max()
        good = found >= (best * self.params.worst if best < 0 else best / self.params.worst)
        self.spec = self.spec.only([name for name, kept in zip(self.spec.members, good, strict=True) if kept])
        return self

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a row that no member scores has no median
            return np.nan_to_num(np.nanmedian(comparable(members, offsets, self.spec.unit), axis=1))

    def weights(self) -> dict[str, float]:
        return {name: 1 / len(self.spec.members) for name in self.spec.members}

    def save(self, folder: Path) -> None:
        self.spec.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Median:
        return cls(PoolSpec.load(folder))


ENSEMBLE = Median
