"""Median of the members: the baseline that needs no tuning and that one wild member cannot spoil."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from components.core.ensembles import PoolSpec, comparable
from components.core.params import Params


class MedianParams(Params):
    """Nothing to choose."""


class Median:
    """Median of what the members say, on one scale; learns nothing."""

    params_class: ClassVar[type[Params]] = MedianParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        self.spec = spec.only(spec.members)

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Median:
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
