"""Sparse matrices: cut to the best per row, written and mapped again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from components.recommendation.sparse_arrays import load_sparse, row_products, save_sparse, top_per_row, transposed


@given(seed=st.integers(0, 500), k=st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_best_per_row_with_ties_to_the_lower_column(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    dense = random.integers(0, 4, (6, 7)).astype(np.float32)  # few distinct values, so many ties
    kept = top_per_row(sparse.csr_matrix(dense), k).toarray()
    for row, values in enumerate(dense):
        order = [column for column in np.argsort(-values, kind="stable") if values[column] > 0][:k]
        assert np.flatnonzero(kept[row]).tolist() == sorted(order)
        assert (kept[row, order] == values[order]).all()


def test_saved_matrix_is_mapped_and_equal(tmp_path: Path) -> None:
    matrix = sparse.random(20, 30, 0.2, "csr", dtype=np.float32, random_state=np.random.default_rng(0))
    save_sparse(tmp_path, "x", matrix)
    loaded = load_sparse(tmp_path, "x")
    assert (loaded != matrix).nnz == 0
    assert not loaded.data.flags.writeable
    assert (transposed(loaded) != matrix.T).nnz == 0
    assert (loaded @ np.ones(30) == matrix @ np.ones(30)).all()


def test_row_products_are_the_matrix_product() -> None:
    random = np.random.default_rng(1)
    left = sparse.random(5, 20, 0.3, "csr", dtype=np.float32, random_state=random)
    left[2] = 0
    left.eliminate_zeros()
    right = sparse.random(20, 9, 0.4, "csr", dtype=np.float32, random_state=random)
    rows = list(row_products(left, right))
    np.testing.assert_array_equal(rows, (left @ right).toarray())
    assert rows[0].dtype == np.float32 and not rows[2].any()
