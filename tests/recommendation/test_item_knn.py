"""Item-KNN: similarities by hand, sessions, and pieces that do not matter."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from components.recommendation.features.histories import Histories
from components.recommendation.models import item_knn
from components.recommendation.models.item_knn import ItemKnn, ItemKnnParams

BASKETS = [[0, 1], [0, 1], [0, 2], [1], [3, 4]]


@pytest.fixture
def train() -> pl.DataFrame:
    rows = [(basket, item) for basket, items in enumerate(BASKETS) for item in items]
    return pl.DataFrame(rows, schema={"basket": pl.Int32, "item": pl.Int32}, orient="row").with_columns(
        customer=pl.lit(None, pl.Int32), days_ago=pl.lit(0, pl.Float32), weight=pl.lit(1, pl.Float32)
    )


def test_similarity_is_the_cosine_with_shrinkage(train: pl.DataFrame) -> None:
    items, similarities = ItemKnn(ItemKnnParams(shrinkage=2.0)).fit(train).neighbours(0, 5)
    assert items.tolist() == [1, 2]
    assert similarities == pytest.approx([2 / (3**0.5 * 3**0.5 + 2), 1 / (3**0.5 * 1 + 2)])


def test_only_the_nearest_are_kept(train: pl.DataFrame) -> None:
    model = ItemKnn(ItemKnnParams(neighbours=1, shrinkage=0)).fit(train)
    assert [model.neighbours(item, 9)[0].tolist() for item in range(5)] == [[1], [0], [0], [4], [3]]
    assert model.neighbours(77, 9)[0].tolist() == []


def test_last_event_of_a_session_counts_most(train: pl.DataFrame) -> None:
    model = ItemKnn(ItemKnnParams(session_decay=0.5, shrinkage=0)).fit(train)
    scores = model.scores(Histories.of_session(np.array([2, 3])))[0]
    assert scores[4] == pytest.approx(1.0)
    assert scores[0] == pytest.approx(0.5 / 3**0.5)
    assert np.isnan(scores[[1, 2, 3]]).all()  # nothing leads there


def test_items_unknown_to_the_model_say_nothing(train: pl.DataFrame) -> None:
    model = ItemKnn().fit(train)
    assert np.isnan(model.scores(Histories.of_session(np.array([50])))).all()


def test_customers_join_items_that_never_shared_a_basket(train: pl.DataFrame) -> None:
    loyal = train.with_columns(customer=pl.lit(0, pl.Int32))
    assert 3 in ItemKnn(ItemKnnParams(unit="customer")).fit(loyal).neighbours(0, 9)[0]
    assert 3 not in ItemKnn(ItemKnnParams(unit="basket")).fit(loyal).neighbours(0, 9)[0]


def test_size_of_pieces_changes_nothing(checkerboard, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ItemKnn().fit(checkerboard[0])._fitted()
    monkeypatch.setattr(item_knn, "ENTRIES_AT_ONCE", 30)
    pieces = ItemKnn().fit(checkerboard[0])._fitted()
    assert (whole != pieces).nnz == 0
