"""What networks read: a text as a row of words, a word as itself and the n-grams it is spelt with.

A word that was misspelt or never met is then still something (Bojanowski et al. 2017); a Chinese character is a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from components.support.pieces import plain, words

UNKNOWN = 0  # the piece of a word that has no other, and of an empty text
DIGITS = 6  # longer numbers are read as one of so many digits


class Reader:
    """The pieces that are known; piece 0 is UNKNOWN, the others follow in the order of `known`."""

    def __init__(self, known: Sequence[str], grams: tuple[int, int], longest: int) -> None:
        self.known, self._grams, self._longest = list(known), grams, longest
        self._number = {piece: number for number, piece in enumerate(self.known, UNKNOWN + 1)}

    @classmethod
    def of(cls, texts: Sequence[str], grams: tuple[int, int], longest: int, min_texts: int, most: int) -> Self:
        """Pieces that stand in `min_texts` texts or more; of more than `most` those in the most texts.

        Args:
            texts: of training.
            grams: characters of the shortest and the longest n-gram, edges of the word counted.
            longest: words of a text that are read.
        """
        in_texts: Counter[str] = Counter()
        for text in dict.fromkeys(texts):
            in_texts.update({piece for word in _words(text, longest) for piece in _spelt(word, *grams)})
        common = sorted((piece for piece, n in in_texts.items() if n >= min_texts), key=lambda p: (-in_texts[p], p))
        return cls(sorted(common[:most]), grams, longest)

    @property
    def n_pieces(self) -> int:
        return len(self.known) + 1

    def read(self, texts: Sequence[str]) -> Lines:
        """Every text has a word at least, UNKNOWN where there is none."""
        lines = [[self._pieces(word) for word in _words(text, self._longest)] or [[UNKNOWN]] for text in texts]
        n_words = np.array([len(line) for line in lines], np.int64)
        n_pieces = np.array([len(word) for line in lines for word in line], np.int64)
        pieces = np.array([piece for line in lines for word in line for piece in word], np.int64)
        return Lines(pieces, _ends(n_pieces), _ends(n_words))

    def _pieces(self, word: str) -> list[int]:
        return [self._number[piece] for piece in _spelt(word, *self._grams) if piece in self._number] or [UNKNOWN]


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts as one grid (n, width); the words of a text stand at its row's beginning."""

    pieces: np.ndarray  # of all words, one after the other
    offsets: np.ndarray  # (n_words,) where each word's pieces begin
    places: np.ndarray  # (n_words,) cells of the grid, row by row
    lengths: np.ndarray  # (n,) words of each text
    width: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Texts of words of pieces, without gaps."""

    pieces: np.ndarray
    word_ends: np.ndarray  # (n_words + 1,) into `pieces`, from 0
    line_ends: np.ndarray  # (n + 1,) into words, from 0

    def __len__(self) -> int:
        return len(self.line_ends) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Words of each text, (n,)."""
        return np.diff(self.line_ends)

    def take(self, rows: np.ndarray) -> Batch:
        lengths = self.lengths[rows]
        read = _spans(self.line_ends[rows], lengths)
        n_pieces = np.diff(self.word_ends)[read]
        width = int(lengths.max(initial=1))
        places = _spans(np.arange(len(rows)) * width, lengths)
        pieces = self.pieces[_spans(self.word_ends[read], n_pieces)]
        return Batch(pieces, _ends(n_pieces)[:-1], places, lengths, width)


def _words(text: str, longest: int) -> list[str]:
    found = words(plain(text))
    if len(found) > longest:  # a long message says at its beginning or its end what is wanted
        found = [*found[: (longest + 1) // 2], *found[len(found) - longest // 2 :]]
    return [word[:DIGITS] if word[0] == "0" else word for word in found]


def _spelt(word: str, shortest: int, longest: int) -> Iterator[str]:
    """The word, then the n-grams of "<word>" that are shorter than that; a placeholder is not spelt."""
    yield word
    if len(word) == 1 or word.startswith("<"):
        return
    edged = f"<{word}>"
    for size in range(shortest, min(longest, len(edged) - 1) + 1):
        for start in range(len(edged) - size + 1):
            yield edged[start : start + size]


def _ends(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of every span, one after the other."""
    before = _ends(lengths)[:-1]
    spans: np.ndarray = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
    return spans
