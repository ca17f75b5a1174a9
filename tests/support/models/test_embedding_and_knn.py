"""What models over embeddings answer, by hand; what they resemble; and what they refuse."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from components.core.errors import ModelError
from components.support.classifier import embeddings
from components.support.models.embedding import Embedding, EmbeddingParams
from components.support.models.knn import Knn, KnnParams


def with_second(frame: pl.DataFrame, vectors: np.ndarray) -> pl.DataFrame:
    return frame.with_columns(embedding_other=pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])))


def test_embedding_finds_the_axis(lessons: pl.DataFrame, questions: pl.DataFrame, wanted: np.ndarray) -> None:
    scores = Embedding().fit(lessons).scores(questions)
    assert (scores.argmax(axis=1) == wanted).all()
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)


def test_two_encoders_tell_what_one_cannot(lessons: pl.DataFrame, questions: pl.DataFrame, wanted: np.ndarray) -> None:
    def blind(frame: pl.DataFrame) -> pl.DataFrame:
        """Only whether the label is 0 or 1, or another; the second encoder says which of the two."""
        own = frame["embedding_usem3"].to_numpy()
        pair = np.stack([own[:, 0] + own[:, 1], own[:, 2] + own[:, 3]], axis=1)
        odd = np.stack([own[:, 0] + own[:, 2], own[:, 1] + own[:, 3]], axis=1)
        one = frame.with_columns(embedding_usem3=pl.Series(pair, dtype=pl.Array(pl.Float32, 2)))
        return with_second(one, odd)

    alone = Embedding().fit(blind(lessons)).scores(blind(questions))
    both = Embedding(EmbeddingParams(encoders=("usem3", "other"))).fit(blind(lessons)).scores(blind(questions))
    assert (alone.argmax(axis=1) == wanted).mean() < 0.7 and (both.argmax(axis=1) == wanted).mean() > 0.95


@pytest.mark.parametrize("model", [Embedding, Knn])
def test_a_missing_encoder_is_named(model, lessons: pl.DataFrame) -> None:
    with pytest.raises(ModelError, match="embeddings of MiniLM, got those of usem3; name the encoder in support"):
        model(model.params_class(encoders=("usem3", "MiniLM"))).fit(lessons)


def test_embeddings_come_in_the_order_asked_for(lessons: pl.DataFrame) -> None:
    both = with_second(lessons, np.full((lessons.height, 1), 7.0))
    assert embeddings(both, ("other", "usem3"))[0, 0] == 7.0
    assert embeddings(both, ("other", "usem3")).dtype == np.float32


def examples(angles: list[float], labels: list[int]) -> pl.DataFrame:
    """Unit vectors in the plane, degrees."""
    radians = np.radians(angles)
    vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1)
    return pl.DataFrame(
        {
            "text": [f"at {angle:g}" for angle in angles],
            "language": "en",
            "intent": labels,
            "family": None,
            "embedding_usem3": vectors,
        },
        schema_overrides={"intent": pl.Int32, "family": pl.String, "embedding_usem3": pl.Array(pl.Float32, 2)},
    )


def query(angle: float) -> pl.DataFrame:
    frame = examples([angle], [0]).drop("intent", "family")
    return frame.with_columns(query=pl.lit(5, pl.Int32))


def test_knn_by_hand() -> None:
    model = Knn(KnnParams(neighbours=2)).fit(examples([90, 0, 60, 10, 180], [4, 1, 1, 1, 1]))
    answer = model.predict(query(0))
    assert answer.rows() == [
        (5, 1, pytest.approx((1 + np.cos(np.radians(10))) / 2)),  # 60 and 180 degrees are not among the best two
        (5, 4, pytest.approx(0, abs=1e-6)),  # the only one there is
    ]


def test_the_most_similar_are_named_best_first() -> None:
    near = Knn().fit(examples([90, 0, 60, 10], [4, 1, 2, 1])).nearest(query(70), k=2)
    assert near.columns == ["query", "text", "language", "intent", "similarity"]
    assert near["text"].to_list() == ["at 60", "at 90"] and near["intent"].to_list() == [2, 4]
    assert near["similarity"].to_list() == pytest.approx([np.cos(np.radians(10)), np.cos(np.radians(20))])
    assert near["query"].to_list() == [5, 5]


def test_of_one_label_only_its_examples_are_named() -> None:
    model = Knn().fit(examples([90, 0, 60, 10], [4, 1, 2, 1]))
    near = model.nearest(query(70), k=3, label=1)
    assert near["text"].to_list() == ["at 10", "at 0"] and set(near["intent"]) == {1}
    assert model.nearest(query(70), label=3).is_empty()  # an intent without examples


def test_no_more_neighbours_than_there_are() -> None:
    assert Knn().fit(examples([0, 90], [0, 1])).nearest(query(0), k=9).height == 2


def test_cosines_of_two_encoders_are_averaged() -> None:
    train = with_second(examples([0, 90], [0, 1]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    model = Knn(KnnParams(encoders=("usem3", "other"))).fit(train)
    asked = with_second(query(0), np.array([[1.0, 0.0]]))
    assert model.predict(asked)["score"].to_list() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_many_questions_are_answered_as_one_by_one(lessons: pl.DataFrame) -> None:
    model = Knn().fit(lessons)
    many = pl.concat([lessons] * 6).drop("intent", "family").with_columns(query=pl.int_range(pl.len(), dtype=pl.Int32))
    scores = model.scores(many)
    for row in (0, 300, 575):
        np.testing.assert_allclose(scores[row], model.scores(many[row : row + 1])[0], rtol=1e-5)
