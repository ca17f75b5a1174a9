"""User-KNN on futures: what similar customers bought next, beside the own decayed frequency.

UP-CF (Faggioli et al., UMAP 2020) lets neighbours vote with their past. Here each votes with
what it bought after the moment at which it resembled the query, which also brings up products
that the query's customer never bought. By default it votes alone (own = 0): the members that it
is combined with know the own purchases better. Where it stands alone, own should be 0.5 to 0.9.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

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
from components.recommendation.sparse_arrays import load_sparse, row_products, save_sparse, top_per_row, transposed


class UserKnnParams(Params):
    half_life_days: float = Field(90.0, gt=0, description="A purchase in a profile counts half after so many days.")
    neighbours: int = Field(1000, ge=1, description="Most similar customers that vote.")
    sharpness: float = Field(1.5, gt=0, description="Votes weigh cosine to this power.")
    own: float = Field(0.0, ge=0, le=1, description="Weight of the own decayed frequency; the rest is the votes.")
    future_days: float = Field(28.0, ge=0, description="Neighbours vote with these last days; 0: their last basket.")


class UserKnn(WholeCatalogue):
    """own * decayed frequency + (1 - own) * mean future of similar customers."""

    params_class: ClassVar[type[Params]] = UserKnnParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = UserKnnParams.model_validate((params or UserKnnParams()).model_dump())
        self._profiles: sparse.csr_matrix | None = None  # (items, customers), columns of length 1
        self._futures: sparse.csr_matrix | None = None  # (customers, items)

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        """`valid`: what training customers bought after `train` (customer, item, weight); they vote with it.

        Without it they vote with their last purchases in `train`, and resemble by what came before.
        """
        require_memory("user_knn", 80 * train.height)
        self.n_items = int(train["item"].to_numpy().max(initial=0)) + 1
        known = train.drop_nulls("customer")
        past, future = self._cut(known) if valid is None else (known, valid.drop_nulls("customer"))
        # A neighbour that bought nothing afterwards would take a place and say nothing.
        histories, customers = Histories.from_train(past.join(future, on="customer", how="semi"))
        self._profiles = transposed(_unit_rows(histories.matrix(self.n_items, self.params.half_life_days)))
        self._futures = self._votes(future.filter(np.isin(future["customer"].to_numpy(), customers)), customers)
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        profiles, futures = self._fitted()
        own = histories.matrix(self.n_items, self.params.half_life_days)
        votes = top_per_row((_unit_rows(own) @ profiles).tocsr(), self.params.neighbours)
        votes.data **= self.params.sharpness
        share = self.params.own
        answer = np.array(list(row_products((1 - share) * _shares(votes), futures)), np.float32)
        answer = answer.reshape(len(histories), self.n_items)  # also without queries
        if share:
            answer += (share * _shares(own)).toarray()
        answer[np.diff(own.indptr) == 0] = np.nan
        return answer

    def save(self, folder: Path) -> None:
        profiles, futures = self._fitted()
        save_sparse(folder, "profiles", profiles)
        save_sparse(folder, "futures", futures)
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(UserKnnParams(**read_json(folder / "params.json")))
        model._profiles, model._futures = load_sparse(folder, "profiles"), load_sparse(folder, "futures")
        model.n_items = model._futures.shape[1]
        return model

    def _cut(self, train: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Past and future of each customer, with the past's days counted from where the future starts."""
        late = pl.col("days_ago") <= self.params.future_days
        last = pl.col("basket") == pl.col("basket").sort_by("days_ago").first().over("customer")
        marked = train.with_columns(future=late if self.params.future_days else last)
        starts = pl.col("days_ago").filter("future").max().over("customer").fill_null(0.0)
        past = marked.with_columns(days_ago=pl.col("days_ago") - starts).filter(~pl.col("future"))
        return past, marked.filter("future")

    def _votes(self, future: pl.DataFrame, customers: np.ndarray) -> sparse.csr_matrix:
        """(customers, items): what each bought next, each item at most once."""
        bought = future.filter(pl.col("item") < self.n_items).group_by("customer", "item").agg(pl.col("weight").max())
        rows = np.searchsorted(customers, bought["customer"].to_numpy())
        entries = (bought["weight"].to_numpy().astype(np.float32), (rows, bought["item"].to_numpy()))
        return sparse.coo_matrix(entries, shape=(len(customers), self.n_items)).tocsr()

    def _fitted(self) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        if self._profiles is None or self._futures is None:
            raise NotFitted("user_knn: expected a fitted model; call fit() or load() first")
        return self._profiles, self._futures


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return _scaled_rows(matrix, 1 / np.maximum(lengths, 1e-9))


def _shares(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows that sum to 1."""
    return _scaled_rows(matrix, 1 / np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1e-9))


def _scaled_rows(matrix: sparse.csr_matrix, factors: np.ndarray) -> sparse.csr_matrix:
    data = (matrix.data * np.repeat(factors, np.diff(matrix.indptr))).astype(np.float32)
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


MODEL = UserKnn
