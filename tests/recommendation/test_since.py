"""Purchases after the release's data ended make the same history that featurise would have made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recommendation.answer.ask import Ask, Since
from components.recommendation.answer.since import extended, settled
from components.recommendation.features.folds import FeatureParams, coded_events, history_lists, make_catalogue
from components.recommendation.features.histories import LISTS, Histories

AS_OF = datetime(2025, 7, 1, tzinfo=UTC)
NOW = AS_OF + timedelta(days=9, hours=5)
PRODUCTS = [f"p{number}" for number in range(6)]
CODES = {name: code for code, name in enumerate(PRODUCTS)}
NOTHING = Histories.of_session(np.empty(0, np.int32))

Line = tuple[str, str, datetime]  # basket, product, moment


def lines(name: str, start: datetime, end: datetime, most: int = 12) -> st.SearchStrategy[list[Line]]:
    """Lines of up to four baskets; those of one basket may be hours apart."""
    seconds = int((end - start).total_seconds())
    moments = st.one_of(st.integers(0, seconds - 1), st.sampled_from([0, 3600, seconds - 1])).map(
        lambda second: start + timedelta(seconds=second)
    )
    baskets = st.integers(0, 3).map(lambda number: f"{name}{number}")
    return st.lists(st.tuples(baskets, st.sampled_from(PRODUCTS), moments), max_size=most)


def featurised(bought: list[Line], end: datetime, max_history: int) -> Histories:
    """One customer's history as a release holds it."""
    schema = {"basket_id": pl.String, "product_id": pl.String, "at": pl.Datetime("us", "UTC")}
    table = pl.DataFrame(bought, schema=schema, orient="row").with_columns(customer_id=pl.lit("c"), quantity=1.0)
    products = pl.LazyFrame({"product_id": PRODUCTS, "title": PRODUCTS, "category": PRODUCTS})
    tables = {"transactions": table.lazy(), "products": products}
    lists = history_lists(coded_events(tables, make_catalogue(tables), FeatureParams()), end, max_history)
    return Histories.from_frame(lists.select(LISTS)) if lists.height else NOTHING


@settings(max_examples=60, deadline=None)
@given(
    before=lines("a", AS_OF - timedelta(days=60), AS_OF), after=lines("b", AS_OF, NOW), most=st.sampled_from([4, 1000])
)
def test_the_same_purchases_make_the_same_history(before: list[Line], after: list[Line], most: int) -> None:
    ask = settled(Ask("c", since=tuple(Since(*line) for line in after), at=NOW), AS_OF, CODES)
    living = extended(featurised(before, AS_OF, most), ask, AS_OF, CODES, most)
    again = featurised([*before, *after], NOW if after else AS_OF, most)
    for name in ("offsets", "items", "weights", "baskets"):
        np.testing.assert_array_equal(getattr(living, name), getattr(again, name), name)
    np.testing.assert_allclose(living.days_ago, again.days_ago, atol=1e-4)


def at(hours: float) -> datetime:
    return AS_OF + timedelta(hours=hours)


def test_what_the_release_knows_already_does_not_count_again() -> None:
    ask = Ask("c", since=(Since("b1", "p1", at(-1)), Since("b2", "never heard of", at(2))), at=NOW)
    assert settled(ask, AS_OF, CODES) == Ask("c"), "nothing that matters: the prepared answer stands"
    first = Since("b3", "p1", AS_OF)  # the data ended before this very moment
    assert settled(Ask("c", since=(*ask.since, first), at=NOW), AS_OF, CODES) == Ask("c", since=(first,), at=NOW)


def test_the_moment_of_asking_matters_by_the_hour_and_not_without_purchases() -> None:
    bought = (Since("b1", "p1", at(2.25)),)
    keys = [settled(Ask("c", since=bought, at=at(hours)), AS_OF, CODES) for hours in (2.5, 2.75, 3.25, 3.75)]
    assert keys[0] == keys[1] != keys[2] == keys[3]
    assert [key.at for key in keys[1:3]] == [at(2.25), at(3)], "never before the last purchase"
    assert settled(keys[2], AS_OF, CODES) == keys[2]
    assert settled(Ask("c", at=at(3.3)), AS_OF, CODES) == Ask("c")
    assert settled(Ask("c", since=bought), AS_OF, CODES).at == at(2.25)


def test_a_clock_that_is_ahead_moves_nothing_else() -> None:
    past = Histories(np.array([0, 1]), np.array([5], np.int32), *np.ones((2, 1), np.float32), np.zeros(1, np.int32))
    bought = (Since("b1", "p1", at(24)), Since("b2", "p2", at(24 * 400)))
    ask = settled(Ask("c", since=bought, at=at(48)), AS_OF, CODES)
    assert ask.at == at(48)
    assert extended(past, ask, AS_OF, CODES, 10).days_ago.tolist() == [3.0, 1.0, 0.0]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (2, 3, 1, 0)])
def test_baskets_stand_in_order_of_time_however_they_come(order: tuple[int, ...]) -> None:
    bought = [Since("z", "p1", at(1)), Since("z", "p3", at(1)), Since("a", "p2", at(5)), Since("a", "p2", at(6))]
    ask = settled(Ask(since=tuple(bought[place] for place in order), at=at(30)), AS_OF, CODES)
    found = extended(NOTHING, ask, AS_OF, CODES, 10)
    assert (found.items.tolist(), found.baskets.tolist()) == ([1, 3, 2], [0, 0, 1])
    np.testing.assert_allclose(found.days_ago, [29 / 24, 29 / 24, 1])
