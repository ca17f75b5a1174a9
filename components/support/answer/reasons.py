"""Why an intent: known examples like the message, and the words that counted; either may be missing from a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import polars as pl

from components.core.artifacts import read_json
from components.core.bundle import Bundle
from components.support.answer.ask import Because, Resembling
from components.support.features.panel import LABELS
from components.support.models.knn import Knn
from components.support.models.tfidf import Tfidf

NEIGHBOURS, WORDS = "knn", "tfidf"  # the models that explain, whatever answers
BESIDE = "explainer"  # the folder of a NEIGHBOURS that is packaged without being shipped
MOST = 3  # examples, and words


class Reasons:
    """What can explain of one release; `labels` by code."""

    def __init__(self, labels: Sequence[str] = (), neighbours: Knn | None = None, words: Tfidf | None = None) -> None:
        self._neighbours, self._words = neighbours, words
        self._names: Mapping[int, str] = dict(enumerate(labels))
        self._codes = {name: code for code, name in self._names.items()}

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """The shipped models, or the one packaged beside them."""
        neighbours, beside = bundle.members.get(NEIGHBOURS), bundle.folder / BESIDE
        if neighbours is None and beside.is_dir():
            neighbours = Knn.load(beside)
        words = bundle.members.get(WORDS)
        return cls(
            read_json(bundle.folder / LABELS),
            neighbours if isinstance(neighbours, Knn) else None,
            words if isinstance(words, Tfidf) else None,
        )

    @property
    def encoders(self) -> tuple[str, ...]:
        """Whose embeddings the queries must hold."""
        return () if self._neighbours is None else self._neighbours.params.encoders

    def because(self, query: pl.DataFrame, intent: str, rejected: bool = False) -> Because:
        """Of one query, for the intent that was found likeliest; where it was rejected, whatever it resembles most."""
        return Because(
            self._nearest(query, None if rejected else self._codes.get(intent)), self._counted(query, intent)
        )

    def _nearest(self, query: pl.DataFrame, code: int | None) -> tuple[Resembling, ...]:
        if self._neighbours is None:
            return ()
        found = self._neighbours.nearest(query, MOST, code).select("text", "intent", "similarity")
        return tuple(Resembling(text, self._names[code], float(near)) for text, code, near in found.rows())

    def _counted(self, query: pl.DataFrame, intent: str) -> tuple[tuple[str, float], ...]:
        if self._words is None or intent not in self._codes:
            return ()
        counted = self._words.counted(query["text"][0], self._codes[intent], MOST)
        return tuple((word, float(gain)) for word, gain in counted)
