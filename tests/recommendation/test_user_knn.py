"""User-KNN: neighbours vote with what they bought next."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from components.recommendation.features.histories import Histories
from components.recommendation.models.user_knn import UserKnn, UserKnnParams


def table(rows: list[tuple[int, int, int, float]]) -> pl.DataFrame:
    schema = {"customer": pl.Int32, "basket": pl.Int32, "item": pl.Int32, "days_ago": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(weight=pl.lit(1, pl.Float32))


TRAIN = table([(0, 0, 0, 9.0), (0, 1, 5, 1.0), (1, 2, 1, 9.0), (1, 3, 6, 1.0)])
ASKED = Histories(np.array([0, 1]), *(np.array([value]) for value in (0, 5.0, 1.0, 0)))  # bought item 0


def test_neighbours_vote_with_their_last_basket() -> None:
    scores = UserKnn(UserKnnParams(own=0.25, future_days=0)).fit(TRAIN).scores(ASKED)[0]
    assert scores == pytest.approx([0.25, 0, 0, 0, 0, 0.75, 0])  # like customer 0, who went on to item 5


def test_neighbours_vote_with_the_future_they_are_given() -> None:
    after = table([(0, 7, 3, 0.0), (1, 8, 4, 0.0), (55, 9, 2, 0.0), (0, 7, 99, 0.0)])
    scores = UserKnn(UserKnnParams(own=0.0)).fit(TRAIN, after).scores(ASKED)[0]
    assert scores == pytest.approx([0, 0, 0, 1, 0, 0, 0])  # strangers and unknown items have no vote


def test_neighbours_vote_with_their_last_days() -> None:
    train = pl.concat([TRAIN, table([(0, 4, 4, 2.0)])])
    scores = UserKnn(UserKnnParams(own=0.0, future_days=3)).fit(train).scores(ASKED)[0]
    assert np.flatnonzero(scores > 0).tolist() == [4, 5]


def test_customer_with_a_single_basket_resembles_nobody_and_votes_not() -> None:
    train = pl.concat([TRAIN, table([(2, 9, 0, 1.0)])])
    scores = UserKnn(UserKnnParams(own=0.0, future_days=0)).fit(train).scores(ASKED)[0]
    assert scores == pytest.approx([0, 0, 0, 0, 0, 1, 0])


def test_votes_weigh_cosine_to_the_given_power() -> None:
    """The query bought items 0 and 1; customer 0 bought just item 0, customer 1 items 0, 1 and 2."""
    train = table([(0, 0, 0, 9.0), (0, 1, 5, 1.0)] + [(1, 2, item, 9.0) for item in (0, 1, 2)] + [(1, 3, 6, 1.0)])
    asked = Histories.from_train(table([(7, 0, 0, 1.0), (7, 0, 1, 1.0)]))[0]
    for sharpness in (1.0, 3.0):
        scores = UserKnn(UserKnnParams(own=0.0, future_days=0, sharpness=sharpness)).fit(train).scores(asked)[0]
        votes = np.array([1 / 2**0.5, 2 / (2**0.5 * 3**0.5)]) ** sharpness
        assert scores[[5, 6]] == pytest.approx(votes / votes.sum(), rel=1e-5)


def test_customer_without_future_takes_no_neighbours_place() -> None:
    train = pl.concat([TRAIN, table([(2, 9, 0, 300.0)])])  # the query's twin, but long gone
    scores = UserKnn(UserKnnParams(own=0.0, neighbours=1, future_days=5)).fit(train).scores(ASKED)[0]
    assert scores == pytest.approx([0, 0, 0, 0, 0, 1, 0])


def test_shop_where_nobody_bought_lately_scores_nothing() -> None:
    model = UserKnn(UserKnnParams(future_days=0.5)).fit(TRAIN)
    assert (model.scores(ASKED) == 0).all()
