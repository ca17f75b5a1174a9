"""Character and word n-grams, weighted by tf-idf, under a multinomial logistic regression."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from components.core.artifacts import load_array, read_json, save_arrays, write_json
from components.core.params import Params
from components.support.classifier import Classifier, both
from components.support.logistic import Logistic, fit_logistic, log_softmax
from components.support.pieces import plain, words
from components.support.vocabulary import Vocabulary


class TfidfParams(Params):
    shortest: int = Field(2, ge=1, description="Characters of the shortest n-gram within a word.")
    longest: int = Field(4, ge=1, description="Characters of the longest.")
    words: int = Field(2, ge=0, description="Neighbouring words that count together; 0: no words.")
    min_texts: int = Field(2, ge=1, description="N-grams of fewer training texts are left out.")
    max_features: int = Field(60_000, ge=1, description="The most common n-grams that are kept.")
    strength: float = Field(30.0, gt=0, description="More follows the examples closer: scikit-learn's C.")
    balanced: float = Field(0.0, ge=0, le=1, description="1: every intent weighs as much, however many examples.")
    iterations: int = Field(200, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.longest < self.shortest:
            raise ValueError(f"longest ({self.longest}) is below shortest ({self.shortest}): raise it")
        return self


class Tfidf(Classifier):
    """Which spellings, words and pairs of words an intent is asked with."""

    params_class: ClassVar[type[Params]] = TfidfParams

    def __init__(self, params: Params | None = None) -> None:
        self.params = TfidfParams.model_validate((params or TfidfParams()).model_dump())
        self._vocabulary: Vocabulary | None = None
        self._logistic: Logistic | None = None

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        chosen, examples = self.params, both(train, valid)
        texts, labels = examples["text"].to_list(), self._learn_codes(examples)
        chars = (chosen.shortest, chosen.longest)
        vocabulary = Vocabulary.of(texts, chars, chosen.words, chosen.min_texts, chosen.max_features)
        self._logistic = fit_logistic(
            vocabulary.matrix(texts), labels, len(self.codes), chosen.strength, chosen.iterations, chosen.balanced
        )
        self._vocabulary = vocabulary
        return self

    def scores(self, queries: pl.DataFrame) -> np.ndarray:
        vocabulary, logistic = self._fitted()
        totals = np.tile(logistic.bias, (queries.height, 1))
        for row, text in enumerate(queries["text"]):
            columns, values = vocabulary.row(text)
            totals[row] += values @ logistic.weights[columns]
        return log_softmax(totals)

    def counted(self, text: str, intent: int, most: int = 3) -> list[tuple[str, float]]:
        """The words of `text` that speak most for the label `intent`, the strongest first.

        A word's figure is what it and the n-grams in it add to the label's score, compared with what they add
        to the labels' mean; words that speak against it are left out.
        """
        vocabulary, logistic = self._fitted()
        column = int(np.searchsorted(self.codes, intent))
        if column == len(self.codes) or self.codes[column] != intent:
            return []
        known, values = vocabulary.row(text)
        weights = logistic.weights[known]
        gains = values * (weights[:, column] - weights.mean(axis=1))
        return _by_word(text, [vocabulary.known[each] for each in known], gains)[:most]

    def save(self, folder: Path) -> None:
        vocabulary, logistic = self._fitted()
        arrays = {"weights": logistic.weights, "bias": logistic.bias, "rarity": vocabulary.rarity}
        save_arrays(folder, {"codes": self.codes, **arrays})
        write_json(folder / "vocabulary.json", vocabulary.known)
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(TfidfParams(**read_json(folder / "params.json")))
        chosen, known = model.params, read_json(folder / "vocabulary.json")
        rarity = np.array(load_array(folder, "rarity"))
        model._vocabulary = Vocabulary(known, rarity, (chosen.shortest, chosen.longest), chosen.words)
        model._logistic = Logistic(load_array(folder, "weights"), np.array(load_array(folder, "bias")))
        model.codes = np.array(load_array(folder, "codes"))
        return model

    def _fitted(self) -> tuple[Vocabulary, Logistic]:
        if self._vocabulary is None or self._logistic is None:
            raise self._not_fitted()
        return self._vocabulary, self._logistic


def _by_word(text: str, known: list[str], gains: np.ndarray) -> list[tuple[str, float]]:
    """Each n-gram's gain, shared evenly by the words of `text` that hold it."""
    tokens = list(dict.fromkeys(token for token in words(plain(text)) if token[0].isalnum()))
    totals = dict.fromkeys(tokens, 0.0)
    for gram, gain in zip(known, gains.tolist(), strict=True):
        holders = _holders(gram, tokens)
        for token in holders:
            totals[token] += gain / len(holders)
    ranked = sorted(totals.items(), key=lambda pair: -pair[1])
    return [(token, gain) for token, gain in ranked if gain > 0]


def _holders(gram: str, tokens: list[str]) -> list[str]:
    if gram.startswith("\t"):
        parts = set(gram[1:].split("\t"))
        return [token for token in tokens if token in parts]
    bare = gram.strip()
    # In Chinese an n-gram spans several one-character words; elsewhere it lies within one.
    return [token for token in tokens if bare and (bare in token or (len(token) == 1 and token in bare))]


MODEL = Tfidf
