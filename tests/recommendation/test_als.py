"""ALS: a query's factors are those that training would have given it."""

from __future__ import annotations

import numpy as np
import pytest
from polars.testing import assert_frame_equal

from components.recommendation.features.histories import Histories
from components.recommendation.models.als import Als, AlsParams


def test_fold_in_is_the_exact_step_of_als(checkerboard) -> None:
    """Against the normal equations written out in full, with zero confidence nowhere but on history."""
    train, queries = checkerboard
    params = AlsParams(factors=6, alpha=3.0, regularisation=0.5, half_life_days=50)
    model, histories = Als(params).fit(train), Histories.from_frame(queries)
    factors = model._fitted()[0].astype(np.float64)
    counts = histories.matrix(model.n_items, params.half_life_days).toarray()
    for row, user in enumerate(model.fold_in(histories)):
        confidence = np.where(counts[row] > 0, params.alpha * counts[row], 1.0)
        left = (factors.T * confidence) @ factors + params.regularisation * np.eye(6)
        expected = np.linalg.solve(left, factors.T @ (params.alpha * counts[row]))
        assert user == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_fold_in_agrees_with_the_factors_of_training(checkerboard) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    train, _ = checkerboard
    histories, _ = Histories.from_train(train)
    params = AlsParams(factors=4, iterations=60, half_life_days=1e6)
    model = Als(params).fit(train)
    learner = AlternatingLeastSquares(
        factors=4,
        regularization=params.regularisation,
        alpha=params.alpha,
        iterations=60,
        random_state=0,
        num_threads=1,
    )
    counts = histories.matrix(model.n_items, params.half_life_days)
    learner.fit(counts, show_progress=False)
    ours, theirs = model.scores(histories), learner.user_factors @ learner.item_factors.T
    assert ours == pytest.approx(theirs, abs=0.05)  # conjugate gradient stops short of the exact solution


def test_number_of_threads_changes_nothing(checkerboard) -> None:
    train, queries = checkerboard
    one, two = (Als(AlsParams(threads=threads)).fit(train).predict(queries) for threads in (1, 2))
    assert_frame_equal(one, two, check_exact=True)
