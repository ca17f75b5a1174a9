"""Answers computed when a release is packaged, so that a request only filters and words them.

Known customers whose history is the release's own get their ranking and reasons from here. What is
not here (anonymous sessions, customers beyond `most`) is computed on request by the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from components.core.artifacts import load_array, save_arrays
from components.recommendation.answer.reasons import Kind, Past, Reason, joined
from components.recommendation.features.histories import Histories

if TYPE_CHECKING:
    from components.recommendation.answer.answerer import Answerer

ARRAYS = ("offsets", "items", "scores", "kinds", "companions")
BATCH = 100  # customers scored at once: bounds memory, and pays what is the same for all only once


@dataclass(frozen=True, slots=True)
class One:
    """One customer's answer, best first."""

    items: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    companions: np.ndarray

    def reasons(self, codes: np.ndarray) -> list[Reason]:
        """Reasons of items that are among these."""
        order = np.argsort(self.items)
        places = order[np.searchsorted(self.items, codes, sorter=order)]
        return [
            Reason(Kind(kind), companion)
            for kind, companion in zip(self.kinds[places].tolist(), self.companions[places].tolist(), strict=True)
        ]


NOTHING = One(np.empty(0, np.int32), np.empty(0), np.empty(0, np.int8), np.empty(0, np.int32))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows are those of the histories; a customer without an answer is an empty row.

    offsets (n_customers + 1,) int64; items and companions int32, scores float64, kinds int8
    """

    offsets: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    companions: np.ndarray

    def of(self, row: int) -> One | None:
        """The answer of one customer, if there is one."""
        part = slice(self.offsets[row], self.offsets[row + 1])
        if part.start == part.stop:
            return None
        return One(self.items[part], self.scores[part], self.kinds[part], self.companions[part])

    def save(self, folder: Path) -> None:
        """One .npy per array."""
        save_arrays(folder, {name: getattr(self, name) for name in ARRAYS})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The arrays that `save` wrote, memory-mapped."""
        return cls(**{name: load_array(folder, name) for name in ARRAYS})


def prepare(answerer: Answerer, depth: int = 20, most: int = 20_000) -> Prepared:
    """The first `depth` items of each customer and their reasons, for the `most` customers seen last."""
    histories = answerer.histories
    rows = np.flatnonzero(_seen_last(histories, most))
    answers: dict[int, One] = {}
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH].tolist()
        answers |= zip(batch, _batch(answerer, [histories.part(row, row + 1) for row in batch], depth), strict=True)
    found = [answers.get(row, NOTHING) for row in range(len(histories))]
    offsets = np.concatenate([[0], np.cumsum([len(one.items) for one in found])]).astype(np.int64)
    columns = {
        name: np.concatenate([getattr(NOTHING, name), *(getattr(o, name) for o in found)]) for name in ARRAYS[1:]
    }
    return Prepared(offsets, **columns)


def _batch(answerer: Answerer, histories: Sequence[Histories], depth: int) -> list[One]:
    rankings = answerer.rank(joined(histories))
    shown = [ranking.items[answerer.catalogue.available[ranking.items]][:depth] for ranking in rankings]
    past = [Past(*each) for each in zip(histories, rankings, shown, strict=True)]
    return [_one(one, reasons) for one, reasons in zip(past, answerer.explain(past), strict=True)]


def _one(one: Past, reasons: list[Reason]) -> One:
    return One(
        one.items,
        one.ranking.scores[np.isin(one.ranking.items, one.items)],
        np.array([reason.kind for reason in reasons], np.int8),
        np.array([reason.companion for reason in reasons], np.int32),
    )


def _seen_last(histories: Histories, most: int) -> np.ndarray:
    """The `most` customers with the latest event, (n_customers,) bool; those without events never."""
    some = np.diff(histories.offsets) > 0
    since = np.full(len(histories), np.inf)
    since[some] = histories.days_ago[histories.offsets[1:][some] - 1]
    return some & (np.argsort(np.argsort(since, kind="stable")) < most)
