"""Names like a misspelt one: candidates by shared three-letter pieces, then difflib on the few that remain."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

COMPARED = 60  # names that share most pieces; comparing all ten thousand letter by letter would take a second
ENOUGH = 0.5  # a name less like the one asked for is no help


class Names:
    """Ids with their titles, searchable by either; answers in a few milliseconds for ten thousand."""

    def __init__(self, ids: Sequence[str], titles: Sequence[str]) -> None:
        self._pairs = list(zip(ids, titles, strict=True))
        self._texts = [text.casefold() for pair in self._pairs for text in pair]
        found: dict[str, list[int]] = {}
        for number, text in enumerate(self._texts):
            for piece in _pieces(text):
                found.setdefault(piece, []).append(number)
        self._places = {piece: np.array(numbers, np.int32) for piece, numbers in found.items()}
        self._sizes = np.array([max(len(_pieces(text)), 1) for text in self._texts])

    def nearest(self, asked: str, n: int = 5) -> list[tuple[str, str]]:
        """At most `n` (id, title), most alike first; none where nothing is alike. Titles do not repeat."""
        wanted = asked.casefold()
        scored = sorted((-_likeness(wanted, self._texts[number]), number) for number in self._shortlist(wanted))
        answer: dict[str, tuple[str, str]] = {}
        for likeness, number in scored:
            if -likeness < ENOUGH or len(answer) == n:
                break
            series_id, title = self._pairs[number // 2]
            answer.setdefault(title, (series_id, title))
        return list(answer.values())

    def _shortlist(self, wanted: str) -> list[int]:
        """Texts that share the most pieces with `wanted`, as the share of both texts' pieces (Dice)."""
        pieces = _pieces(wanted)
        hits = [self._places[piece] for piece in pieces if piece in self._places]
        if not hits:
            return []
        shared = np.bincount(np.concatenate(hits), minlength=len(self._texts))
        dice = shared / (self._sizes + len(pieces)) + shared / (2 * len(pieces))  # a title may say much more
        best = np.argsort(-dice, kind="stable")[:COMPARED]
        return best[shared[best] > 0].tolist()


def _pieces(text: str) -> set[str]:
    padded = f"  {text} "
    return {padded[place : place + 3] for place in range(len(padded) - 2)}


def _likeness(wanted: str, text: str) -> float:
    """0 to 1: of the whole texts, or of the best fitting words of `text`, which counts a little less."""
    whole = SequenceMatcher(None, wanted, text).ratio()
    words, length = text.split(), len(wanted.split())
    runs = [" ".join(words[place : place + length]) for place in range(len(words) - length + 1)]
    part = max((SequenceMatcher(None, wanted, run).ratio() for run in runs), default=0.0)
    return max(whole, 0.95 * part)
