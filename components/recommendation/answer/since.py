"""Histories that go on after the release's data ended, as featurise would write them from the same purchases.

A release's own history counts its days back from the end of its data. Where nothing came since, it is left so, and
the prepared answer stands; with purchases since, all days are counted back from the moment of asking.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter

import numpy as np

from components.recommendation.answer.ask import Ask, Since
from components.recommendation.features.histories import Histories

DAY = 86_400.0


def settled(ask: Ask, as_of: datetime, known: Container[str]) -> Ask:
    """The ask with what makes a difference alone, so that equal questions are equal.

    Purchases before `as_of` are in the release's history already, whichever way they came. The moment of asking is
    that of the last full hour or of the last purchase, whichever is later, so that an answer is remembered for an hour
    at most and never beyond the customer's next purchase. A purchase of a clock that is ahead counts as made just now.
    """
    since = tuple(event for event in ask.since if event.at >= as_of and event.product_id in known)
    if not since:
        return ask if not ask.since and ask.at is None else replace(ask, since=(), at=None)
    now = ask.at or max(event.at for event in since)
    hour = now.replace(minute=0, second=0, microsecond=0)
    return replace(ask, since=since, at=max([hour, *(event.at for event in since if event.at <= now)]))


def extended(past: Histories, ask: Ask, as_of: datetime, code_of: Mapping[str, int], most: int) -> Histories:
    """One query's history and what a settled ask adds to it, the latest `most` events."""
    if ask.at is None:
        return past
    aged = replace(past, days_ago=past.days_ago + np.float32((ask.at - as_of).total_seconds() / DAY))
    return _latest(followed_by(aged, _baskets(ask.since, ask.at, code_of)), most)


def followed_by(past: Histories, later: Histories) -> Histories:
    """One query's history with later baskets after it."""
    basket = past.baskets.max(initial=-1) + 1
    return Histories(
        past.offsets + np.array([0, len(later.items)]),
        np.concatenate([past.items, later.items]),
        np.concatenate([past.days_ago, later.days_ago]),
        np.concatenate([past.weights, later.weights]),
        np.concatenate([past.baskets, later.baskets + basket]),
    )


def _baskets(since: tuple[Since, ...], at: datetime, code_of: Mapping[str, int]) -> Histories:
    """Purchases as a history: one event per basket and product, and a basket happens when its last line does."""
    times: dict[str, datetime] = {}
    for event in since:
        times[event.basket] = max(event.at, times.get(event.basket, event.at))
    lines = sorted({(times[event.basket], event.basket, code_of[event.product_id]) for event in since})
    baskets = [number for number, (_, group) in enumerate(groupby(lines, itemgetter(1))) for _ in group]
    days = [max(0.0, (at - when).total_seconds() / DAY) for when, _, _ in lines]
    return Histories(
        np.array([0, len(lines)]),
        np.array([code for _, _, code in lines], np.int32),
        np.array(days, np.float32),
        np.ones(len(lines), np.float32),
        np.array(baskets, np.int32),
    )


def _latest(history: Histories, most: int) -> Histories:
    """The last `most` events of one query, baskets numbered from 0."""
    if len(history.items) <= most:
        return history
    kept = slice(len(history.items) - most, None)
    baskets = history.baskets[kept] - history.baskets[kept][0]
    return Histories(np.array([0, most]), history.items[kept], history.days_ago[kept], history.weights[kept], baskets)
