"""Popularity: what everybody buys lately; the floor that every other model must beat."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import load_array, read_json, save_arrays, write_json
from components.core.errors import NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.recommendation.features.histories import Histories
from components.recommendation.ranking import WholeCatalogue


class PopularityParams(Params):
    half_life_days: float = Field(28.0, gt=0, description="A purchase counts half after so many days.")


class Popularity(WholeCatalogue):
    """Time-decayed count of buyers per item; the same answer for everybody."""

    params_class: ClassVar[type[Params]] = PopularityParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = PopularityParams.model_validate((params or PopularityParams()).model_dump())
        self._counts: np.ndarray | None = None

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        decayed = train["weight"].to_numpy() * np.exp2(-train["days_ago"].to_numpy() / self.params.half_life_days)
        self._counts = np.bincount(train["item"].to_numpy(), weights=decayed).astype(np.float32)
        self.n_items = len(self._counts)
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        return np.tile(self._fitted(), (len(histories), 1))

    def save(self, folder: Path) -> None:
        save_arrays(folder, {"counts": self._fitted()})
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(PopularityParams(**read_json(folder / "params.json")))
        model._counts = load_array(folder, "counts")
        model.n_items = len(model._counts)
        return model

    def _fitted(self) -> np.ndarray:
        if self._counts is None:
            raise NotFitted("popularity: expected a fitted model; call fit() or load() first")
        return self._counts


MODEL = Popularity
