"""What each query bought before: how often, since when and how lately, one entry per (query, item)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from components.recommendation.features.histories import Histories


@dataclass(frozen=True, slots=True)
class Repeats:
    """Arrays of equal length, ordered by `keys` = query * n_items + item.

    counts          events of the pair
    decayed         their weights, each halved every `half_life_days`
    first_days_ago  days since the first of them, last_days_ago since the last
    """

    keys: np.ndarray
    rows: np.ndarray
    items: np.ndarray
    counts: np.ndarray
    decayed: np.ndarray
    first_days_ago: np.ndarray
    last_days_ago: np.ndarray

    @classmethod
    def of(cls, histories: Histories, n_items: int, half_life_days: float) -> Self:
        """Unknown items (code >= n_items) are left out."""
        known = np.flatnonzero(histories.items < n_items)
        events = histories.rows()[known] * n_items + histories.items[known]
        if np.any(events[1:] < events[:-1]):
            order = np.argsort(events, kind="stable")
            known, events = known[order], events[order]
        starts = np.flatnonzero(np.concatenate([[True], events[1:] != events[:-1]])) if len(events) else known
        counts, keys = np.diff(np.append(starts, len(events))), events[starts]
        days = histories.days_ago[known].astype(np.float64)
        values = histories.weights[known] * np.exp2(-days / half_life_days)
        decayed, first, last = (
            _reduced(np.add, values, starts),
            _reduced(np.maximum, days, starts),
            _reduced(np.minimum, days, starts),
        )
        return cls(keys, keys // n_items, keys % n_items, counts, decayed, first, last)

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of `keys` that occur here: in `keys`, and in these arrays."""
        places = np.searchsorted(self.keys, keys)
        inside = np.flatnonzero(places < len(self.keys))
        found = inside[self.keys[places[inside]] == keys[inside]]
        return found, places[found]

    def mean_gaps(self, prior: float, expected: np.ndarray | float) -> np.ndarray:
        """Mean days between purchases of each pair, shrunk towards `expected` as if `prior` gaps had been that long."""
        days = self.first_days_ago - self.last_days_ago
        shrunk: np.ndarray = (days + prior * expected) / (self.counts - 1 + prior)
        return shrunk


def by_item(histories: Histories) -> Histories:
    """The same events ordered by item within each query: `Repeats.of` it, or of a part of it, needs no sorting."""
    order = np.lexsort((histories.items, histories.rows()))
    events = (values[order] for values in (histories.items, histories.days_ago, histories.weights, histories.baskets))
    return Histories(histories.offsets, *events)


def item_gaps(repeats: Repeats, n_items: int, prior: float) -> np.ndarray:
    """Mean days between a customer's purchases of each item, shrunk to the mean of all items, (n_items,)."""
    days = np.bincount(repeats.items, repeats.first_days_ago - repeats.last_days_ago, n_items)
    gaps = np.bincount(repeats.items, repeats.counts - 1, n_items)
    overall = days.sum() / max(gaps.sum(), 1.0)
    shrunk: np.ndarray = (days + prior * overall) / (gaps + prior)
    return shrunk


def last_baskets(histories: Histories, n: int) -> Iterator[tuple[Histories, Histories]]:
    """What came before, and what was in, each query's last, second last, ... `n`-th last basket.

    Days are counted back from that basket. Queries with fewer baskets give empty rows.
    """
    rows = histories.rows()
    n_baskets = np.zeros(len(histories), np.int64)
    np.maximum.at(n_baskets, rows, histories.baskets + 1)
    for back in range(1, n + 1):
        target = (n_baskets - back)[rows]
        now = np.zeros(len(histories))
        np.maximum.at(now, rows[histories.baskets == target], histories.days_ago[histories.baskets == target])
        yield _chosen(histories, histories.baskets < target, now), _chosen(histories, histories.baskets == target, now)


def _chosen(histories: Histories, chosen: np.ndarray, now: np.ndarray) -> Histories:
    rows = histories.rows()[chosen]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(histories)))])
    days = np.maximum(histories.days_ago[chosen] - now[rows], 0).astype(np.float32)
    return Histories(offsets, histories.items[chosen], days, histories.weights[chosen], histories.baskets[chosen])


def _reduced(reduce: np.ufunc, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    result: np.ndarray = reduce.reduceat(values, starts) if len(starts) else np.zeros(0)
    return result
