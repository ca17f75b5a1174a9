"""Ranking measures against figures worked out by hand, and their invariants."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.metrics import Asked, bootstrap, group_offsets, ndcg_objective, ranking_outcomes, ranks_within

KEYS = ("query", "item")
SCORES = pl.DataFrame({"query": [1, 1, 1, 2, 2], "item": [10, 11, 12, 10, 13], "score": [3.0, 2.0, 1.0, 1.0, 2.0]})
TRUTH = pl.DataFrame({"query": [1, 1, 2, 3], "item": [11, 99, 13, 10]})


def test_figures_worked_out_by_hand() -> None:
    rows = ranking_outcomes(SCORES, TRUTH, KEYS, ks=(2,)).rows_by_key("query", named=True, unique=True)
    assert rows[1]["recall@2"] == 0.5 and rows[1]["precision@2"] == 0.5 and rows[1]["phr@2"] == 1
    assert rows[1]["f1@2"] == pytest.approx(0.5)
    assert rows[1]["ndcg@2"] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert rows[2]["ndcg@2"] == 1.0
    assert rows[3]["recall@2"] == rows[3]["ndcg@2"] == 0.0, "a query without any answer counts as a miss"


def test_full_ideal_cannot_reach_one_when_the_truth_is_longer_than_the_list() -> None:
    truth = pl.DataFrame({"query": [1] * 4, "item": [10, 11, 12, 13]})
    outcome = ranking_outcomes(SCORES, truth, KEYS, ks=(2,), ideal="full")
    ideal = sum(1 / np.log2(place) for place in range(2, 6))
    assert outcome["ndcg@2"][0] == pytest.approx((1 + 1 / np.log2(3)) / ideal)
    assert ranking_outcomes(SCORES, truth, KEYS, ks=(2,))["ndcg@2"][0] == pytest.approx(1.0)


def test_a_score_that_is_no_number_never_ranks_first() -> None:
    scores = SCORES.with_columns(score=pl.when(pl.col("item") == 12).then(float("nan")).otherwise("score"))
    worst = pl.DataFrame({"query": [1], "item": [12]})
    assert ranking_outcomes(scores, worst, KEYS, ks=(2,))["recall@2"][0] == 0.0


def test_ties_go_to_the_lower_item() -> None:
    tied = SCORES.with_columns(score=pl.lit(1.0))
    outcome = ranking_outcomes(tied, pl.DataFrame({"query": [1], "item": [10]}), KEYS, ks=(1,))
    assert outcome["recall@1"][0] == 1.0


def test_ranks_leave_missing_scores_out() -> None:
    ranks = ranks_within(np.array([1.0, np.nan, 3.0, 5.0]), np.array([0, 3, 4]))
    np.testing.assert_array_equal(ranks, [2, np.nan, 1, 1])


def test_group_offsets_of_nothing() -> None:
    np.testing.assert_array_equal(group_offsets(np.array([])), [0])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_no_order_beats_the_truth_itself(rows: list[tuple[float, bool]]) -> None:
    scores, truth = np.array([score for score, _ in rows]), np.array([float(label) for _, label in rows])
    objective, offsets, n_true = ndcg_objective(10), np.array([0, len(rows)]), np.array([truth.sum()])
    best = objective(truth, Asked(truth, offsets, n_true))
    assert 0 <= objective(scores, Asked(truth, offsets, n_true)) <= best + 1e-12
    assert best == pytest.approx(1.0 if truth.any() else 0.0)


def test_objective_agrees_with_the_table_measure() -> None:
    random = np.random.default_rng(0)
    table = pl.DataFrame({"query": np.repeat(np.arange(30), 25), "item": np.tile(np.arange(25), 30)})
    table = table.with_columns(score=pl.Series(random.random(750)))
    inside = table.filter(pl.Series(random.random(750) < 0.2)).select(KEYS)
    truth = pl.concat([inside, pl.DataFrame({"query": [3, 3, 4], "item": [100, 101, 100]})])  # no pool holds these
    labels = table.join(truth.with_columns(label=1.0), on=KEYS, how="left", maintain_order="left")["label"].fill_null(0)
    n_true = truth.group_by("query").len().sort("query")["len"].to_numpy()
    offsets = group_offsets(table["query"].to_numpy())
    found = ndcg_objective(10)(table["score"].to_numpy(), Asked(labels.to_numpy(), offsets, n_true))
    assert found == pytest.approx(ranking_outcomes(table, truth, KEYS)["ndcg@10"].mean())


def test_bootstrap_covers_the_mean_and_narrows_with_rows() -> None:
    random = np.random.default_rng(1)
    few, many = bootstrap(random.normal(1, 1, 50)), bootstrap(random.normal(1, 1, 5000))
    assert few.low < few.mean < few.high and many.high - many.low < few.high - few.low
    assert bootstrap(np.array([np.nan, 2.0])).mean == 2.0
