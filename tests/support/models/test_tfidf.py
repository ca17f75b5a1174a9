"""n-grams are counted and weighted as stated, the logistic finds its optimum, and words can be named as reasons."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from components.core.errors import DoesNotFit, ParamsError
from components.core.model import make_model
from components.support.logistic import fit_logistic, log_softmax
from components.support.models.tfidf import Tfidf, TfidfParams
from components.support.vocabulary import Vocabulary


def test_vocabulary_by_hand() -> None:
    vocabulary = Vocabulary.of(["ab", "ab b", "c"], (2, 2), 1, 2, 100)
    assert vocabulary.known == ["\tab", " a", "ab", "b "]
    rare = math.log(4 / 3) + 1  # each stands in two texts of three
    np.testing.assert_allclose(vocabulary.rarity, rare, rtol=1e-6)
    row = vocabulary.matrix(["ab b zz"]).toarray()[0]
    weights = np.array([1, 1, 1, 1 + math.log(2)])  # "b " stands twice
    np.testing.assert_allclose(row, weights / np.linalg.norm(weights), rtol=1e-6)


def test_a_flood_of_one_text_makes_nothing_common() -> None:
    texts = ["only here"] * 50 + ["and there", "and so"]
    assert Vocabulary.of(texts, (2, 4), 1, 2, 100).known == Vocabulary.of(texts[49:], (2, 4), 1, 2, 100).known


def test_the_most_common_are_kept() -> None:
    texts = ["a b", "a c", "a b d"]
    assert set(Vocabulary.of(texts, (3, 3), 1, 1, 2).known) == {"\ta", " a "}


@pytest.mark.parametrize("of", [np.asarray, sparse.csr_matrix])
def test_logistic_is_the_optimum(of) -> None:
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = (np.eye(5)[labels] + random.normal(0, 0.7, (90, 5))).astype(np.float32)
    found = fit_logistic(of(features), labels, 3, 2.0, 500)
    expected = LogisticRegression(C=2.0, max_iter=2000, tol=1e-8).fit(features, labels)
    np.testing.assert_allclose(found.scores(of(features)), expected.predict_log_proba(features), atol=2e-3)


def test_balanced_intents_weigh_alike() -> None:
    labels = np.repeat([0, 1], [90, 10])
    nothing = np.zeros((100, 2), np.float32)  # no feature tells anything, so the bias is all there is
    even = fit_logistic(nothing, labels, 2, 1.0, 100, balanced=1.0).scores(nothing[:1])
    plain = fit_logistic(nothing, labels, 2, 1.0, 100).scores(nothing[:1])
    np.testing.assert_allclose(np.exp(even), [[0.5, 0.5]], atol=1e-3)
    np.testing.assert_allclose(np.exp(plain), [[0.9, 0.1]], atol=1e-3)


def test_log_softmax_of_large_scores() -> None:
    np.testing.assert_allclose(np.exp(log_softmax(np.array([[1e4, 1e4], [0.0, -1e4]]))), [[0.5, 0.5], [1, 0]])


@pytest.fixture(scope="module")
def fitted(lessons: pl.DataFrame) -> Tfidf:
    return Tfidf().fit(lessons)


def test_scores_are_log_probabilities(fitted: Tfidf, questions: pl.DataFrame, wanted: np.ndarray) -> None:
    scores = fitted.scores(questions)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    assert (scores.argmax(axis=1) == wanted).all()


def test_digits_width_and_case_change_nothing(fitted: Tfidf, questions: pl.DataFrame) -> None:
    def said(text: str) -> np.ndarray:
        return fitted.scores(questions.head(1).with_columns(text=pl.lit(text)))

    usual = said("refund of order 12345 please")
    for other in (
        "refund of order 98765 please",
        "ＲＥＦＵＮＤ of order １２３４５ please",
        "re\u200bfund of order 00000  please",
    ):
        np.testing.assert_array_equal(said(other), usual)


def test_spelling_is_forgiven(fitted: Tfidf, questions: pl.DataFrame) -> None:
    odd = questions.head(4).with_columns(text=pl.Series(["my parcle", "my reffund", "the invoise", "my sizee"]))
    assert fitted.scores(odd).argmax(axis=1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("text", "intent", "first"),
    [("hello please my refund today", 1, "refund"), ("请问我的发票你好", 2, {"发", "票"})],
)
def test_the_word_that_told_is_named(fitted: Tfidf, text: str, intent: int, first: str | set[str]) -> None:
    counted = fitted.counted(text, intent)
    assert counted[0][0] == first if isinstance(first, str) else {word for word, _ in counted[:2]} == first
    gains = [gain for _, gain in counted]
    assert gains == sorted(gains, reverse=True) and min(gains) > 0


def test_no_word_tells_what_was_never_learned(fitted: Tfidf) -> None:
    assert fitted.counted("refund", 77) == []
    assert fitted.counted("", 1) == []


def test_what_is_held_out_for_others_is_learned_too(lessons: pl.DataFrame, questions: pl.DataFrame) -> None:
    late = lessons.filter(pl.col("intent") == 3)
    model = Tfidf().fit(lessons.filter(pl.col("intent") < 3), late)
    assert model.codes.tolist() == [0, 1, 2, 3]
    assert model.predict(questions).height == 4 * questions.height


def test_labels_without_examples_are_left_out(lessons: pl.DataFrame, questions: pl.DataFrame) -> None:
    answer = Tfidf().fit(lessons.filter(pl.col("intent") != 1)).predict(questions)
    assert set(answer["intent"]) == {0, 2, 3} and answer.height == 3 * questions.height


def test_one_intent_alone_is_refused(lessons: pl.DataFrame) -> None:
    with pytest.raises(DoesNotFit, match="two intents"):
        Tfidf().fit(lessons.filter(pl.col("intent") == 1))


def test_too_little_memory_is_said_before(lessons: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MEMORY_GIB", "0.00001")
    with pytest.raises(DoesNotFit, match="GiB"):
        Tfidf().fit(lessons)


def test_backward_range_is_refused() -> None:
    with pytest.raises(ParamsError, match="raise it"):
        make_model("support", "tfidf", {"shortest": 5})


def test_loaded_model_gives_the_same_reasons(fitted: Tfidf, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert Tfidf.load(tmp_path).counted("my refund", 1) == fitted.counted("my refund", 1)
    assert Tfidf.load(tmp_path).params == TfidfParams()
