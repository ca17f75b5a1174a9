"""Texts -> how likely each intent is: what ships, asked with nothing but masked texts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from threadpoolctl import ThreadpoolController

from components.core.artifacts import read_json
from components.core.bundle import Bundle
from components.core.classification import THRESHOLD, answers
from components.core.ensembles._classes import Classes
from components.support.classifier import Classifier
from components.support.encoders import encode
from components.support.features.panel import EMBEDDING, LABELS, pool_of

# queries -> probabilities of the intents by code (n, L), and how surely each is out of scope (n,), NaN where untold
Predict = Callable[[pl.DataFrame], tuple[np.ndarray, np.ndarray]]
Tables = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]  # queries, pool -> score table
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
        self._pools = ThreadpoolController()  # finds what the members have loaded

    @classmethod
    def of(cls, bundle: Bundle, encoders: Sequence[str] = ()) -> Self:
        """Encoders that a member reads are run, and `encoders`."""
        labels = read_json(bundle.folder / LABELS)
        predict = by_arrays(bundle, len(labels)) or by_tables(bundle.predict, len(labels))
        return cls(predict, labels, encoders_of(bundle, encoders))

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
        # models are not promised to answer two threads at once; one message is too little work to share
        with self._lock, self._pools.limit(limits=1):
            shares, rejections = self._predict(queries)
        order = np.argsort(-shares, axis=1, kind="stable")
        return [
            Scored(
                tuple((self._labels[code], float(row[code])) for code in codes),
                None if np.isnan(rejection) else float(rejection),
            )
            for row, codes, rejection in zip(shares, order, rejections, strict=True)
        ]


def by_tables(predict: Tables, n_labels: int) -> Predict:
    """Whatever ships, through the tables of the stages."""

    def predicted(queries: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        pool = pool_of(queries["query"], n_labels)
        found = answers(predict(queries, pool), pool)
        return found.probabilities, found.rejection

    return predicted


def by_arrays(bundle: Bundle, n_labels: int) -> Predict | None:
    """The same without tables, whose joins cost more than the models; None where what ships is not made for it."""
    ensemble, members = bundle.ensemble, bundle.members
    if not isinstance(ensemble, Classes) or not all(isinstance(each, Classifier) for each in members.values()):
        return None
    answer, asked = ensemble.answer, [members[name] for name in ensemble.spec.members]

    def predicted(queries: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        cube = np.full((queries.height, n_labels, len(asked)), np.nan, np.float32)
        for place, model in enumerate(asked):
            assert isinstance(model, Classifier)  # noqa: S101 - looked at above
            cube[:, model.codes, place] = model.scores(queries)
        return answer(cube[:, :-1], cube[:, -1])

    return predicted


def encoders_of(bundle: Bundle, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The encoders of all members and `more`, each once."""
    named = [getattr(getattr(model, "params", None), "encoders", ()) for model in bundle.members.values()]
    return tuple(dict.fromkeys(name for names in (*named, more) for name in names))
