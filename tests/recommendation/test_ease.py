"""EASE: the dual is exactly the primal, and both are what the paper derives."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from components.core.errors import DoesNotFit
from components.recommendation.features.histories import Histories
from components.recommendation.models.ease import Dual, Ease, EaseParams, Primal


def random_rows(n_customers: int, n_items: int, seed: int = 0) -> sparse.csr_matrix:
    return sparse.random(n_customers, n_items, 0.2, "csr", dtype=np.float32, random_state=np.random.default_rng(seed))


def by_the_paper(x: np.ndarray, regularisation: float) -> np.ndarray:
    """Equation 8: B = I - P diagMat(1 / diag(P)), written out."""
    inverse = np.linalg.inv(x.T @ x + regularisation * np.eye(x.shape[1]))
    return np.eye(x.shape[1]) - inverse / np.diag(inverse)


@pytest.mark.parametrize(("n_customers", "n_items"), [(30, 80), (80, 30)])
@pytest.mark.parametrize("regularisation", [0.5, 20.0])
def test_dual_equals_primal_equals_the_paper(n_customers: int, n_items: int, regularisation: float) -> None:
    x = random_rows(n_customers, n_items)
    expected = x @ by_the_paper(x.toarray().astype(np.float64), regularisation)
    assert Dual.solve(x, regularisation).times_b(x) == pytest.approx(expected, abs=1e-4)
    assert Primal.solve(x, regularisation).times_b(x) == pytest.approx(expected, abs=1e-4)


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_chosen_columns_are_columns_of_the_whole(seed: int) -> None:
    x, asked, wanted = random_rows(20, 50, seed), random_rows(7, 50, seed + 1), np.array([3, 17, 49])
    for form in (Dual, Primal):
        solution = form.solve(x, 5.0)
        assert solution.times_b(asked, wanted) == pytest.approx(solution.times_b(asked)[:, wanted], abs=1e-5)


@pytest.mark.parametrize("own", [0.0, 0.5])
def test_chosen_items_score_as_in_the_whole_catalogue(checkerboard, own: float) -> None:
    train, queries = checkerboard
    model = Ease(EaseParams(own=own)).fit(train)
    dense = model.scores(Histories.from_frame(queries))
    assert model.predict(queries)["score"].to_numpy() == pytest.approx(dense.ravel(), abs=1e-6)


def test_item_never_bought_by_a_customer_scores_nothing_and_breaks_nothing() -> None:
    train = pl.DataFrame({"customer": [0, 1, None], "basket": [0, 1, 2], "item": [0, 0, 4]}).with_columns(
        days_ago=pl.lit(1, pl.Float32), weight=pl.lit(1, pl.Float32)
    )
    answer = Ease().fit(train).scores(Histories.from_train(train)[0])
    assert np.isfinite(answer).all()
    assert (answer[:, 1:] == 0).all()


def test_says_beforehand_that_memory_is_short(checkerboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MEMORY_GIB", "0.00001")
    with pytest.raises(DoesNotFit, match=r"ease, a system of 20 unknowns: expected at least .* GiB"):
        Ease().fit(checkerboard[0])
