"""Why an item is recommended, in words that stand the test: without what the reason names, it scores less.

Each item's possible reasons are tried in order: bought before, often bought with something in the
history, popular in a category the customer buys, the history as a whole. What a reason names is taken
out of the history and the item is scored again; the first reason whose loss lowers the score is
given. Where nothing in the history matters, the item's popularity is the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from components.recommendation.catalogue import Catalogue
from components.recommendation.histories import Histories
from components.recommendation.scoring import Scorer
from components.recommendation.statistics import Statistics

CONTEXT = 60  # rivals beside which an item is scored again: enough for ranks, cheap enough for a request
NEW_DAYS = 28.0


class Kind(IntEnum):
    """What a reason names, in the order in which reasons are tried."""

    OWN = 0
    TOGETHER = 1
    CATEGORY = 2
    HISTORY = 3
    POPULAR = 4


@dataclass(frozen=True, slots=True)
class Reason:
    """`companion` is the item that a TOGETHER reason names, else -1."""

    kind: Kind
    companion: int = -1


@dataclass(frozen=True, slots=True)
class Ranking:
    """One query's candidates, best first, with what they were scored from."""

    items: np.ndarray
    scores: np.ndarray
    members: np.ndarray
    features: np.ndarray

    def best(self, n: int) -> Ranking:
        """The first `n`."""
        return Ranking(self.items[:n], self.scores[:n], self.members[:n], self.features[:n])


def evidence(history: Histories, item: int, reason: Reason, statistics: Statistics) -> np.ndarray:
    """Which events of one query's history a reason names, (n_events,) bool."""
    if reason.kind == Kind.OWN:
        return history.items == item
    if reason.kind == Kind.TOGETHER:
        return history.items == reason.companion
    if reason.kind == Kind.CATEGORY:
        return statistics.category[history.items] == statistics.category[item]
    return np.full(len(history.items), reason.kind == Kind.HISTORY)


def without(history: Histories, events: np.ndarray) -> Histories:
    """One query's history, once per row of `events` (n, n_events) bool, less the events of that row."""
    rows, columns = np.nonzero(~events)
    offsets = np.searchsorted(rows, np.arange(len(events) + 1))
    return Histories(
        offsets,
        history.items[columns],
        history.days_ago[columns],
        history.weights[columns],
        history.baskets[columns],
    )


def explain(history: Histories, ranking: Ranking, items: np.ndarray, scorer: Scorer) -> list[Reason]:
    """The reason of each of `items`, which must be among the ranking's; one batch of scoring in all."""
    tried = _possible(history, items, scorer.statistics)
    if not tried:
        return [Reason(Kind.POPULAR)] * len(items)
    given = dict.fromkeys(items.tolist(), Reason(Kind.POPULAR))
    drops = lowered(history, ranking, tried, scorer)
    for (item, reason), drop in reversed(list(zip(tried, drops, strict=True))):
        if drop:
            given[item] = reason
    return list(given.values())


def lowered(history: Histories, ranking: Ranking, cases: list[tuple[int, Reason]], scorer: Scorer) -> np.ndarray:
    """Whether each item scores less without what its reason names, (n_cases,) bool.

    The rivals keep what they had, so that one pair per case is scored instead of the whole pool.
    """
    targets = np.array([item for item, _ in cases], np.int32)
    events = np.stack([evidence(history, item, reason, scorer.statistics) for item, reason in cases])
    alone = np.arange(len(cases) + 1)
    members, features = scorer.inputs(without(history, events), alone, targets)
    group, place = _rivals(ranking, targets)
    before = scorer.combine(group.members, group.features, np.array([0, len(group.items)]))[place]
    many = np.tile(group.members, (len(cases), 1)), np.tile(group.features, (len(cases), 1))
    rows = alone[:-1] * len(group.items) + place
    many[0][rows], many[1][rows] = members, features
    after = scorer.combine(*many, alone * len(group.items))[rows]
    return ~(after >= before - 1e-9)  # NaN: a score that is gone is a lower score


def _possible(history: Histories, items: np.ndarray, statistics: Statistics) -> list[tuple[int, Reason]]:
    """Reasons that name something in the history, each item's in the order in which they are tried."""
    if len(history.items) == 0:
        return []
    bought = set(history.items.tolist())
    categories = set(statistics.category[history.items].tolist()) - {0}
    found = []
    for item, companion in zip(items.tolist(), companions(history, items, statistics).tolist(), strict=True):
        found += [(item, Reason(Kind.OWN))] if item in bought else []
        found += [(item, Reason(Kind.TOGETHER, companion))] if companion >= 0 else []
        found += [(item, Reason(Kind.CATEGORY))] if int(statistics.category[item]) in categories else []
        found.append((item, Reason(Kind.HISTORY)))
    return found


def companions(history: Histories, items: np.ndarray, statistics: Statistics) -> np.ndarray:
    """Of each item, the one in the history that calls it most by likeness and recency; -1 = none does."""
    own, where = np.unique(history.items, return_inverse=True)
    recency = np.bincount(where, history.weights * np.exp2(-history.days_ago / 30.0))
    starts, stops = statistics.neighbours_indptr[own], statistics.neighbours_indptr[own + 1]
    lengths = stops - starts
    flat = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(lengths.sum())
    called, caller = statistics.neighbours_indices[flat], np.repeat(np.arange(len(own)), lengths)
    pull = statistics.neighbours_data[flat] * recency[caller]
    found = np.full(len(items), -1)
    for place, item in enumerate(items):
        calls = np.flatnonzero((called == item) & (own[caller] != item))
        if len(calls):
            found[place] = own[caller[calls[np.argmax(pull[calls])]]]
    return found


def _rivals(ranking: Ranking, targets: np.ndarray) -> tuple[Ranking, np.ndarray]:
    """The best of the ranking and the targets, and each target's place among them."""
    kept = np.arange(len(ranking.items)) < CONTEXT
    kept |= np.isin(ranking.items, targets)
    group = Ranking(ranking.items[kept], ranking.scores[kept], ranking.members[kept], ranking.features[kept])
    order = np.argsort(group.items)
    return group, order[np.searchsorted(group.items, targets, sorter=order)]


def words(history: Histories, item: int, reason: Reason, catalogue: Catalogue, statistics: Statistics) -> str:
    """A reason as a customer would read it; days are counted back from the end of the release's data."""
    if reason.kind == Kind.OWN:
        return _rhythm(history, item)
    if reason.kind == Kind.TOGETHER:
        return f"often bought with {catalogue.titles[reason.companion]}"
    if reason.kind == Kind.CATEGORY:
        return f"popular in {catalogue.categories[item]}, which you buy"
    if reason.kind == Kind.HISTORY:
        return "fits what you usually buy"
    if 0 <= statistics.age_days[item] <= NEW_DAYS:
        return "new in the shop"
    return "popular this month" if statistics.popularity[item] > 0 else "from the catalogue"


def _rhythm(history: Histories, item: int) -> str:
    own = history.items == item
    bought = history.days_ago[own & (history.weights >= 1)]
    if len(bought) == 0:
        return f"looked at {_ago(float(history.days_ago[own].min()))}"
    last = _ago(float(bought.min()))
    if len(bought) == 1:
        return f"bought {last}"
    if len(bought) == 2:
        return f"bought twice, last {last}"
    every = round(float(bought.max() - bought.min()) / (len(bought) - 1))
    return f"bought every {f'{every} days' if every > 1 else 'day'}, last {last}"


def _ago(days: float) -> str:
    whole = round(days)
    return "today" if whole == 0 else "1 day ago" if whole == 1 else f"{whole} days ago"
