"""Repeats: what was bought how often, and the past of each late basket."""

from __future__ import annotations

import numpy as np
import pytest

from components.recommendation.features.histories import Histories
from components.recommendation.repeats import Repeats, by_item, item_gaps, last_baskets


@pytest.fixture
def histories() -> Histories:
    """Query 0: item 3, then items 3 and 1, then item 3; query 1: nothing; query 2: item 0 once."""
    return Histories(
        np.array([0, 4, 4, 5]),
        np.array([3, 1, 3, 3, 0], np.int32),
        np.array([30, 20, 20, 5, 7], np.float32),
        np.ones(5, np.float32),
        np.array([0, 1, 1, 2, 0], np.int32),
    )


def test_counts_and_days_per_query_and_item(histories: Histories) -> None:
    repeats = Repeats.of(histories, 4, half_life_days=10)
    assert repeats.rows.tolist() == [0, 0, 2]
    assert repeats.items.tolist() == [1, 3, 0]
    assert repeats.counts.tolist() == [1, 3, 1]
    assert repeats.first_days_ago.tolist() == [20, 30, 7]
    assert repeats.last_days_ago.tolist() == [20, 5, 7]
    assert repeats.decayed == pytest.approx([2**-2, 2**-3 + 2**-2 + 2**-0.5, 2**-0.7])


def test_unknown_items_are_left_out(histories: Histories) -> None:
    assert Repeats.of(histories, 3, 10).items.tolist() == [1, 0]
    assert Repeats.of(histories.part(1, 2), 3, 10).keys.tolist() == []


def test_ordering_by_item_first_changes_nothing(histories: Histories) -> None:
    plain, ordered = Repeats.of(histories, 4, 10), Repeats.of(by_item(histories), 4, 10)
    assert ordered.keys.tolist() == plain.keys.tolist()
    assert ordered.decayed == pytest.approx(plain.decayed)


def test_gaps_are_shrunk_to_item_and_then_to_all(histories: Histories) -> None:
    repeats = Repeats.of(histories, 4, 10)
    # One gap history: item 3 after 10 and 15 days, so 12.5 for all; other items have nothing else to go by.
    gaps = item_gaps(repeats, 4, prior=2)
    assert gaps == pytest.approx([12.5, 12.5, 12.5, (25 + 2 * 12.5) / (2 + 2)])
    assert repeats.mean_gaps(1, 8.0) == pytest.approx([8, (25 + 8) / 3, 8])


def test_each_late_basket_has_its_own_past(histories: Histories) -> None:
    (before_last, last), (before_second, second) = last_baskets(histories, 2)
    assert last.items.tolist() == [3, 0]
    assert before_last.offsets.tolist() == [0, 3, 3, 3]  # query 2 had nothing before its only basket
    assert before_last.days_ago.tolist() == [25, 15, 15]
    assert second.items.tolist() == [1, 3]
    assert before_second.items.tolist() == [3]
    assert before_second.days_ago.tolist() == [10]
