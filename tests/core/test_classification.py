"""Score tables of classifications: probabilities, decisions, and measures against worked examples."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from components.core.calibration import calibration_bins, calibration_error, fit_temperature, log_softmax
from components.core.classification import (
    answers,
    area_under_roc,
    log_likelihood,
    macro_f1,
    normalised,
    objective,
    outcomes,
    recall_at_precision,
    summary,
)
from components.core.errors import DataError
from components.core.metrics import Asked

CODES = ("dog", "cat", "none")  # of a pool with two labels and the reject row


def pool_of(n: int) -> pl.DataFrame:
    rows = {"photo": np.repeat(np.arange(n, dtype=np.int32), 3), "label_id": np.tile(np.arange(3, dtype=np.int32), n)}
    return pl.DataFrame({**rows, "reject": np.tile([0.0, 0.0, 1.0], n).astype(np.float32)})


def table_of(scores: list[tuple[float | None, ...]]) -> pl.DataFrame:
    """A score table of dog, cat and none per photo; None = no row."""
    flat = [score for row in scores for score in row]
    return pool_of(len(scores)).select("photo", "label_id", score=pl.Series(flat, dtype=pl.Float64)).drop_nulls()


def truth_of(names: list[str]) -> pl.DataFrame:
    columns = {"photo": np.arange(len(names), dtype=np.int32), "label_id": [CODES.index(name) for name in names]}
    truth = pl.DataFrame(columns, schema_overrides={"label_id": pl.Int32}).with_columns(label=pl.lit(1.0))
    return truth.with_columns(name=pl.Series(names), shop=pl.lit("north"))


# what was said of five photos: dog, cat, none (the last number), and what they show
SAID: list[tuple[float | None, ...]] = [
    (0.9, 0.1, 0.1),
    (0.4, 0.6, 0.2),
    (0.5, 0.5, 0.7),
    (0.8, 0.2, 0.4),
    (0.3, 0.7, 0.5),
]
SHOWN = ["dog", "dog", "none", "none", "cat"]


def test_outcomes_of_a_worked_example() -> None:
    truth, pool = truth_of(SHOWN), pool_of(5)
    rows = outcomes(table_of(SAID), truth, truth, pool)
    assert rows["decided"].to_list() == [0, 1, 2, 0, 2]
    assert rows["first"].to_list() == [0, 1, 0, 0, 1]
    assert rows["accuracy"].to_list() == [1, 0, 1, 0, 0], "the cat was rejected at .5"
    assert rows["in_scope_accuracy"].to_list() == [1, 0, 0, 0, 1]
    assert rows["in_scope_accuracy of"].to_list() == [1, 1, 0, 0, 1]
    assert rows["oos_recall"].to_list() == [0, 0, 1, 0, 0] and rows["oos_recall of"].to_list() == [0, 0, 1, 1, 0]
    assert rows["nll"].to_list() == pytest.approx([-math.log(0.9), -math.log(0.4), None, None, -math.log(0.7)])
    assert rows["confidence"].to_list() == [0.9, 0.6, 0.5, 0.8, 0.7]
    assert rows["rejection"].to_list() == [0.1, 0.2, 0.7, 0.4, 0.5]
    assert rows["label_id"].to_list() == SHOWN and rows["shop"].unique().to_list() == ["north"]
    assert rows["headline"].all()


def test_summary_of_a_worked_example() -> None:
    found = summary(table_of(SAID), truth_of(SHOWN), pool_of(5), precision=0.6)
    # dog: 1 of 2 decided and 2 shown; cat: 0 of 1 and 1; none: 1 of 2 and 2
    assert found["macro_f1"] == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert found["ece"] == pytest.approx((0.1 + 0.6 + 0.3) / 3)
    assert found["oos_precision"] == 0.5
    assert found["oos_auroc"] == pytest.approx((3 + 2) / 6)
    assert found["oos_best_recall"] == 1.0, "the threshold .4 has 2 of 3"
    assert summary(table_of(SAID), truth_of(SHOWN), pool_of(5), 0.9)["oos_best_recall"] == 0.5


def test_unnormalised_scores_never_reject() -> None:
    truth, pool = truth_of(["dog", "none"]), pool_of(2)
    raw = table_of([(2.0, 0.0, 9.0), (1.0, 1.5, None)])
    found = answers(raw, pool)
    np.testing.assert_allclose(found.probabilities[0], [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))])
    rows = outcomes(raw, truth, truth, pool)
    assert rows["decided"].to_list() == [0, 1] and rows["rejection"].null_count() == 2
    assert set(summary(raw, truth, pool)) == {"macro_f1", "ece"}, "what cannot be counted is left out"


def test_probabilities_without_a_reject_row_are_never_rejected() -> None:
    pool, truth = pool_of(2), truth_of(["cat", "none"])
    for kept in (pool, pool.filter(pl.col("reject") == 0), pool.filter(pl.col("reject") == 0).drop("reject")):
        said = table_of([(0.2, 0.8, None), (0.6, 0.4, None)])
        assert answers(said, kept).probabilities.tolist() == [[0.2, 0.8], [0.6, 0.4]]
        assert outcomes(said, truth, truth, kept)["accuracy"].to_list() == [1, 0]


def test_groups_without_truth_are_left_out_and_strange_labels_are_missed() -> None:
    pool, said = pool_of(3), table_of([(0.9, 0.1, 0.0)] * 3)
    truth = truth_of(["dog", "dog"]).with_columns(label_id=pl.Series([0, 7], dtype=pl.Int32))
    rows = outcomes(said, truth, truth, pool)
    assert rows["accuracy"].to_list() == [1, 0] and rows["in_scope_accuracy of"].to_list() == [1, 1]
    assert rows["nll"][1] > 20, "no probability was left for it"


def test_a_pool_whose_groups_differ_is_refused() -> None:
    pool = pool_of(2)
    with pytest.raises(DataError, match="2 to 3"):
        answers(table_of(SAID[:2]), pool.slice(1))
    swapped = pool.with_columns(reject=pl.Series([0.0, 0.0, 1.0, 0.0, 1.0, 0.0]))
    with pytest.raises(DataError, match="reject"):
        answers(table_of(SAID[:2]), swapped)


def test_the_objective_is_the_likelihood_of_what_is_true() -> None:
    asked = Asked(np.array([1, 0, 0, 1, 0, 0.0]), np.array([0, 2, 4, 6]), np.ones(3))
    said = np.array([0.8, 0.2, 0.5, 0.5, 0.9, 0.1])
    expected = (math.log(0.8) + math.log(0.5)) / 2
    assert objective(said, asked) == pytest.approx(expected), "the last group's truth is out of scope"
    assert log_likelihood(np.log(said) + 7, asked) == pytest.approx(expected), "log scores say the same"


@given(arrays(np.float64, (6, 4), elements=st.floats(-50, 50)), st.floats(-1e3, 1e3))
@settings(deadline=None, max_examples=50)
def test_softmax_sums_to_one_and_forgets_a_constant(scores: np.ndarray, constant: float) -> None:
    logs = log_softmax(scores)
    assert normalised(np.exp(logs))
    np.testing.assert_allclose(np.exp(log_softmax(scores + constant)), np.exp(logs), atol=1e-9)
    np.testing.assert_allclose(scores[np.arange(6), logs.argmax(axis=1)], scores.max(axis=1), atol=1e-9)


def test_missing_scores_count_as_the_least() -> None:
    logs = log_softmax(np.array([[np.nan, 1.0, 3.0], [np.nan, np.nan, np.nan]]))
    assert logs[0, 0] == logs[0, 1] < logs[0, 2]
    np.testing.assert_allclose(np.exp(logs[1]), 1 / 3)


@given(st.floats(0.05, 20), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=20)
def test_the_temperature_is_found_whatever_the_scale(temperature: float, scale: float) -> None:
    random = np.random.default_rng(3)
    logs = log_softmax(random.normal(size=(4000, 5)) * 2)
    true = (np.exp(logs).cumsum(axis=1) > random.random((4000, 1))).argmax(axis=1)
    base = fit_temperature(logs, true)
    assert base == pytest.approx(1, abs=0.1)
    assert fit_temperature(logs * temperature * scale, true) == pytest.approx(base * temperature * scale, rel=1e-3)


def test_scores_that_mislead_get_a_temperature_that_silences_them() -> None:
    scores = np.random.default_rng(0).normal(size=(500, 3))
    chances = np.exp(log_softmax(scores / fit_temperature(scores, scores.argmin(axis=1))))
    np.testing.assert_allclose(chances, 1 / 3, atol=1e-2)
    assert fit_temperature(np.zeros((4, 3)), np.zeros(4, int)) == 1.0
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0


def test_calibration_error_of_known_bins() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55, 1.0])
    right = np.array([True, False, True, True, True])
    # (.933, 1]: mean .967 against 2/3; (.533, .6]: .55 against 1
    assert calibration_error(confidence, right) == pytest.approx((3 * 0.3 + 2 * 0.45) / 5)
    bins = calibration_bins(confidence, right)
    assert bins["n"].to_list() == [2, 3] and bins["low"].to_list() == pytest.approx([8 / 15, 14 / 15])
    assert calibration_bins(np.array([0.5]), np.array([True]), 2)["low"].to_list() == [0.0], "(low, high]"
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0.0


@given(st.lists(st.tuples(st.floats(0.01, 1), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None, max_examples=50)
def test_calibration_error_is_at_most_one_and_never_below_the_total_gap(rows: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    error = calibration_error(confidence, right)
    assert abs(confidence.mean() - right.mean()) - 1e-9 <= error <= 1


def test_ranks_of_rejection() -> None:
    scores, positive = np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False])
    assert area_under_roc(scores, positive) == pytest.approx((2 + 1.5) / 4)
    assert math.isnan(area_under_roc(scores, np.ones(4, bool)))
    assert recall_at_precision(scores, positive, 0.9) == 0.5, "a tie is taken whole"
    assert recall_at_precision(scores, positive, 0.6) == 1.0
    assert recall_at_precision(-scores, positive, 0.6) == 0.0
    assert macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1])) == pytest.approx(2 / 3)
