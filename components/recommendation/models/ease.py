"""EASE on time-decayed counts: a linear autoencoder in closed form (Steck, WWW 2019).

With X (customers x items), P = (X'X + lambda I)^-1 and B = I - P diag(1 / diag P), which has a zero
diagonal. Where customers are fewer than items, the push-through identity gives the same without any
items x items matrix: P = (I - X' K X) / lambda with K = (lambda I + XX')^-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field
from scipy import linalg, sparse

from components.core.artifacts import load_array, read_json, save_arrays, write_json
from components.core.errors import NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.memory import require_memory
from components.recommendation.features.histories import Histories
from components.recommendation.ranking import WholeCatalogue
from components.recommendation.sparse_arrays import load_sparse, save_sparse, transposed

ITEMS_AT_ONCE = 4096


class EaseParams(Params):
    half_life_days: float = Field(90.0, gt=0, description="A purchase counts half after so many days.")
    values: Literal["decayed", "sqrt", "log"] = Field("decayed", description="What becomes of the decayed counts.")
    scale: float = Field(0.0, ge=0, le=1, description="Rows are divided by their length to this power.")
    regularisation: float = Field(30.0, gt=0, description="lambda.")
    own: float = Field(0.3, ge=0, description="Weight of the own decayed count, as B's zero diagonal leaves it out.")


@dataclass(frozen=True, slots=True)
class Dual:
    """customers (rows, items), by_item its transpose, kernel K (rows, rows), rest = lambda diag(P)."""

    customers: sparse.csr_matrix
    by_item: sparse.csr_matrix
    kernel: np.ndarray
    rest: np.ndarray

    @classmethod
    def solve(cls, x: sparse.csr_matrix, regularisation: float) -> Self:
        gram = (x @ x.T).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += regularisation
        kernel = linalg.inv(gram, assume_a="pos", overwrite_a=True, check_finite=False).astype(np.float32)
        by_item = transposed(x)
        return cls(x, by_item, kernel, _one_minus_leverage(by_item, kernel))

    def times_b(self, x: sparse.csr_matrix, wanted: np.ndarray | None = None) -> np.ndarray:
        """xB = x - xP / diag(P), for all items or those `wanted`; dense (rows of x, items)."""
        pull = (x @ self.by_item).toarray() @ self.kernel  # (queries, customers)
        by_item, rest = (self.by_item, self.rest) if wanted is None else (self.by_item[wanted], self.rest[wanted])
        own = x.toarray() if wanted is None else x[:, wanted].toarray()
        answer: np.ndarray = own - (own - (by_item @ pull.T).T) / rest
        return answer

    def save(self, folder: Path) -> None:
        save_sparse(folder, "customers", self.customers)
        save_sparse(folder, "by_item", self.by_item)
        save_arrays(folder, {"kernel": self.kernel, "rest": self.rest})

    @classmethod
    def load(cls, folder: Path) -> Self:
        arrays = (load_array(folder, name) for name in ("kernel", "rest"))
        return cls(load_sparse(folder, "customers"), load_sparse(folder, "by_item"), *arrays)

    @property
    def n_items(self) -> int:
        return len(self.rest)


@dataclass(frozen=True, slots=True)
class Primal:
    """weights B (items, items)."""

    weights: np.ndarray

    @classmethod
    def solve(cls, x: sparse.csr_matrix, regularisation: float) -> Self:
        gram = (x.T @ x).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += regularisation
        inverse = linalg.inv(gram, assume_a="pos", overwrite_a=True, check_finite=False)
        inverse /= -np.diag(inverse).copy()
        np.fill_diagonal(inverse, 0.0)
        return cls(inverse.astype(np.float32))

    def times_b(self, x: sparse.csr_matrix, wanted: np.ndarray | None = None) -> np.ndarray:
        """xB, for all items or those `wanted`; dense (rows of x, items)."""
        answer: np.ndarray = x @ (self.weights if wanted is None else self.weights[:, wanted])
        return answer

    def save(self, folder: Path) -> None:
        save_arrays(folder, {"weights": self.weights})

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(load_array(folder, "weights"))

    @property
    def n_items(self) -> int:
        return len(self.weights)


class Ease(WholeCatalogue):
    """xB for a customer's decayed counts x, by the smaller of the two systems."""

    params_class: ClassVar[type[Params]] = EaseParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = EaseParams.model_validate((params or EaseParams()).model_dump())
        self._solution: Dual | Primal | None = None

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        self.n_items = int(train["item"].to_numpy().max(initial=0)) + 1
        n_customers = train["customer"].drop_nulls().n_unique()
        side = min(n_customers, self.n_items)
        working = 12 * min(ITEMS_AT_ONCE, self.n_items) * n_customers if n_customers < self.n_items else 0
        require_memory(f"ease, a system of {side:,} unknowns", 24 * side**2 + working + 60 * train.height)
        x = self._values(Histories.from_train(train)[0])
        form: type[Dual] | type[Primal] = Dual if n_customers < self.n_items else Primal
        self._solution = form.solve(x, self.params.regularisation)
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        solution, x = self._fitted(), self._values(histories)
        answer = solution.times_b(x)
        if self.params.own:
            answer += self.params.own * x.toarray()
        return _silent_without_history(answer, x)

    def scores_at(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        answer = np.full(len(items), np.nan, np.float32)
        for start, stop in self._chunks(len(histories)):
            chunk = slice(offsets[start], offsets[stop])
            answer[chunk] = self._at(
                histories.part(start, stop), offsets[start : stop + 1] - offsets[start], items[chunk]
            )
        return answer

    def _at(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Only the columns that some query of the chunk asks for."""
        solution, x = self._fitted(), self._values(histories)
        known = items < self.n_items
        wanted, places = np.unique(items[known], return_inverse=True)
        dense = solution.times_b(x, wanted)
        if self.params.own:
            dense += self.params.own * x[:, wanted].toarray()
        rows = np.repeat(np.arange(len(histories)), np.diff(offsets))[known]
        answer = np.full(len(items), np.nan, np.float32)
        answer[known] = _silent_without_history(dense, x)[rows, places]
        return answer

    def save(self, folder: Path) -> None:
        solution = self._fitted()
        solution.save(folder)
        form = "dual" if isinstance(solution, Dual) else "primal"
        write_json(folder / "params.json", {"form": form, "params": self.params.model_dump()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        saved = read_json(folder / "params.json")
        model = cls(EaseParams(**saved["params"]))
        model._solution = Dual.load(folder) if saved["form"] == "dual" else Primal.load(folder)
        model.n_items = model._solution.n_items
        return model

    def _values(self, histories: Histories) -> sparse.csr_matrix:
        x = histories.matrix(self.n_items, self.params.half_life_days)
        if self.params.values == "sqrt":
            x.data = np.sqrt(x.data)
        elif self.params.values == "log":
            x.data = np.log1p(x.data)
        if self.params.scale:
            lengths = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
            x.data /= np.repeat(np.maximum(lengths, 1e-9) ** self.params.scale, np.diff(x.indptr)).astype(np.float32)
        return x

    def _fitted(self) -> Dual | Primal:
        if self._solution is None:
            raise NotFitted("ease: expected a fitted model; call fit() or load() first")
        return self._solution


def _one_minus_leverage(by_item: sparse.csr_matrix, kernel: np.ndarray) -> np.ndarray:
    """1 - x_i' K x_i per item i, in pieces so that nothing of size items x customers exists."""
    rest = np.ones(by_item.shape[0], np.float32)
    for start in range(0, by_item.shape[0], ITEMS_AT_ONCE):
        piece = by_item[start : start + ITEMS_AT_ONCE]
        rest[start : start + ITEMS_AT_ONCE] -= np.asarray(piece.multiply(piece @ kernel).sum(axis=1)).ravel()
    return np.maximum(rest, 1e-6)


def _silent_without_history(answer: np.ndarray, x: sparse.csr_matrix) -> np.ndarray:
    answer[np.diff(x.indptr) == 0] = np.nan
    return answer


MODEL = Ease
