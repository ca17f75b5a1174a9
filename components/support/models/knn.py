"""The most similar examples of each intent, by cosine of sentence embeddings; also why: "it resembles ..."."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import atomic_path, load_array, read_json, save_arrays, write_json
from components.core.params import Params
from components.memory import require_memory
from components.support.classifier import Classifier, both, embeddings
from components.support.encoders import USEM3

ANSWERED = 256  # queries compared with every example at once


class KnnParams(Params):
    encoders: tuple[str, ...] = Field((USEM3,), min_length=1, description="Their cosines are averaged.")
    neighbours: int = Field(3, ge=1, description="Most similar examples of an intent whose mean is its score.")


class Knn(Classifier):
    """Score of a label: mean cosine of its nearest examples, in [-1, 1]; all of them where it has few."""

    params_class: ClassVar[type[Params]] = KnnParams

    def __init__(self, params: Params | None = None) -> None:
        self.params = KnnParams.model_validate((params or KnnParams()).model_dump())
        self._examples: np.ndarray | None = None  # (n, d) float32, unit length, in the order of their labels
        self._starts = np.empty(0, np.int64)  # where each label's examples begin
        self._texts = pl.DataFrame()  # text, language and intent of each example

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        ordered = both(train, valid).sort("intent", maintain_order=True)
        self._learn_codes(ordered)
        require_memory("knn", 8 * ordered.height * (ANSWERED + 1024))
        self._adopt(self._vectors(ordered), ordered.select("text", "language", pl.col("intent").cast(pl.Int32)))
        return self

    def scores(self, queries: pl.DataFrame) -> np.ndarray:
        examples, ends = self._fitted(), [*self._starts[1:].tolist(), self._texts.height]
        asked = self._vectors(queries)
        answer = np.empty((len(asked), len(self.codes)), np.float32)
        for start in range(0, len(asked), ANSWERED):
            rows = slice(start, start + ANSWERED)
            cosines = asked[rows] @ examples.T
            for label, (first, end) in enumerate(zip(self._starts, ends, strict=True)):
                answer[rows, label] = _mean_of_highest(cosines[:, first:end], self.params.neighbours)
        return answer

    def nearest(self, queries: pl.DataFrame, k: int = 3, label: int | None = None) -> pl.DataFrame:
        """The `k` most similar examples (of `label`, or of all) of each query, best first.

        Columns: query, text, language, intent, similarity.
        """
        among = self._among(label)
        cosines = self._vectors(queries) @ self._fitted()[among].T
        k = min(k, cosines.shape[1])
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return self._texts[among][order.ravel()].select(
            pl.Series("query", np.repeat(queries["query"].to_numpy(), k), pl.Int32),
            pl.all(),
            pl.Series("similarity", np.take_along_axis(cosines, order, axis=1).ravel(), pl.Float64),
        )

    def _among(self, label: int | None) -> slice:
        if label is None:
            return slice(0, self._texts.height)
        first, end = np.searchsorted(self._texts["intent"].to_numpy(), [label, label + 1])
        return slice(int(first), int(end))

    def save(self, folder: Path) -> None:
        save_arrays(folder, {"codes": self.codes, "examples": self._fitted()})
        write_json(folder / "params.json", self.params.model_dump())
        with atomic_path(folder / "texts.parquet") as path:
            self._texts.write_parquet(path)

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(KnnParams(**read_json(folder / "params.json")))
        model.codes = np.array(load_array(folder, "codes"))
        model._adopt(load_array(folder, "examples"), pl.read_parquet(folder / "texts.parquet"))
        return model

    def _adopt(self, examples: np.ndarray, texts: pl.DataFrame) -> None:
        self._examples, self._texts = examples, texts
        self._starts = np.searchsorted(texts["intent"].to_numpy(), self.codes)

    def _vectors(self, table: pl.DataFrame) -> np.ndarray:
        """Scaled so that the inner product of two rows is the mean of their cosines."""
        read = embeddings(table, self.params.encoders)
        scaled: np.ndarray = read / np.float32(len(self.params.encoders) ** 0.5)
        return scaled

    def _fitted(self) -> np.ndarray:
        if self._examples is None:
            raise self._not_fitted()
        return self._examples


def _mean_of_highest(cosines: np.ndarray, k: int) -> np.ndarray:
    """Of each row, (n,)."""
    if cosines.shape[1] > k:
        cosines = np.partition(cosines, -k, axis=1)[:, -k:]
    mean: np.ndarray = cosines.mean(axis=1)
    return mean


MODEL = Knn
