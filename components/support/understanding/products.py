"""Which of the shop's products a message names: a title as a whole, or most of the words that set it apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import log

from components.support.understanding.canonical import CJK

TOKEN = re.compile(rf"[^\W_{CJK}]++|[{CJK}]++")
IDEOGRAPHS = re.compile(f"[{CJK}]")
ENOUGH = 0.6  # share of a title's weight that a message must name
COMMON = 50  # titles that share a word before it stops leading to any of them
MOST_READ = 400  # tokens of a message
REACH = 12  # tokens within which the words of one title stand
_NO_TITLE = "the a an of for with and in on to my your our is it this that please order size new set pack der die das"
NO_TITLE = frozenset(_NO_TITLE.split())
Token = tuple[str, int, int]


def products(text: str, titles: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Start, end and title, for each title that is named; of titles named by the same words the closest one.

    Two titles that the words fit equally are both given: which is meant is a question to ask.
    """
    if not titles:
        return
    catalogue = _catalogue(tuple(titles))
    tokens = _tokens(text)[:MOST_READ]
    found = [each for number in catalogue.candidates(tokens) if (each := catalogue.named(number, tokens))]
    for share, start, end, title in found:
        if not any(other > share and first < end and start < last for other, first, last, _ in found):
            yield start, end, title


class Catalogue:
    """Titles by their words, each of which weighs by how few titles have it."""

    def __init__(self, titles: Sequence[str]) -> None:
        self._titles = list(dict.fromkeys(title for title in titles if title.strip()))
        self._words = [frozenset(word for word, _, _ in _tokens(title)) or frozenset({title}) for title in self._titles]
        self._having: dict[str, list[int]] = {}
        for number, words in enumerate(self._words):
            for word in words:
                self._having.setdefault(word, []).append(number)

    def candidates(self, tokens: list[Token]) -> list[int]:
        """Numbers of the titles that share a word with a message, in the order of the catalogue."""
        words = {word for word, _, _ in tokens}
        rare = [self._having[word] for word in words if len(self._having.get(word, ())) in range(1, COMMON + 1)]
        numbers = {number for having in rare for number in having}
        return sorted(numbers)[:1000]

    def named(self, number: int, tokens: list[Token]) -> tuple[float, int, int, str] | None:
        """Share of the title's weight that stands close together, where, and the title."""
        words = self._words[number]
        places = [place for place, token in enumerate(tokens) if token[0] in words]
        best = max((self._share(words, tokens, places, first) for first in range(len(places))), default=None)
        if best is None or best[0] < ENOUGH or (best[3] < 2 and best[0] < 1):
            return None
        return best[0], best[1], best[2], self._titles[number]

    def _share(
        self, words: frozenset[str], tokens: list[Token], places: list[int], first: int
    ) -> tuple[float, int, int, int]:
        """Share, start, end and count of the title's words from one place on."""
        near = [place for place in places[first : first + REACH] if place < places[first] + REACH]
        seen = {tokens[place][0] for place in near}
        share = sum(map(self._weight, seen)) / sum(map(self._weight, words))
        return share, tokens[near[0]][1], tokens[near[-1]][2], len(seen)

    def _weight(self, word: str) -> float:
        return 1 + log((1 + len(self._titles)) / len(self._having.get(word, (0,))))


@lru_cache(maxsize=8)
def _catalogue(titles: tuple[str, ...]) -> Catalogue:
    return Catalogue(titles)


def _tokens(text: str) -> list[Token]:
    """Words in lower case without a plural's s, and pairs of Chinese characters; with their places."""
    found: list[Token] = []
    for match in TOKEN.finditer(text):
        word = match[0].lower()
        if IDEOGRAPHS.match(word):
            size = max(len(word) - 1, 1)
            found += [
                (word[at : at + 2], match.start() + at, min(match.start() + at + 2, match.end())) for at in range(size)
            ]
        elif word not in NO_TITLE:
            stem = word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
            found.append((stem, match.start(), match.end()))
    return found
