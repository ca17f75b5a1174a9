"""Why an item is recommended, in words that stand the test: without what the reason names, it scores less.

Each item's possible reasons are tried in order: bought before, often bought with something in the
history, popular in a category the customer buys, the history as a whole. What a reason names is
taken out of the history and the item is scored again; the first reason whose loss lowers the score
is given. Where nothing in the history matters, the item's popularity is the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from components.recommendation.answer.catalogue import Catalogue
from components.recommendation.answer.scoring import Scorer
from components.recommendation.features.histories import Histories
from components.recommendation.features.statistics import Statistics

CONTEXT = 40  # rivals beside which an item is scored again: enough for ranks, cheap enough for a request
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


OWN = Reason(Kind.OWN)


@dataclass(frozen=True, slots=True)
class Ranking:
    """One query's candidates, best first, with what they were scored from."""

    items: np.ndarray
    scores: np.ndarray
    members: np.ndarray
    features: np.ndarray


@dataclass(frozen=True, slots=True)
class Past:
    """One query: its history, its ranking, and those items of the ranking that need a reason."""

    history: Histories
    ranking: Ranking
    items: np.ndarray


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
    """One query's history less `events` (n_events,) bool."""
    kept = ~events
    columns = (history.items, history.days_ago, history.weights, history.baskets)
    return Histories(np.array([0, np.count_nonzero(kept)]), *[column[kept] for column in columns])


def joined(histories: Sequence[Histories]) -> Histories:
    """Several queries as one batch, in their order."""
    ends = np.cumsum([0, *(len(each.items) for each in histories)])
    offsets = [each.offsets[1:] - each.offsets[0] + end for each, end in zip(histories, ends[:-1], strict=True)]
    names = ("items", "days_ago", "weights", "baskets")
    columns = [np.concatenate([getattr(each, name) for each in histories]) for name in names]
    return Histories(np.concatenate([[0], *offsets]), *columns)


def explain(past: Sequence[Past], scorer: Scorer, own_holds: bool = False) -> list[list[Reason]]:
    """The reasons of every query's `items`, in their order; few batches of scoring for all of them.

    An item whose first reason does not hold goes into the next round with its next one. A single
    query tries all at once: for a request, rounds cost more than cases.
    `own_holds` says that an item bought before needs no trying (see `holds`): on the default data
    this is the reason of nine items in ten, and it held in all of 199 sampled cases.
    """
    statistics = scorer.statistics
    left = {(number, item): reasons for number, one in enumerate(past) for item, reasons in _possible(one, statistics)}
    given = dict.fromkeys(left, OWN)
    left = {key: reasons for key, reasons in left.items() if not (own_holds and OWN in reasons)}
    given |= dict.fromkeys(left, Reason(Kind.POPULAR))
    while left := {key: reasons for key, reasons in left.items() if reasons}:
        width = None if len(past) == 1 else 1
        cases = [(*key, reason) for key, reasons in left.items() for reason in reasons[:width]]
        left = {key: reasons[width:] if width else [] for key, reasons in left.items()}
        for (number, item, reason), drop in zip(cases, lowered(past, cases, scorer), strict=True):
            if drop and given[number, item].kind == Kind.POPULAR:
                given[number, item] = reason
                left[number, item] = []
    return [[given[number, item] for item in one.items.tolist()] for number, one in enumerate(past)]


def holds(past: Sequence[Past], scorer: Scorer) -> bool:
    """Whether having bought an item lifts its score in at least 95 % of the cases found here."""
    bought = [(number, np.intersect1d(one.items, one.history.items).tolist()) for number, one in enumerate(past)]
    cases = [(number, item, OWN) for number, items in bought for item in items]
    return bool(cases) and float(lowered(past, cases, scorer).mean()) >= 0.95


def lowered(past: Sequence[Past], cases: Sequence[tuple[int, int, Reason]], scorer: Scorer) -> np.ndarray:
    """Whether each (query, item, reason) scores less without what its reason names, (n_cases,) bool.

    The item's rivals keep what they had, so that one pair per case is scored instead of the whole pool.
    """
    members, features = _scored_without(past, cases, scorer)
    groups = {number: _rivals(past[number]) for number in {number for number, _, _ in cases}}
    before = {
        number: scorer.combine(group[1], group[2], np.array([0, len(group[0])])) for number, group in groups.items()
    }
    sizes = [len(groups[number][0]) for number, _, _ in cases]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    places = np.array([int(np.flatnonzero(groups[number][0] == item)[0]) for number, item, _ in cases])
    rivals = [np.concatenate([groups[number][part] for number, _, _ in cases]) for part in (1, 2)]
    rivals[0][starts[:-1] + places], rivals[1][starts[:-1] + places] = members, features
    after = scorer.combine(rivals[0], rivals[1], starts)[starts[:-1] + places]
    then = np.array([before[number][place] for (number, _, _), place in zip(cases, places, strict=True)])
    return ~(after >= then - 1e-9)  # NaN: a score that is gone is a lower score


def _scored_without(
    past: Sequence[Past], cases: Sequence[tuple[int, int, Reason]], scorer: Scorer
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of each case's item after its deletion; cases that delete the same share one history."""
    named = [evidence(past[number].history, item, reason, scorer.statistics) for number, item, reason in cases]
    deletions = [(number, events.tobytes()) for (number, _, _), events in zip(cases, named, strict=True)]
    order = sorted(range(len(cases)), key=deletions.__getitem__)
    firsts = [place for place, case in enumerate(order) if place == 0 or deletions[case] != deletions[order[place - 1]]]
    histories = [without(past[cases[order[place]][0]].history, named[order[place]]) for place in firsts]
    items = np.array([cases[case][1] for case in order], np.int32)
    offsets = np.array([*firsts, len(order)])
    members, features = scorer.inputs(joined(histories), offsets, items)
    back = np.argsort(order)
    return members[back], features[back]


def _rivals(one: Past) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best of a ranking and the items asked about: items, members, features."""
    ranking = one.ranking
    kept = np.arange(len(ranking.items)) < CONTEXT
    kept |= np.isin(ranking.items, one.items)
    return ranking.items[kept], ranking.members[kept], ranking.features[kept]


def _possible(one: Past, statistics: Statistics) -> list[tuple[int, list[Reason]]]:
    """Of each item, the reasons that name something in the history, in the order in which they are tried."""
    history, found = one.history, []
    bought = set(history.items.tolist())
    categories = set(statistics.category[history.items].tolist()) - {0}
    for item, companion in zip(one.items.tolist(), companions(history, one.items, statistics).tolist(), strict=True):
        reasons = [OWN] if item in bought else []
        reasons += [Reason(Kind.TOGETHER, companion)] if companion >= 0 else []
        reasons += [Reason(Kind.CATEGORY)] if int(statistics.category[item]) in categories else []
        reasons += [Reason(Kind.HISTORY)] if bought else []
        found.append((item, reasons))
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


def words(history: Histories, item: int, reason: Reason, catalogue: Catalogue, statistics: Statistics) -> str:
    """A reason as a customer would read it; days are those of the history."""
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
