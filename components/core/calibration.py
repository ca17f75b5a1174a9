"""Probabilities that mean what they say: softmax, temperature, and how far confidence is from accuracy."""

from __future__ import annotations

import numpy as np
import polars as pl

TINY = 1e-12  # the least probability whose logarithm is taken


def log_softmax(cube: np.ndarray, axis: int = 1) -> np.ndarray:
    """Log probabilities along `axis`; what has no score counts as the least of its row, all where none has."""
    filled = filled_up(cube, axis)
    shifted = filled - filled.max(axis=axis, keepdims=True)
    logs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return logs


def filled_up(cube: np.ndarray, axis: int = 1) -> np.ndarray:
    """`cube` with the least finite score along `axis` for what is none, and 0 where all are none."""
    finite = np.isfinite(cube)
    if finite.all():
        return cube
    least = np.where(finite, cube, np.inf).min(axis=axis, keepdims=True)
    return np.where(finite, cube, np.where(np.isfinite(least), least, 0))


def fit_temperature(cube: np.ndarray, true: np.ndarray, n_steps: int = 50) -> float:
    """What to divide log scores (n, n_labels) by so that the true columns (n,) are likeliest (Guo et al. 2017).

    The negative log likelihood is convex in 1 / temperature, so Newton's steps find its least; 1 without rows.
    Scores that say nothing, or worse than that, end at 1,000 times their spread: all labels alike.
    """
    scores = filled_up(cube).astype(np.float64)
    scores = scores - scores.max(axis=1, keepdims=True, initial=-np.inf) if len(scores) else scores
    spread = float(np.abs(scores).mean()) if scores.size else 0.0
    if spread == 0:
        return 1.0
    right, least = scores[np.arange(len(true)), true].mean(), 1e-3 / spread
    inverse = 1 / spread  # every scale of scores starts alike
    for _ in range(n_steps):
        weights = np.exp(inverse * scores)
        weights /= weights.sum(axis=1, keepdims=True)
        means = (weights * scores).sum(axis=1)
        slope, curve = means.mean() - right, ((weights * scores**2).sum(axis=1) - means**2).mean()
        step = np.clip(slope / max(curve, TINY), -inverse, inverse / 2)  # at most twice, at least half
        inverse = max(inverse - step, least)
        if abs(step) < 1e-6 * inverse:
            break
    return float(1 / inverse)


def calibration_bins(confidence: np.ndarray, right: np.ndarray, n_bins: int = 15) -> pl.DataFrame:
    """One row per bin of equal width that is not empty: low, high, n, confidence and accuracy (their means)."""
    edges = np.linspace(0, 1, n_bins + 1)
    places = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, n_bins - 1)  # (low, high]
    rows = pl.DataFrame({"bin": places, "confidence": confidence, "accuracy": np.asarray(right, np.float64)})
    found = rows.group_by("bin").agg(
        n=pl.len(), confidence=pl.col("confidence").mean(), accuracy=pl.col("accuracy").mean()
    )
    bounds = pl.DataFrame({"bin": np.arange(n_bins), "low": edges[:-1], "high": edges[1:]})
    return bounds.join(found, on="bin", how="inner", maintain_order="left").drop("bin")


def calibration_error(confidence: np.ndarray, right: np.ndarray, n_bins: int = 15) -> float:
    """Expected calibration error: mean |confidence - accuracy| of bins of equal width, by size (Guo et al. 2017)."""
    bins = calibration_bins(confidence, right, n_bins)
    gaps = (bins["confidence"] - bins["accuracy"]).abs() * bins["n"]
    return float(gaps.sum() / max(len(confidence), 1))
