"""Multinomial logistic regression over many features, dense or sparse, solved to its one optimum by L-BFGS."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from components.memory import require_memory

MEMORY = 6  # pairs of steps and gradients that L-BFGS remembers


class Logistic(NamedTuple):
    """Scores are features @ weights + bias: log probabilities but for a constant per row."""

    weights: np.ndarray  # (n_features, n_labels) float32
    bias: np.ndarray  # (n_labels,) float32

    def scores(self, features: Any) -> np.ndarray:
        """Log probabilities, (n, n_labels) float32, of an array or a sparse matrix (n, n_features)."""
        return log_softmax(np.asarray(features @ self.weights) + self.bias)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log probabilities along the rows."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def fit_logistic(
    features: Any, labels: np.ndarray, n_labels: int, strength: float, iterations: int, balanced: float = 0.0
) -> Logistic:
    """Minimise mean cross-entropy + |weights|^2 / (2 n strength); the bias is not penalised.

    `features` (n, d) float32, an array or scipy's CSR; `labels` (n,) columns. `strength` is the C of scikit-learn.
    Each row weighs (n / count of its label) ** balanced, scaled to a mean of one. Raises DoesNotFit before it
    starts where memory would not do.
    """
    from scipy.optimize import minimize

    n_features = features.shape[1]
    size = (n_features + 1) * n_labels
    require_memory(f"logistic regression of {n_features:,} features on {n_labels} labels", 8 * size * (2 * MEMORY + 6))
    objective = _Objective(features, labels, n_labels, strength, _row_weights(labels, n_labels, balanced))
    start = np.zeros((n_features + 1, n_labels))
    shares = np.bincount(labels, objective.rows, n_labels) + 1e-3
    start[-1] = np.log(shares / shares.sum())
    options = {"maxiter": iterations, "maxcor": MEMORY, "ftol": 1e-9, "gtol": 1e-7}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(start.shape)
    return Logistic(found[:-1].astype(np.float32), found[-1].astype(np.float32))


class _Objective:
    """Loss and gradient as a function of weights and bias, flattened."""

    def __init__(self, features: Any, labels: np.ndarray, n_labels: int, strength: float, rows: np.ndarray) -> None:
        self.rows = rows
        self._features, self._labels, self._n_labels = features, labels, n_labels
        self._turned = features.T.tocsr() if hasattr(features, "tocsr") else features.T
        self._penalty = 1 / (len(labels) * strength)

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, self._n_labels)
        logs = log_softmax(self._features @ weights[:-1].astype(np.float32) + weights[-1].astype(np.float32))
        n, every = len(self._labels), np.arange(len(self._labels))
        loss = -float(self.rows @ logs[every, self._labels].astype(np.float64)) / n
        residual = np.exp(logs)
        residual[every, self._labels] -= 1
        residual *= (self.rows / n)[:, None].astype(np.float32)
        gradient = np.empty_like(weights)
        gradient[:-1] = self._turned @ residual
        gradient[:-1] += self._penalty * weights[:-1]
        gradient[-1] = residual.sum(axis=0)
        return loss + 0.5 * self._penalty * float((weights[:-1] ** 2).sum()), gradient.ravel()


def _row_weights(labels: np.ndarray, n_labels: int, balanced: float) -> np.ndarray:
    counts = np.maximum(np.bincount(labels, minlength=n_labels), 1)
    weights = (len(labels) / counts[labels]) ** balanced
    scaled: np.ndarray = weights / weights.mean()
    return scaled
