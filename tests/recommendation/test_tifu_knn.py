"""TIFU-KNN against the paper's equations, worked by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recommendation.answer.reasons import joined
from components.recommendation.features.histories import Histories
from components.recommendation.models.tifu_knn import TifuKnn, TifuKnnParams, basket_weights


def one_basket_per_item(n_baskets: int, customer: int = 0) -> pl.DataFrame:
    """Basket b holds item b alone, so that an item's score is its basket's weight."""
    baskets = np.arange(n_baskets, dtype=np.int32)
    return pl.DataFrame(
        {
            "customer": np.full(n_baskets, customer, np.int32),
            "basket": baskets + 100 * customer,
            "item": baskets,
            "days_ago": (n_baskets - baskets).astype(np.float32),
            "weight": np.ones(n_baskets, np.float32),
        }
    )


def test_own_vector_of_the_paper() -> None:
    """Five baskets in two groups, {1, 2} and {3, 4, 5}, r_b = 0.5 and r_g = 0.1.

    Equation 2, within a group of t baskets: v_g = sum_j r_b^(t - j) v_j / t.
    Equation 4, over the g groups: v_u = sum_i r_g^(g - i) v_gi / g.
    """
    params = TifuKnnParams(within_decay=0.5, group_decay=0.1, groups=2, alpha=1.0)
    train = one_basket_per_item(5)
    vector = TifuKnn(params).fit(train).scores(Histories.from_train(train)[0])[0]
    first, second = np.array([0.5, 1.0]) / 2, np.array([0.25, 0.5, 1.0]) / 3
    assert vector == pytest.approx(np.concatenate([0.1 * first, second]) / 2)


def test_prediction_mixes_own_vector_with_nearest_neighbours() -> None:
    """Equation 5: P = alpha v_u + (1 - alpha) mean of the k nearest; items are orthogonal unit vectors."""
    rows = [(0, 0), (1, 0), (1, 1), (2, 5)]  # customer, item: one basket each; 1 is nearest to the query
    train = pl.DataFrame(rows, schema={"customer": pl.Int32, "item": pl.Int32}, orient="row").with_columns(
        basket=pl.col("customer"), days_ago=pl.lit(1, pl.Float32), weight=pl.lit(1, pl.Float32)
    )
    query = Histories.from_train(train.filter(customer=1))[0]
    answer = TifuKnn(TifuKnnParams(neighbours=2, alpha=0.5)).fit(train).scores(query)[0]
    # The two nearest are customer 1 itself {0, 1} and customer 0 {0}; customer 2 shares nothing.
    assert answer == pytest.approx([0.5 + 0.5 * 1.0, 0.5 + 0.5 * 0.5, 0, 0, 0, 0])


def test_nearest_is_by_euclidean_distance(checkerboard) -> None:
    train, _ = checkerboard
    histories, _ = Histories.from_train(train)
    model = TifuKnn(TifuKnnParams(neighbours=5, alpha=0.0)).fit(train)
    vectors = TifuKnn(TifuKnnParams(alpha=1.0)).fit(train).scores(histories)
    distances = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :5]
    assert model.scores(histories) == pytest.approx(vectors[nearest].mean(axis=1), abs=1e-6)


@given(n_baskets=st.integers(1, 60), groups=st.integers(1, 20))
def test_without_decay_every_group_weighs_the_same(n_baskets: int, groups: int) -> None:
    histories, _ = Histories.from_train(one_basket_per_item(n_baskets))
    weights = basket_weights(histories, TifuKnnParams(within_decay=1, group_decay=1, groups=groups))
    assert weights.sum() == pytest.approx(1.0)
    sizes = np.round(1 / weights / min(groups, n_baskets)).astype(int)
    assert (np.diff(sizes) >= 0).all()  # the later groups are the larger ones
    assert sizes.max() - sizes.min() <= 1


def test_chosen_items_score_as_in_the_whole_catalogue(checkerboard) -> None:
    train, _ = checkerboard
    model, histories = TifuKnn(TifuKnnParams(neighbours=5)).fit(train), Histories.from_train(train)[0]
    histories = joined([histories.part(0, 3), Histories.of_session(np.empty(0, np.int32)), histories.part(3, 6)])
    items = np.tile(np.array([1, 4, 19, 999], np.int32), len(histories))
    found = model.scores_at(histories, np.arange(0, len(items) + 1, 4), items).reshape(-1, 4)
    np.testing.assert_array_equal(found[:, :3], model.scores(histories)[:, [1, 4, 19]])
    assert np.isnan(found[:, 3]).all() and np.isnan(found[3]).all()
    assert np.isfinite(found[[0, 1, 2, 4, 5, 6], :3]).all()
