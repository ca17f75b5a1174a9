"""ALS: implicit matrix factorisation (Hu, Koren and Volinsky, ICDM 2008) by the library `implicit`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field
from scipy import sparse

from components.core.artifacts import load_array, read_json, save_arrays, write_json
from components.core.errors import NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.memory import require_memory
from components.recommendation.features.histories import Histories
from components.recommendation.ranking import WholeCatalogue


class AlsParams(Params):
    factors: int = Field(64, ge=1)
    regularisation: float = Field(3.0, gt=0)
    alpha: float = Field(1.0, gt=0, description="Confidence in an item is alpha times its decayed count.")
    half_life_days: float = Field(120.0, gt=0, description="A purchase counts half after so many days.")
    iterations: int = Field(10, ge=1)
    threads: int = Field(1, ge=0, description="0: all cores. Each row is solved by itself, so the answer is the same.")
    seed: int = Field(0, ge=0)


class Als(WholeCatalogue):
    """Inner product of an item's factors with those of the query, solved anew from its history."""

    params_class: ClassVar[type[Params]] = AlsParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = AlsParams.model_validate((params or AlsParams()).model_dump())
        self._factors: np.ndarray | None = None  # (items, factors)
        self._gram: np.ndarray | None = None  # Y'Y + lambda I

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        self.n_items = int(train["item"].to_numpy().max(initial=0)) + 1
        settings = self.params
        require_memory("als", 60 * train.height + 16 * settings.factors * (self.n_items + train["customer"].n_unique()))
        learner = AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularisation,
            alpha=settings.alpha,
            iterations=settings.iterations,
            num_threads=settings.threads,
            random_state=settings.seed,
        )
        x = Histories.from_train(train)[0].matrix(self.n_items, settings.half_life_days)
        with threadpool_limits(1, "blas"):  # its own threads and those of BLAS would fight for the cores
            learner.fit(x, show_progress=False)
        self._factors = np.asarray(learner.item_factors, np.float32)
        self._gram = self._factors.T @ self._factors
        self._gram[np.diag_indices(settings.factors)] += settings.regularisation
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        answer: np.ndarray = self.fold_in(histories) @ self._fitted()[0].T
        return answer

    def scores_at(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        factors, users = self._fitted()[0], self.fold_in(histories)
        answer = np.full(len(items), np.nan, np.float32)
        for row in range(len(histories)):
            wanted = items[offsets[row] : offsets[row + 1]]
            known = wanted < self.n_items
            answer[offsets[row] : offsets[row + 1]][known] = factors[wanted[known]] @ users[row]
        return answer

    def fold_in(self, histories: Histories) -> np.ndarray:
        """The queries' factors, (n_queries, factors): the exact step of ALS, NaN where there is no history.

        Solves (Y'Y + sum (c - 1) y y' + lambda I) u = sum c y over the history's items, with confidence c.
        """
        factors, gram = self._fitted()
        confidence = histories.matrix(self.n_items, self.params.half_life_days) * self.params.alpha
        users = np.full((len(histories), factors.shape[1]), np.nan, np.float32)
        for row in np.flatnonzero(np.diff(confidence.indptr)).tolist():
            users[row] = _solve(confidence, row, factors, gram)
        return users

    def save(self, folder: Path) -> None:
        factors, gram = self._fitted()
        save_arrays(folder, {"factors": factors, "gram": gram})
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(AlsParams(**read_json(folder / "params.json")))
        model._factors, model._gram = load_array(folder, "factors"), load_array(folder, "gram")
        model.n_items = len(model._factors)
        return model

    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        if self._factors is None or self._gram is None:
            raise NotFitted("als: expected a fitted model; call fit() or load() first")
        return self._factors, self._gram


def _solve(confidence: sparse.csr_matrix, row: int, factors: np.ndarray, gram: np.ndarray) -> np.ndarray:
    history = slice(confidence.indptr[row], confidence.indptr[row + 1])
    items, weights = confidence.indices[history], confidence.data[history]
    liked = factors[items]
    left = gram + (liked.T * (weights - 1)) @ liked
    answer: np.ndarray = np.linalg.solve(left.astype(np.float64), liked.T @ weights)
    return answer


MODEL = Als
