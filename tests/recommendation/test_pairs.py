"""Candidates and pair features: by hand, and the same for one request as for a batch."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recommendation.features.histories import LISTS, Histories
from components.recommendation.features.pairs import FEATURES, PoolParams, candidate_items, pair_features
from components.recommendation.features.statistics import Statistics, strongest

N_ITEMS = 12
CATALOGUE = pl.DataFrame({
    "item": np.arange(N_ITEMS, dtype=np.int32),
    "title": [f"{'Milk' if code < 4 else 'Thing ' + str(code)}, {code} l" for code in range(N_ITEMS)],
    "category": ["dairy"] * 4 + ["other"] * 7 + [None],
    "department": ["food"] * N_ITEMS,
    "brand": ["own", "theirs"] * 6,
    "price": [1.0] * N_ITEMS,
    "active": [True] * 10 + [False] + [True],
})  # fmt: skip
TRAIN = pl.DataFrame(
    [
        (customer, customer * 10 + basket, item, 40.0 - 7 * basket, 1.0)
        for customer in range(6)
        for basket in range(5)
        for item in sorted({customer % 4, (customer + basket) % 10, 10})
    ],
    schema={"customer": pl.Int32, "basket": pl.Int32, "item": pl.Int32, "days_ago": pl.Float32, "weight": pl.Float32},
    orient="row",
)
STATISTICS = Statistics.fit(TRAIN, CATALOGUE, n_neighbours=4, min_support=1)


def history(*events: tuple[int, float, int]) -> Histories:
    """One query of (item, days_ago, basket)."""
    items, days, baskets = zip(*events, strict=True) if events else ((), (), ())
    return Histories(
        np.array([0, len(events)]), np.array(items, np.int32), np.array(days, np.float32),
        np.ones(len(events), np.float32), np.array(baskets, np.int32),
    )  # fmt: skip


def features(past: Histories, *items: int) -> dict[str, list[float]]:
    table = pair_features(past, np.array([0, len(items)]), np.array(items, np.int32), STATISTICS)
    return {name: table[:, column].tolist() for column, name in enumerate(FEATURES)}


def test_rhythm_worked_out_by_hand() -> None:
    found = features(history((1, 30.0, 0), (1, 20.0, 1), (2, 20.0, 1), (1, 14.0, 2)), 1, 2, 5)
    assert found["own_n"] == [3, 1, 0]
    assert found["own_last_days"][:2] == [14, 20] and np.isnan(found["own_last_days"][2])
    assert found["own_gap_days"][0] == 8 and np.isnan(found["own_gap_days"][1])
    assert found["own_last_gap_days"][0] == 6
    assert found["own_due"][0] == pytest.approx(14 / 8)
    assert found["own_share"] == pytest.approx([1, 1 / 3, 0])
    assert found["customer_baskets"] == [3, 3, 3]
    assert found["customer_gap_days"] == [8, 8, 8]


def test_groups_count_what_is_alike() -> None:
    found = features(history((1, 30.0, 0), (2, 20.0, 1), (5, 20.0, 1)), 1, 3, 6)
    assert found["category_n"] == [2, 2, 1], "milk is dairy, 5 is other"
    assert found["kind_n"] == [2, 2, 0], "sizes of milk are one kind"
    assert found["kind_loyalty"][:2] == [0.5, 0.0]


def test_candidates_hold_own_items_and_never_inactive_ones() -> None:
    _, items = candidate_items(history((9, 3.0, 0), (10, 3.0, 0)), STATISTICS, PoolParams(n_popular=2))
    assert 9 in items and 10 not in items
    assert (np.diff(items) > 0).all(), "ascending and unique"


def test_a_query_without_history_is_offered_what_sells() -> None:
    offsets, items = candidate_items(history(), STATISTICS, PoolParams(n_popular=3, n_newcomers=0))
    sellers = [code for code in np.argsort(-STATISTICS.popularity, kind="stable")[:3] if STATISTICS.active[code]]
    assert items.tolist() == sorted(sellers) and offsets.tolist() == [0, len(items)]


def test_everything_known_at_the_cutoff_and_nothing_else() -> None:
    assert STATISTICS.age_days[11] == -1, "never sold"
    assert STATISTICS.n_buyers[10] == 6 and STATISTICS.popularity[10] == STATISTICS.popularity.max()
    by_kind = STATISTICS.by_kind[STATISTICS.kind_starts[STATISTICS.kind[0]] :][:4]
    assert set(by_kind) == {0, 1, 2, 3} and (np.diff(STATISTICS.popularity[by_kind]) <= 0).all()


events = st.lists(st.tuples(st.integers(0, N_ITEMS - 1), st.floats(0.5, 90, width=32)), max_size=12)


def _past(rows: list[tuple[int, float]]) -> Histories:
    ordered = sorted(rows, key=lambda row: -row[1])
    return history(*[(item, days, place) for place, (item, days) in enumerate(ordered)])


@settings(max_examples=40, deadline=None)
@given(st.lists(events, min_size=1, max_size=4))
def test_a_batch_answers_as_each_request_alone(queries: list[list[tuple[int, float]]]) -> None:
    single = [_past(rows) for rows in queries]
    batch = Histories(
        np.concatenate([[0], np.cumsum([len(past.items) for past in single])]),
        *(np.concatenate([getattr(past, name) for past in single]) for name in LISTS),
    )  # fmt: skip
    params = PoolParams(n_popular=3, n_neighbours=3)
    offsets, items = candidate_items(batch, STATISTICS, params)
    table = pair_features(batch, offsets, items, STATISTICS)
    for place, past in enumerate(single):
        alone = candidate_items(past, STATISTICS, params)
        part = slice(offsets[place], offsets[place + 1])
        np.testing.assert_array_equal(items[part], alone[1])
        np.testing.assert_allclose(table[part], pair_features(past, *alone, STATISTICS), rtol=1e-5, atol=1e-6)


def test_strongest_keeps_the_largest_of_each_row() -> None:
    from scipy import sparse

    random = np.random.default_rng(0)
    dense = np.round(random.random((20, 15)), 1) * (random.random((20, 15)) < 0.6)
    kept = strongest(sparse.csr_matrix(dense), 4).toarray()
    for row, left in zip(dense, kept, strict=True):
        assert sorted(left[left > 0]) == sorted(row[row > 0])[-4:]
