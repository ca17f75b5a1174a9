"""What is drawn follows the propensities that are logged, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from components.core.errors import ParamsError
from components.core.params import parse
from components.recommendation.answer.ask import Item
from components.recommendation.answer.exploration import Exploration, explored

SHARES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
POLICIES = st.builds(Exploration, share=SHARES, depth=st.integers(1, 15), shuffle_share=SHARES)


def ranked(n: int) -> list[Item]:
    return [
        Item(f"p{rank}", f"Product {rank}", None, -rank, "single", "", "own", [], rank + 1, 1.0) for rank in range(n)
    ]


@given(policy=POLICIES, n=st.integers(1, 15), m=st.integers(0, 15))
def test_the_chances_of_a_position_sum_to_one(policy: Exploration, n: int, m: int) -> None:
    chances = [[policy.propensity(rank, place, n, m) for rank in range(n + m)] for place in range(n)]
    np.testing.assert_allclose(np.sum(chances, axis=1), 1.0)
    assert np.min(chances) >= 0


@given(policy=POLICIES, n=st.integers(1, 15), m=st.integers(0, 15), seed=st.integers(0, 2**64))
def test_what_is_drawn_was_possible_and_comes_once(policy: Exploration, n: int, m: int, seed: int) -> None:
    drawn = policy.draw(n, m, seed)
    assert len(drawn) == len(set(drawn)) == n
    assert set(drawn) <= set(range(n + m))
    assert all(policy.propensity(rank, place, n, m) > 0 for place, rank in enumerate(drawn))
    assert drawn == policy.draw(n, m, seed)


@pytest.mark.parametrize(
    ("share", "shuffle_share", "n", "m"),
    [
        (0.05, 0.0, 10, 10),
        (0.3, 0.25, 4, 6),
        (0.5, 1.0, 3, 3),
        (0.4, 0.1, 5, 2),  # fewer below the list than slots: too many marks, and nothing is explored
        (0.7, 0.3, 4, 1),
        (0.6, 0.5, 3, 0),  # nothing below the list: the shuffle alone
        (1.0, 0.2, 3, 5),
        (0.0, 0.4, 5, 7),
    ],
)
def test_propensities_are_the_frequencies(share: float, shuffle_share: float, n: int, m: int) -> None:
    policy, draws = Exploration(share=share, depth=max(m, 1), shuffle_share=shuffle_share), 20_000
    counts = np.zeros((n, n + m))
    for seed in range(draws):
        counts[np.arange(n), policy.draw(n, m, seed)] += 1
    expected = draws * np.array([[policy.propensity(rank, place, n, m) for rank in range(n + m)] for place in range(n)])
    assert (counts[expected == 0] == 0).all()
    for place in range(n):
        possible = expected[place] > 0
        if possible.sum() > 1:
            assert stats.chisquare(counts[place, possible], expected[place, possible]).pvalue > 1e-3
        else:
            assert counts[place, possible] == draws


def test_the_share_of_explored_slots_is_what_was_asked_for() -> None:
    policy = Exploration(share=0.05)
    drawn = np.array([policy.draw(10, 10, seed) for seed in range(5_000)])
    low, high = stats.binom.interval(0.999, drawn.size, 0.05)
    assert low <= (drawn >= 10).sum() <= high


def test_a_shown_item_says_where_it_stands_and_how_likely_that_was() -> None:
    policy, items = Exploration(share=0.5, depth=4, shuffle_share=0.5), ranked(9)
    for seed in range(50):
        shown = explored(items, 5, policy, seed)
        ranks = [int(item.product_id[1:]) for item in shown]
        assert ranks == policy.draw(5, 4, seed)
        assert [item.position for item in shown] == [1, 2, 3, 4, 5]
        assert [item.propensity for item in shown] == [policy.propensity(r, p, 5, 4) for p, r in enumerate(ranks)]


def test_what_is_not_explored_is_shown_as_ranked() -> None:
    items = ranked(9)
    assert explored(items, 5, Exploration(), 7) == items[:5]
    assert explored(items, 5, Exploration(share=1.0, shuffle_share=1.0), None) == items[:5]
    shown = explored(items[:5], 5, Exploration(share=1.0), 7)
    assert [(item.product_id, item.propensity) for item in shown] == [(item.product_id, 1.0) for item in items[:5]]
    assert explored(items[:2], 5, Exploration(share=0.5), 7) == items[:2]


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"depth": 0}, {"shuffle": 0.1}])
def test_params_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParamsError, match=next(iter(wrong))):
        parse(Exploration, wrong, "recommendation.exploration")
