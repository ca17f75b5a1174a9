"""Words and character n-grams that several training texts share, and texts as weighted counts of them (tf-idf)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from components.support.pieces import grams, plain, runs, words

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Features = Counter[str]


class Vocabulary:
    """Known n-grams, each with a column and the logarithm of how rare it is."""

    def __init__(self, known: Sequence[str], rarity: np.ndarray, chars: tuple[int, int], words: int) -> None:
        self.known, self.rarity = list(known), rarity
        self._chars, self._words = chars, words
        self._column = {gram: column for column, gram in enumerate(self.known)}

    @classmethod
    def of(cls, texts: Sequence[str], chars: tuple[int, int], words: int, min_texts: int, most: int) -> Self:
        """N-grams that stand in `min_texts` texts or more; of more than `most` those in the most texts.

        Texts count once each, however often they occur: a flood of one message makes nothing common.
        """
        distinct = list(dict.fromkeys(texts))
        empty = cls([], np.empty(0, np.float32), chars, words)
        in_texts: Counter[str] = Counter()
        for text in distinct:
            in_texts.update(empty.pieces(text).keys())
        common = sorted((gram for gram, n in in_texts.items() if n >= min_texts), key=lambda g: (-in_texts[g], g))
        known = sorted(common[:most])
        counts = np.array([in_texts[gram] for gram in known], np.float64)
        rarity = np.log((1 + len(distinct)) / (1 + counts)) + 1
        return cls(known, rarity.astype(np.float32), chars, words)

    def __len__(self) -> int:
        return len(self.known)

    def pieces(self, text: str) -> Features:
        """How often each n-gram stands in `text`, known or not."""
        read = plain(text)
        return Counter((*grams(read, *self._chars), *runs(words(read), self._words)))

    def matrix(self, texts: Sequence[str]) -> csr_matrix:
        """(n, len(self)) float32: (1 + log count) * rarity, rows of length one; unknown n-grams are nothing."""
        from scipy.sparse import csr_matrix

        columns, values, ends = [], [], [0]
        for text in texts:
            own, weights = self.row(text)
            columns.append(own)
            values.append(weights)
            ends.append(ends[-1] + len(own))
        data = np.concatenate(values) if values else np.empty(0, np.float32)
        indices = np.concatenate(columns) if columns else np.empty(0, np.int32)
        return csr_matrix((data, indices, np.array(ends)), (len(ends) - 1, len(self)))

    def row(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """One row of `matrix`: columns, ascending int32, and their values."""
        found = sorted(self._found(text))
        columns = np.array([column for column, _ in found], np.int32)
        counts = np.array([n for _, n in found], np.float32)
        values = (1 + np.log(counts)) * self.rarity[columns]
        return columns, (values / max(float(np.linalg.norm(values)), 1e-12)).astype(np.float32)

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        for gram, n in self.pieces(text).items():
            column = self._column.get(gram)
            if column is not None:
                yield column, n
