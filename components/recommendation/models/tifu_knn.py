"""TIFU-KNN: temporal frequency vectors and those of similar customers (Hu et al., SIGIR 2020)."""

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
from components.recommendation.sparse_arrays import load_sparse, save_sparse, transposed


class TifuKnnParams(Params):
    within_decay: float = Field(0.9, gt=0, le=1, description="r_b: from basket to basket within a group.")
    group_decay: float = Field(0.7, gt=0, le=1, description="r_g: from group to group.")
    groups: int = Field(7, ge=1, description="m: groups into which a customer's baskets are cut.")
    neighbours: int = Field(300, ge=1, description="k: nearest customers, by Euclidean distance.")
    alpha: float = Field(0.7, ge=0, le=1, description="Weight of the own vector; the rest is the neighbours' mean.")


class TifuKnn(WholeCatalogue):
    """alpha * own vector + (1 - alpha) * mean vector of the k nearest training customers (equation 5)."""

    params_class: ClassVar[type[Params]] = TifuKnnParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = TifuKnnParams.model_validate((params or TifuKnnParams()).model_dump())
        self._vectors: sparse.csr_matrix | None = None  # (customers, items)
        self._by_item: sparse.csr_matrix | None = None  # its transpose, in rows
        self._squares: np.ndarray | None = None

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        require_memory("tifu_knn", 40 * train.height)
        histories, _ = Histories.from_train(train)
        self.n_items = int(train["item"].to_numpy().max(initial=0)) + 1
        self._vectors = self._vectorise(histories)
        self._by_item = transposed(self._vectors)
        self._squares = _squares(self._vectors)
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        vectors, _, _ = self._fitted()
        own = self._vectorise(histories)
        answer: np.ndarray = (
            self.params.alpha * own + (1 - self.params.alpha) * self._nearest(own) @ vectors
        ).toarray()
        answer[np.diff(own.indptr) == 0] = np.nan  # without history, everybody is equally near
        return answer

    def scores_at(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        """By the items' buyers: far fewer than all that the neighbours bought, summed in the same order."""
        answer = np.full(len(items), np.nan, np.float32)
        for start, stop in self._chunks(len(histories)):
            own = self._vectorise(histories.part(start, stop))
            nearest = (1 - self.params.alpha) * self._nearest(own)
            for row in np.flatnonzero(np.diff(own.indptr)).tolist():
                wanted = np.arange(offsets[start + row], offsets[start + row + 1])
                wanted = wanted[items[wanted] < self.n_items]
                answer[wanted] = self._row_at(own[row], nearest[row], items[wanted])
        return answer

    def _row_at(self, own: sparse.csr_matrix, nearest: sparse.csr_matrix, items: np.ndarray) -> np.ndarray:
        """Equation 5 for one customer and chosen items."""
        _, by_item, _ = self._fitted()
        found: np.ndarray = self.params.alpha * own.toarray()[0, items] + by_item[items] @ nearest.toarray()[0]
        return found

    def save(self, folder: Path) -> None:
        vectors, by_item, squares = self._fitted()
        save_sparse(folder, "vectors", vectors)
        save_sparse(folder, "by_item", by_item)
        save_arrays(folder, {"squares": squares})
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(TifuKnnParams(**read_json(folder / "params.json")))
        model._vectors, model._by_item = load_sparse(folder, "vectors"), load_sparse(folder, "by_item")
        model._squares = load_array(folder, "squares")
        model.n_items = model._vectors.shape[1]
        return model

    def _vectorise(self, histories: Histories) -> sparse.csr_matrix:
        """Equations 1 to 4: baskets decay within their group, groups decay over the history."""
        weights = basket_weights(histories, self.params) * histories.weights
        known = histories.items < self.n_items
        entries = (weights[known].astype(np.float32), (histories.rows()[known], histories.items[known]))
        return sparse.coo_matrix(entries, shape=(len(histories), self.n_items)).tocsr()

    def _nearest(self, own: sparse.csr_matrix) -> sparse.csr_matrix:
        """(queries, customers): 1/k at the k nearest customers."""
        vectors, by_item, squares = self._fitted()
        k = min(self.params.neighbours, vectors.shape[0])
        if k == 0:  # only anonymous baskets to learn from: nobody to resemble
            return sparse.csr_matrix((own.shape[0], 0), dtype=np.float32)
        distances = squares - 2 * (own @ by_item).toarray()  # the query's own square changes no order
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        entries = np.full(nearest.size, 1 / k, np.float32)
        indptr = np.arange(0, nearest.size + 1, k)
        return sparse.csr_matrix((entries, np.sort(nearest, axis=1).ravel(), indptr), shape=distances.shape)

    def _fitted(self) -> tuple[sparse.csr_matrix, sparse.csr_matrix, np.ndarray]:
        if self._vectors is None or self._by_item is None or self._squares is None:
            raise NotFitted("tifu_knn: expected a fitted model; call fit() or load() first")
        return self._vectors, self._by_item, self._squares


def basket_weights(histories: Histories, params: TifuKnnParams) -> np.ndarray:
    """Weight of each event's basket, (n_events,) float64.

    A customer's n baskets are cut into min(m, n) consecutive groups; where n is no multiple of m,
    the later groups take one basket more, as in the authors' code. With t baskets in a group and g
    groups, basket j of group i (both from 1) weighs r_b^(t-j) / t * r_g^(g-i) / g.
    """
    n_baskets = _per_query(histories)
    groups = np.minimum(n_baskets, params.groups)
    size, larger = np.divmod(n_baskets, np.maximum(groups, 1))
    rows = histories.rows()
    size, smaller, groups = size[rows], (groups - larger)[rows], groups[rows]
    late = histories.baskets - smaller * size  # position after the groups of `size` baskets; negative within them
    group = np.where(late < 0, histories.baskets // size, smaller + late // (size + 1))
    position = np.where(late < 0, histories.baskets % size, late % (size + 1))
    length = np.where(late < 0, size, size + 1)
    within = params.within_decay ** (length - 1 - position) / length
    weights: np.ndarray = within * params.group_decay ** (groups - 1 - group) / groups
    return weights


def _per_query(histories: Histories) -> np.ndarray:
    counts = np.zeros(len(histories), np.int64)
    np.maximum.at(counts, histories.rows(), histories.baskets + 1)
    return counts


def _squares(matrix: sparse.csr_matrix) -> np.ndarray:
    squares: np.ndarray = np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float32).ravel()
    return squares


MODEL = TifuKnn
