"""Personal: decay, rhythm and what must not matter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recommendation.features.histories import Histories
from components.recommendation.models.personal import UNSEEN, Personal, PersonalParams

Purchases = list[tuple[int, int, int, float]]  # customer, basket, item, days ago


def table(rows: Purchases, weight: float = 1.0) -> pl.DataFrame:
    schema = {"customer": pl.Int32, "basket": pl.Int32, "item": pl.Int32, "days_ago": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(weight=pl.lit(weight, pl.Float32))


def scores(params: PersonalParams, train: pl.DataFrame, asked: pl.DataFrame | None = None) -> np.ndarray:
    histories, _ = Histories.from_train(train if asked is None else asked)
    return Personal(params).fit(train).scores(histories)


purchases = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 7), st.just(0.0)),
    min_size=1,
    max_size=40,
    unique=True,
).map(lambda rows: [(customer, customer * 6 + basket, item, 10.0 * (6 - basket)) for customer, basket, item, _ in rows])


def test_without_rhythm_it_is_decayed_frequency() -> None:
    train = table([(0, 0, 2, 20.0), (0, 1, 2, 10.0), (0, 1, 0, 10.0)])
    found = scores(PersonalParams(half_life_days=10, rhythm=0, loyalty_baskets=0), train)[0]
    assert found[[0, 2]] == pytest.approx([0.5, 0.75], abs=2 * UNSEEN)
    assert found[1] == 0


def test_own_items_precede_all_others_and_popularity_orders_these() -> None:
    old = [(0, 0, 5, 600.0)]
    crowd = [(customer, customer, item, 1.0) for customer in range(1, 9) for item in range(min(customer, 4))]
    order = np.argsort(-scores(PersonalParams(half_life_days=60), table(old + crowd))[0])
    assert order.tolist() == [5, 0, 1, 2, 3, 4]


def test_what_was_popular_lately_precedes_what_was_popular_once() -> None:
    lately, once = [(1, 10, 4, 1.0), (2, 20, 4, 1.0)], [(who, who, 3, 300.0) for who in (3, 4, 5)]
    found = scores(PersonalParams(), table([(0, 0, 5, 9.0), *lately, *once]))[0]
    assert found[5] > found[4] > found[3] > found[0] == 0


def test_what_is_due_precedes_what_was_just_bought() -> None:
    """Equal frequency and rhythm, but item 1 was bought yesterday and item 0 is about to run out."""
    every_thirty = [(0, basket, 0, 30.0 * (4 - basket)) for basket in range(4)]
    bought_yesterday = [(0, 10 + basket, 1, 30.0 * (4 - basket) - 29) for basket in range(4)]
    train = table(every_thirty + bought_yesterday)
    with_rhythm = scores(PersonalParams(half_life_days=1e6, rhythm=0.5, loyalty_baskets=0), train)[0]
    without = scores(PersonalParams(half_life_days=1e6, rhythm=0, loyalty_baskets=0), train)[0]
    assert with_rhythm[0] > with_rhythm[1]
    assert without[0] == pytest.approx(without[1], rel=1e-3)


def test_what_is_readily_rebought_precedes_what_is_bought_once() -> None:
    """Everybody buys item 0 each week and items 10, 11, ... once; a new customer bought 0 and 10 once, alike."""
    rows = [
        (who, 10 * who + week, item, 7.0 * (6 - week))
        for who in range(8)
        for week in range(6)
        for item in (0, 10 + week)
    ]
    asked = table([(50, 0, 0, 7.0), (50, 0, 10, 7.0)])
    params = PersonalParams(rhythm=0, loyalty_prior=5)
    found = scores(params, table(rows), asked)[0]
    assert found[0] > 1.5 * found[10]
    off = scores(params.model_copy(update={"loyalty_baskets": 0}), table(rows), asked)[0]
    assert off[0] == off[10]


def test_loyalty_is_bought_against_expected() -> None:
    """Two customers, one judged basket each, no decay: item 0 was bought of 2, item 1 by none of 2."""
    rows = [(who, 10 * who + basket, item, 2.0 - basket) for who in (0, 1) for basket, item in ((0, 0), (0, 1), (1, 0))]
    model = Personal(PersonalParams(half_life_days=1e9, loyalty_baskets=1, loyalty_prior=2)).fit(table(rows))
    # Exposure 2 and 2, bought 2 and 0, so half of all exposure is bought: (2 + 2) / (1 + 2), (0 + 2) / (1 + 2).
    assert model._fitted()["loyalty"] == pytest.approx([4 / 3, 2 / 3])


def test_chosen_items_score_as_in_the_whole_catalogue(checkerboard, queries_of: Callable) -> None:
    train, queries = checkerboard
    model = Personal().fit(train)
    dense = model.scores(Histories.from_frame(queries))
    answer = model.predict(queries)
    assert answer["score"].to_numpy() == pytest.approx(dense.ravel())


@given(rows=purchases, weight=st.sampled_from([0.25, 2.0, 8.0]))
@settings(max_examples=30, deadline=None)
def test_scaling_all_weights_changes_no_order(rows: Purchases, weight: float) -> None:
    params = PersonalParams(half_life_days=30, rhythm=0.3, loyalty_baskets=0)
    once, scaled = scores(params, table(rows)), scores(params, table(rows, weight))
    own = once > UNSEEN
    assert ((scaled > UNSEEN) == own).all()
    assert (scaled[own] - UNSEEN) == pytest.approx(weight * (once[own] - UNSEEN), rel=1e-3, abs=1e-6)


@given(rows=purchases)
@settings(max_examples=30, deadline=None)
def test_unrelated_customer_changes_no_own_score(rows: Purchases) -> None:
    """Without rhythm and loyalty nothing is shared, except the order of what the customer never bought."""
    params = PersonalParams(half_life_days=30, rhythm=0, loyalty_baskets=0)
    stranger = [(99, 990, 7, 3.0), (99, 991, 6, 2.0)]
    alone, beside = scores(params, table(rows)), scores(params, table(rows + stranger), table(rows))
    own = alone > UNSEEN
    assert (beside[:, : alone.shape[1]][own] == alone[own]).all()
