"""Nearest sessions against the same arithmetic written as plain loops."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recommendation.features.histories import Histories
from components.recommendation.models import session_knn
from components.recommendation.models.session_knn import SessionKnn, SessionKnnParams

N_ITEMS = 6


def train_of(sessions: list[list[int]]) -> pl.DataFrame:
    """One basket per session, one event a day, the last session the latest."""
    rows = [(number, item) for number, items in enumerate(sessions) for item in items]
    return pl.DataFrame(
        {
            "customer": [number for number, _ in rows],
            "basket": [number for number, _ in rows],
            "item": [item for _, item in rows],
            "days_ago": np.arange(len(rows), 0, -1, dtype=np.float32),
            "weight": np.ones(len(rows), np.float32),
        },
        schema_overrides={"customer": pl.Int32, "basket": pl.Int32, "item": pl.Int32},
    )


def by_loops(sessions: list[list[int]], query: list[int], params: SessionKnnParams) -> dict[int, float]:
    """Votes per item, without a single array."""
    events = sum(map(len, sessions))
    ends = np.cumsum([len(items) for items in sessions])
    query = [item for item in query if item <= max(map(max, sessions))]  # unheard-of items take no place
    distinct = [item for place, item in enumerate(query) if item not in query[place + 1 :]][-params.length :]
    ranks = {item: len(distinct) - 1 - place for place, item in enumerate(distinct)}
    neighbours = []
    for number in reversed(range(len(sessions))):
        shared = [item for item in ranks if item in sessions[number]]
        if not shared:
            continue
        likeness = sum(math.exp(-ranks[item] / params.query_decay) for item in shared)
        likeness /= len(sessions[number]) ** params.size_power
        if params.age_decay_days is not None:
            likeness *= math.exp(-(events - ends[number] + 1) / params.age_decay_days)
        nearest = min(shared, key=ranks.__getitem__)
        neighbours.append((likeness, number, sessions[number].index(nearest)))
    neighbours.sort(key=lambda found: -found[0])
    votes: dict[int, float] = {}
    for likeness, number, place in neighbours[: params.neighbours]:
        for other, item in enumerate(sessions[number]):
            distance = other - place
            near = math.exp(-abs(distance) / params.place_decay) if params.place_decay is not None else 1.0
            if not params.later_only or distance > 0:
                votes[item] = votes.get(item, 0.0) + likeness * near
    return votes


a_session = st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=4, unique=True)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(a_session, min_size=1, max_size=8),
    st.lists(st.integers(0, N_ITEMS - 1), max_size=5),
    st.sampled_from([None, 1.5]),
    st.sampled_from([None, 10.0]),
    st.booleans(),
)
def test_votes_are_those_of_plain_loops(
    sessions: list[list[int]], query: list[int], place: float | None, age: float | None, later: bool
) -> None:
    params = SessionKnnParams(neighbours=20, length=3, place_decay=place, age_decay_days=age, later_only=later)
    model = SessionKnn(params).fit(train_of(sessions))
    scores = model.scores(Histories.of_session(np.array(query, np.int32)))[0]
    expected = by_loops(sessions, query, params)
    found = {item: float(score) for item, score in enumerate(scores) if np.isfinite(score)}
    assert found == pytest.approx(expected, rel=1e-4)


def test_only_the_nearest_sessions_vote() -> None:
    sessions = [[0, 1, 4], [0, 1, 2], [1, 3]]  # the last two share as much, but are smaller or later
    model = SessionKnn(SessionKnnParams(neighbours=1)).fit(train_of(sessions))
    scores = model.scores(Histories.of_session(np.array([0, 1], np.int32)))[0]
    assert np.flatnonzero(np.isfinite(scores)).tolist() == [0, 1, 2]


def test_only_the_latest_sessions_of_an_item_are_looked_up() -> None:
    model = SessionKnn(SessionKnnParams(per_item=1)).fit(train_of([[0, 1], [0, 2]]))
    scores = model.scores(Histories.of_session(np.array([0], np.int32)))[0]
    assert np.flatnonzero(np.isfinite(scores)).tolist() == [0, 2]


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    sessions = [random.permutation(N_ITEMS)[:3].tolist() for _ in range(30)]
    model = SessionKnn().fit(train_of(sessions))
    offsets = np.array([0, 2, 2, 5, 6])
    zeros = np.zeros(6, np.float32)
    asked = Histories(offsets, np.array([0, 1, 2, 3, 4, 5], np.int32), zeros, zeros + 1, zeros.astype(np.int32))
    whole = model.scores(asked)
    monkeypatch.setattr(session_knn, "MATCHES", 1)
    np.testing.assert_array_equal(model.scores(asked), whole)
    assert np.isnan(whole[1]).all()
