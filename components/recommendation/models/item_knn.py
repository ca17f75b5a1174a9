"""Item-KNN: what is bought together, by cosine with shrinkage (Deshpande and Karypis, TOIS 2004)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field
from scipy import sparse

from components.core.artifacts import read_json, write_json
from components.core.errors import NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.memory import require_memory
from components.recommendation.features.histories import Histories
from components.recommendation.ranking import WholeCatalogue
from components.recommendation.sparse_arrays import load_sparse, save_sparse, top_per_row, transposed

ENTRIES_AT_ONCE = 8_000_000  # similarities held before they are cut to the best


class ItemKnnParams(Params):
    unit: Literal["basket", "customer"] = Field("basket", description="What two items must share to be similar.")
    neighbours: int = Field(200, ge=1, description="Similar items kept per item.")
    shrinkage: float = Field(20.0, ge=0, description="Added to the cosine's denominator: doubt in rare items.")
    exponent: float = Field(0.5, ge=0, le=1, description="Of the norms' squares; 0.5: the cosine.")
    train_half_life_days: float = Field(180.0, gt=0, description="A co-purchase counts half after so many days.")
    half_life_days: float = Field(30.0, gt=0, description="A history's event counts half after so many days.")
    session_decay: float = Field(0.8, gt=0, le=1, description="In a single session, an event against the one after it.")
    own: float = Field(0.0, ge=0, description="Similarity of an item to itself.")


class ItemKnn(WholeCatalogue):
    """Sum of the history's decayed weights times similarity; NaN for items that nothing leads to."""

    params_class: ClassVar[type[Params]] = ItemKnnParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = ItemKnnParams.model_validate((params or ItemKnnParams()).model_dump())
        self._similar: sparse.csr_matrix | None = None  # (items, items), rows: from

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        self.n_items = int(train["item"].to_numpy().max(initial=0)) + 1
        kept = 12 * self.n_items * self.params.neighbours
        require_memory("item_knn", kept + 40 * ENTRIES_AT_ONCE + 60 * train.height)
        x = self._rows(train)
        by_item = transposed(x)
        norms = np.asarray(x.multiply(x).sum(axis=0)).ravel() ** self.params.exponent
        pieces = [self._most_similar(by_item, x, norms, start, stop) for start, stop in _pieces(by_item, x)]
        self._similar = sparse.vstack(pieces, format="csr")
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        answer: np.ndarray = (self._query(histories) @ self._fitted()).toarray()
        answer[answer == 0] = np.nan
        return answer

    def neighbours(self, item: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The `n` items most similar to `item` and their similarities, best first."""
        similar = self._fitted()
        if not 0 <= item < self.n_items:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        row = slice(similar.indptr[item], similar.indptr[item + 1])
        order = np.argsort(-similar.data[row], kind="stable")[:n]
        return similar.indices[row][order], similar.data[row][order]

    def save(self, folder: Path) -> None:
        save_sparse(folder, "similar", self._fitted())
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(ItemKnnParams(**read_json(folder / "params.json")))
        model._similar = load_sparse(folder, "similar")
        model.n_items = model._similar.shape[0]
        return model

    def _rows(self, train: pl.DataFrame) -> sparse.csr_matrix:
        """Decayed weights, (baskets or customers, items)."""
        unit = train.drop_nulls(self.params.unit)
        decayed = unit["weight"].to_numpy() * np.exp2(-unit["days_ago"].to_numpy() / self.params.train_half_life_days)
        rows = np.unique(unit[self.params.unit].to_numpy(), return_inverse=True)[1]
        # Halves of the weight on both sides of X'X: a basket's pairs then count with its own weight.
        values = np.sqrt(decayed) if self.params.unit == "basket" else decayed
        shape = (int(rows.max(initial=-1)) + 1, self.n_items)
        return sparse.coo_matrix((values.astype(np.float32), (rows, unit["item"].to_numpy())), shape=shape).tocsr()

    def _most_similar(
        self, by_item: sparse.csr_matrix, x: sparse.csr_matrix, norms: np.ndarray, start: int, stop: int
    ) -> sparse.csr_matrix:
        together = (by_item[start:stop] @ x).tocsr()
        rows = np.repeat(np.arange(start, stop), np.diff(together.indptr))
        together.data /= (norms[rows] * norms[together.indices] + self.params.shrinkage).astype(np.float32)
        together.data[rows == together.indices] = 0
        together.eliminate_zeros()
        best = top_per_row(together, self.params.neighbours)
        if not self.params.own:
            return best
        itself = sparse.eye_array(stop - start, self.n_items, k=start, format="csr", dtype=np.float32)
        return sparse.csr_matrix(best + self.params.own * itself)

    def _query(self, histories: Histories) -> sparse.csr_matrix:
        """Decayed weights of the histories; by position where all is one session, and days say little."""
        n_items, last = self.n_items, np.repeat(histories.offsets[1:] - 1, np.diff(histories.offsets))
        single = histories.baskets[last] == 0
        position = np.where(single, last - np.arange(len(last)), 0)
        weights = histories.weights * np.exp2(-histories.days_ago / self.params.half_life_days)
        weights = weights * self.params.session_decay**position
        known = histories.items < n_items
        entries = (weights[known].astype(np.float32), (histories.rows()[known], histories.items[known]))
        return sparse.coo_matrix(entries, shape=(len(histories), n_items)).tocsr()

    def _fitted(self) -> sparse.csr_matrix:
        if self._similar is None:
            raise NotFitted("item_knn: expected a fitted model; call fit() or load() first")
        return self._similar


def _pieces(by_item: sparse.csr_matrix, x: sparse.csr_matrix) -> list[tuple[int, int]]:
    """Ranges of items whose products stay under ENTRIES_AT_ONCE, by what each could have at most."""
    work = np.asarray(by_item.astype(bool) @ np.diff(x.indptr).astype(np.int64))
    piece = np.cumsum(np.minimum(work, by_item.shape[0])) // ENTRIES_AT_ONCE
    starts = np.unique(piece, return_index=True)[1]
    return list(zip(starts.tolist(), [*starts[1:].tolist(), by_item.shape[0]], strict=True))


MODEL = ItemKnn
