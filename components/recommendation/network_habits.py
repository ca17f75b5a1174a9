"""What a customer had before, as a term of the score that a network learns along with the rest.

score(item) = network(item) + a_0 [bought before] + sum_k a_k log(1 + count decayed with half-life k)

Without it a network over a grocer's baskets spends its embeddings on learning each customer's
staples by heart; with it they are left to explain what habit does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from components.recommendation.features.histories import Histories
from components.recommendation.network_data import Batch, Steps, spans


@dataclass(frozen=True, slots=True)
class Owned:
    """Pairs of a step and an item that its customer had before: features (n_pairs, 1 + n_half_lives)."""

    steps: np.ndarray
    items: np.ndarray
    features: np.ndarray


@dataclass(frozen=True, slots=True)
class Habits:
    """Decayed counts of every item at every step of every sequence, looked up on demand.

    keys    (n_events,) int64 ascending    item * (n_steps + 1) + step
    counts  (n_events, n_half_lives)       the sequence's count of the item at that step, this event included
    asked   (n_steps,) float32             days_ago of the moment that follows a step: the next step, or now
    starts  (n_steps,) int64               first step of the step's sequence
    """

    steps: Steps
    half_lives: np.ndarray
    keys: np.ndarray
    counts: np.ndarray
    asked: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, steps: Steps, half_lives: Sequence[float]) -> Self:
        """One pass over the events per repetition of the most repeated item."""
        n_steps = len(steps.days)
        starts = np.repeat(steps.sequences[:-1], np.diff(steps.sequences))
        step = np.repeat(np.arange(n_steps), np.diff(steps.offsets))
        order = np.lexsort((step, steps.items))
        step, item = step[order], steps.items[order]
        halves = np.asarray(half_lives, np.float64)
        follows = np.zeros(len(step), bool)
        follows[1:] = (item[1:] == item[:-1]) & (starts[step[1:]] == starts[step[:-1]])
        counts = np.ones((len(step), len(halves)))
        run_starts = np.flatnonzero(~follows)
        place = np.arange(len(step)) - np.repeat(run_starts, np.diff(np.append(run_starts, len(step))))
        by_place = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[by_place], np.arange(1, place.max(initial=0) + 2))
        for first, last in pairwise(ends):
            events = by_place[first:last]
            since = steps.days[step[events - 1]] - steps.days[step[events]]
            counts[events] += counts[events - 1] * np.exp2(-since[:, None] / halves)
        asked = np.append(steps.days[1:], 0).astype(np.float32)
        asked[steps.sequences[1:][np.diff(steps.sequences) > 0] - 1] = 0
        keys = item * (n_steps + 1) + step
        return cls(steps, halves, keys, counts.astype(np.float32), asked, starts)

    def features(self, steps: np.ndarray, items: np.ndarray) -> np.ndarray:
        """What the customer of each step thinks of each item at the moment after it; zeros where never had."""
        width = len(self.asked) + 1
        place = np.searchsorted(self.keys, items * width + steps, side="right") - 1
        found = np.maximum(place, 0)
        last = self.keys[found] % width
        had = (place >= 0) & (self.keys[found] // width == items) & (last >= self.starts[steps])
        since = self.steps.days[np.where(had, last, 0)] - self.asked[steps]
        counts = self.counts[found] * np.exp2(-since[:, None] / self.half_lives)
        return np.where(had[:, None], _described(counts), 0).astype(np.float32)

    def owned(self, batch: Batch, wanted: np.ndarray) -> Owned:
        """All pairs of a batch's steps and `wanted` items (a mask over items) that the customer had by then."""
        firsts = np.cumsum(np.append(0, self._row_lengths(batch)))[:-1]
        first_steps, last_steps = batch.steps[firsts], batch.steps[batch.lasts]
        starts = self.steps.offsets[self.starts[first_steps]]
        events, rows, _ = spans(starts, self.steps.offsets[last_steps + 1] - starts)
        items = self.steps.items[events]
        useful = wanted[items]
        pairs = np.unique(rows[useful] * len(wanted) + items[useful])
        rows, items = pairs // len(wanted), pairs % len(wanted)
        steps, pair, _ = spans(firsts[rows], self._row_lengths(batch)[rows])
        features = self.features(batch.steps[steps], items[pair])
        had = features[:, 0] > 0
        return Owned(steps[had], items[pair][had], features[had])

    def _row_lengths(self, batch: Batch) -> np.ndarray:
        return np.diff(np.append(-1, batch.lasts))


def _described(counts: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(counts)), np.log1p(counts)])


def habits_of(histories: Histories, codes: np.ndarray, half_lives: Sequence[float]) -> Owned:
    """The same for queries: `steps` are query rows, asked now."""
    known = histories.items < len(codes)
    known[known] = codes[histories.items[known]] >= 0
    n_items = int(codes.max(initial=0)) + 1
    keys = histories.rows()[known] * n_items + codes[histories.items[known]]
    pairs, pair = np.unique(keys, return_inverse=True)
    days = histories.days_ago[known].astype(np.float64)
    counts = [np.bincount(pair, np.exp2(-days / half), minlength=len(pairs)) for half in half_lives]
    features = _described(np.column_stack(counts)) if len(pairs) else np.empty((0, 1 + len(half_lives)))
    return Owned(pairs // n_items, pairs % n_items, features.astype(np.float32))
