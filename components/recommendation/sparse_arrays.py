"""Sparse matrices that neighbour models share: on disk as mapped arrays, and cut to their best entries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import sparse

from components.core.artifacts import load_array, save_arrays

_PARTS = ("data", "indices", "indptr", "shape")


def save_sparse(folder: Path, name: str, matrix: sparse.csr_matrix) -> None:
    """Write `<name>_{data,indices,indptr,shape}.npy`, column indices sorted."""
    matrix.sum_duplicates()  # also sorts: a mapped matrix is read-only, so it cannot be sorted later
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": np.array(matrix.shape)}
    save_arrays(folder, {f"{name}_{part}": array for part, array in parts.items()})


def load_sparse(folder: Path, name: str) -> sparse.csr_matrix:
    """The matrix `name`, its arrays memory-mapped read-only."""
    data, indices, indptr, shape = (load_array(folder, f"{name}_{part}") for part in _PARTS)
    return sparse.csr_matrix((data, indices, indptr), shape=tuple(shape.tolist()), copy=False)


def transposed(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The transpose, in rows again: products with it then need no conversion per request."""
    return matrix.T.tocsr()


def row_products(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Iterator[np.ndarray]:
    """Each row of left @ right, dense: several times faster than the sparse product, and never all at once."""
    for start, stop in pairwise(left.indptr.tolist()):
        product: np.ndarray = right[left.indices[start:stop]].T @ left.data[start:stop]
        yield product


def top_per_row(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Keep each row's `k` largest entries; ties go to the lower column."""
    matrix.sort_indices()
    keep = [_largest(matrix, row, k) for row in range(matrix.shape[0])]
    lengths = np.array([len(positions) for positions in keep], np.int64)
    chosen = np.concatenate(keep) if keep else np.zeros(0, np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_matrix((matrix.data[chosen], matrix.indices[chosen], indptr), shape=matrix.shape)


def _largest(matrix: sparse.csr_matrix, row: int, k: int) -> np.ndarray:
    start, stop = matrix.indptr[row], matrix.indptr[row + 1]
    if stop - start <= k:
        return np.arange(start, stop)
    values = matrix.data[start:stop]
    bar = np.partition(values, len(values) - k)[len(values) - k]
    above = np.flatnonzero(values > bar)
    level = np.flatnonzero(values == bar)[: k - len(above)]  # the lower columns, so that refits agree
    return np.sort(np.concatenate([above, level])) + start
