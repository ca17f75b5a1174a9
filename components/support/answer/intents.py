"""Texts -> how likely each intent is: what ships, asked with nothing but masked texts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from components.core.artifacts import read_json
from components.core.bundle import Bundle
from components.core.classification import THRESHOLD, answers
from components.support.encoders import encode
from components.support.features.panel import EMBEDDING, LABELS, OUT_OF_SCOPE, pool_of

Predict = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]  # queries, pool -> score table
Encode = Callable[[Sequence[str], str], np.ndarray]  # texts, encoder -> (n, d)


@dataclass(frozen=True, slots=True)
class Scored:
    """One text: intents with their probabilities, likeliest first, and how surely it is out of scope (None: untold)."""

    probabilities: tuple[tuple[str, float], ...]
    rejection: float | None

    @property
    def rejected(self) -> bool:
        return self.rejection is not None and self.rejection >= THRESHOLD

    @property
    def first(self) -> str:
        return self.probabilities[0][0]

    @property
    def confidence(self) -> float:
        return self.probabilities[0][1]


class Intents:
    """The shipped model or ensemble; `labels` by code, out of scope last."""

    def __init__(
        self, predict: Predict, labels: Sequence[str], encoders: Sequence[str] = (), encode: Encode = encode
    ) -> None:
        self._predict, self._labels, self._encoders, self._encode = predict, list(labels), tuple(encoders), encode
        self._lock = threading.Lock()

    @classmethod
    def of(cls, bundle: Bundle, encoders: Sequence[str] = ()) -> Self:
        """Encoders that a member reads are run, and `encoders`."""
        return cls(bundle.predict, read_json(bundle.folder / LABELS), encoders_of(bundle, encoders))

    def queries(self, texts: Sequence[str], languages: Sequence[str]) -> pl.DataFrame:
        """What models are asked with, one row per text."""
        columns: dict[str, pl.Series] = {
            "query": pl.Series(range(len(texts)), dtype=pl.Int32),
            "text": pl.Series(texts, dtype=pl.String),
            "language": pl.Series(languages, dtype=pl.String),
        }
        for name in self._encoders:
            vectors = np.ascontiguousarray(self._encode(texts, name), np.float32)
            columns[EMBEDDING + name] = pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
        return pl.DataFrame(columns)

    def scored(self, queries: pl.DataFrame) -> list[Scored]:
        """One for each query, in their order."""
        pool = pool_of(queries["query"], len(self._labels))
        with self._lock:  # models are not promised to answer two threads at once
            found = answers(self._predict(queries, pool), pool)
        order = np.argsort(-found.probabilities, axis=1, kind="stable")
        return [
            Scored(self._named(row, found.codes, places), None if np.isnan(rejection) else float(rejection))
            for row, places, rejection in zip(found.probabilities, order, found.rejection, strict=True)
        ]

    def _named(self, row: np.ndarray, codes: np.ndarray, places: np.ndarray) -> tuple[tuple[str, float], ...]:
        pairs = [(self._labels[codes[place]], float(row[place])) for place in places]
        return tuple(pair for pair in pairs if pair[0] != OUT_OF_SCOPE)


def encoders_of(bundle: Bundle, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The encoders of all members and `more`, each once."""
    named = [getattr(getattr(model, "params", None), "encoders", ()) for model in bundle.members.values()]
    return tuple(dict.fromkeys(name for names in (*named, more) for name in names))
