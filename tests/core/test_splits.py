"""Windows lie back to back before `as_of`; nothing is fitted on what it scores."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.errors import DataError
from components.core.splits import read_folds, rolling_folds, write_folds
from components.stages.train import fits

AS_OF = datetime(2018, 1, 1, tzinfo=UTC)


@given(st.integers(1, 40), st.integers(1, 5))
def test_windows_are_consecutive_and_end_at_as_of(horizon: int, n_oof: int) -> None:
    folds = rolling_folds(AS_OF - timedelta(days=1000), AS_OF, horizon, n_oof)
    steps = {later.cutoff - earlier.cutoff for earlier, later in itertools.pairwise(folds)}
    assert steps == {timedelta(days=horizon)} and folds[-1].cutoff + timedelta(days=horizon) == AS_OF
    assert [fold.role for fold in folds] == ["oof"] * n_oof + ["validation", "test"]


def test_short_history_is_refused_with_a_remedy() -> None:
    with pytest.raises(DataError, match=r"at least 168 days.*got 100.*horizon_days"):
        rolling_folds(AS_OF - timedelta(days=100), AS_OF, 28, 3)


def test_folds_survive_writing(tmp_path: Path) -> None:
    folds = rolling_folds(AS_OF - timedelta(days=400), AS_OF, 28, 2)
    write_folds(tmp_path, folds)
    assert read_folds(tmp_path) == folds


@pytest.mark.parametrize("refits", ["every_fold", "first_and_last"])
def test_every_fold_is_scored_once_by_a_fit_no_later_than_its_cutoff(refits: str) -> None:
    folds = rolling_folds(AS_OF - timedelta(days=400), AS_OF, 28, 3)
    plan = fits(folds, refits)  # type: ignore[arg-type]
    scored = [fold for _, each in plan for fold in each]
    assert scored == folds and plan[-1][0] == folds[-1]
    assert all(fit.cutoff <= fold.cutoff for fit, each in plan for fold in each)


def test_folds_that_split_customers_each_get_a_fit() -> None:
    folds = rolling_folds(AS_OF - timedelta(days=400), AS_OF, 28, 2)
    together = [fold.__class__(fold.name, fold.role, AS_OF) for fold in folds]
    assert fits(together, "first_and_last") == [(fold, [fold]) for fold in together]
