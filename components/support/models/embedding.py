"""Sentence embeddings under a multinomial logistic regression: what a message means, in any language it was read in."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import load_array, read_json, save_arrays, write_json
from components.core.params import Params
from components.support.classifier import Classifier, both, embeddings
from components.support.encoders import USEM3
from components.support.logistic import Logistic, fit_logistic


class EmbeddingParams(Params):
    encoders: tuple[str, ...] = Field((USEM3,), min_length=1, description="Read side by side.")
    strength: float = Field(30.0, gt=0, description="More follows the examples closer: scikit-learn's C.")
    balanced: float = Field(0.0, ge=0, le=1, description="1: every intent weighs as much, however many examples.")
    iterations: int = Field(200, ge=1)


class Embedding(Classifier):
    """One direction per intent in the space of the encoders."""

    params_class: ClassVar[type[Params]] = EmbeddingParams

    def __init__(self, params: Params | None = None) -> None:
        self.params = EmbeddingParams.model_validate((params or EmbeddingParams()).model_dump())
        self._logistic: Logistic | None = None

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        chosen, examples = self.params, both(train, valid)
        read, labels = embeddings(examples, chosen.encoders), self._learn_codes(examples)
        self._logistic = fit_logistic(
            read, labels, len(self.codes), chosen.strength, chosen.iterations, chosen.balanced
        )
        return self

    def scores(self, queries: pl.DataFrame) -> np.ndarray:
        if self._logistic is None:
            raise self._not_fitted()
        return self._logistic.scores(embeddings(queries, self.params.encoders))

    def save(self, folder: Path) -> None:
        if self._logistic is None:
            raise self._not_fitted()
        arrays = {"weights": self._logistic.weights, "bias": self._logistic.bias}
        save_arrays(folder, {"codes": self.codes, **arrays})
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(EmbeddingParams(**read_json(folder / "params.json")))
        model._logistic = Logistic(load_array(folder, "weights"), load_array(folder, "bias"))
        model.codes = np.array(load_array(folder, "codes"))
        return model


MODEL = Embedding
