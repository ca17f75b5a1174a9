"""Reciprocal-rank fusion (Cormack, Clarke and Büttcher 2009): the baseline that needs no tuning."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json
from components.core.ensembles import PoolSpec
from components.core.errors import ModelError
from components.core.metrics import ranks_within
from components.core.params import Params


class RrfParams(Params):
    k: float = Field(60.0, gt=0, description="Damps the first ranks; 60 in the paper.")


class Rrf:
    """Sum over members of 1 / (k + rank); learns nothing."""

    params_class: ClassVar[type[Params]] = RrfParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        if spec.level is not None:
            raise ModelError("rrf fuses ranks, and this application's answers are quantiles; name median instead")
        self.spec = spec.only(spec.members)
        self.params = RrfParams.model_validate((params or RrfParams()).model_dump())

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        return self

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        total = np.zeros(len(members))
        for column in members.T:
            total += np.nan_to_num(1 / (self.params.k + ranks_within(column, offsets)))
        return total

    def weights(self) -> dict[str, float]:
        return {name: 1 / len(self.spec.members) for name in self.spec.members}

    def save(self, folder: Path) -> None:
        self.spec.save(folder)
        write_json(folder / "rrf.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(PoolSpec.load(folder), RrfParams(**read_json(folder / "rrf.json")))


ENSEMBLE = Rrf
