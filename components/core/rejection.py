"""Knowing when no label is right: a small logistic regression over how sure the members are, and of what.

It reads, of every member, the best raw score (of a similarity: how near the nearest known example is), the
likeliest label's probability, its margin, the entropy, and what the member itself says for "none of these";
of the members together, how far they agree. Rows are weighed so that what is out of scope has the share that
is expected where it answers, whatever share the examples have.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from components.core.artifacts import read_json, write_json
from components.core.calibration import TINY

FILE = "rejection.json"
N_FOLDS = 5
FEWEST = 10  # rows of either kind; of fewer nothing is learned
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of the squared weights, on a mean loss
SURE = 12.0  # log odds beyond which nobody is surer


class Detector:
    """How likely a group is out of scope; without enough examples of both kinds it rejects nothing."""

    def __init__(self) -> None:
        self._centre, self._stretch = np.zeros(0), np.zeros(0)  # inputs are (evidence - centre) * stretch
        self._weights = np.zeros(0)  # the last one is the constant
        self._edge = 0.0  # log odds from which on a group is rejected

    @property
    def learned(self) -> bool:
        """Whether there was something to learn from."""
        return len(self._weights) > 0

    def fit(
        self,
        evidence: np.ndarray,
        outside: np.ndarray,
        right: np.ndarray,
        expected_share: float,
        precision: float | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn from `evidence` (n, n_inputs) which rows are `outside` (n,), and where to draw the line.

        The line is drawn on rows that a fit had not seen: at the best recall with `precision`, or without
        one where the most decisions are expected to be right; `right` (n,) says which would be if accepted.
        """
        if min(outside.sum(), (~outside).sum()) < FEWEST:
            return self
        shares = np.where(outside, expected_share / outside.sum(), (1 - expected_share) / (~outside).sum())
        folds, odds = _folds(outside, seed), np.empty((len(PENALTIES), len(outside)))
        for fold in range(N_FOLDS):
            self._scaled_to(evidence[folds != fold])
            seen, unseen = self._inputs(evidence[folds != fold]), self._inputs(evidence[folds == fold])
            for number, penalty in enumerate(PENALTIES):
                found = logistic(seen, outside[folds != fold], shares[folds != fold], penalty)
                odds[number, folds == fold] = unseen @ found
        losses = [float((shares * np.logaddexp(0, np.where(outside, -one, one))).sum()) for one in odds]
        best = int(np.argmin(losses))
        self._scaled_to(evidence)
        self._weights = logistic(self._inputs(evidence), outside, shares, PENALTIES[best])
        self._edge = _edge(odds[best], outside, right & ~outside, shares, precision)
        return self

    def score(self, evidence: np.ndarray) -> np.ndarray:
        """(n,) in [0, 1], >= .5 where a group is rejected; 0 where nothing was learned."""
        if not self.learned:
            return np.zeros(len(evidence))
        odds = np.clip(self._inputs(evidence) @ self._weights - self._edge, -30, 30)
        scores: np.ndarray = 1 / (1 + np.exp(-odds))
        return scores

    def save(self, folder: Path) -> None:
        """Write rejection.json."""
        arrays = {"centre": self._centre, "stretch": self._stretch, "weights": self._weights}
        write_json(folder / FILE, {name: array.tolist() for name, array in arrays.items()} | {"edge": self._edge})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The detector that `save` wrote."""
        kept, found = read_json(folder / FILE), cls()
        found._centre, found._stretch = np.array(kept["centre"]), np.array(kept["stretch"])
        found._weights, found._edge = np.array(kept["weights"]), float(kept["edge"])
        return found

    def _scaled_to(self, evidence: np.ndarray) -> None:
        known = np.isfinite(evidence)
        counts = np.maximum(known.sum(axis=0), 1)
        self._centre = np.where(known, evidence, 0).sum(axis=0) / counts
        spread = np.sqrt(np.where(known, (evidence - self._centre) ** 2, 0).sum(axis=0) / counts)
        self._stretch = np.where(spread > 1e-9, 1 / np.maximum(spread, 1e-9), 0)  # what never changes says nothing

    def _inputs(self, evidence: np.ndarray) -> np.ndarray:
        """Standardised, what is not known at its mean, with a column of ones."""
        scaled = np.clip((evidence - self._centre) * self._stretch, -10, 10)
        return np.column_stack([np.where(np.isfinite(scaled), scaled, 0), np.ones(len(scaled))])


def evidence(raw: np.ndarray, rejects: np.ndarray, logs: np.ndarray, mixed: np.ndarray) -> np.ndarray:
    """What a detector reads of each group: (n, 6 n_members + 6) float64, NaN where a member says nothing.

    Args:
        raw: (n, n_labels, n_members) scores as members gave them, NaN where none.
        rejects: (n, n_members) their scores of the reject row, NaN where none.
        logs: (n, n_labels, n_members) their calibrated log probabilities, all finite.
        mixed: (n, n_labels) the ensemble's log probabilities.
    """
    n, _, n_members = raw.shape
    best = np.where(np.isfinite(raw), raw, -np.inf).max(axis=1)
    height = _log_sum(np.where(np.isfinite(raw), raw, -np.inf))
    own = np.stack([_unless_silent(best), _unless_silent(height), _unless_silent(rejects - height)], axis=1)
    everyone = np.concatenate([logs, mixed[:, :, None]], axis=2)
    chances = np.exp(everyone)
    entropy = -(chances * everyone).sum(axis=1)
    sure = np.stack([*_sureness(everyone), entropy], axis=1)  # (n, 3, n_members + 1)
    first = mixed.argmax(axis=1)
    agreeing = (logs.argmax(axis=1) == first[:, None]).mean(axis=1)
    believed = chances[np.arange(n), first, :n_members].mean(axis=1)
    mean = chances[:, :, :n_members].mean(axis=2)
    spread = -(mean * np.log(mean + TINY)).sum(axis=1) - entropy[:, :n_members].mean(axis=1)  # Jensen and Shannon's
    return np.concatenate(
        [own.reshape(n, -1), sure.reshape(n, -1), np.column_stack([agreeing, believed, spread])], axis=1
    ).astype(np.float64)


def evidence_names(members: Sequence[str]) -> list[str]:
    """What the columns of `evidence` are, in words."""
    everyone = [*members, "the mix"]
    own = [f"{what} of {name}" for what in ("best score", "height", "reject odds") for name in members]
    sure = [f"{what} of {name}" for what in ("log odds", "margin", "entropy") for name in everyone]
    return [*own, *sure, "agreement", "belief in the first", "disagreement"]


def _sureness(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log odds of the likeliest label and its margin over the second, (n, n_members) each."""
    if logs.shape[1] < 2:
        return np.full(logs[:, 0].shape, SURE), np.full(logs[:, 0].shape, SURE)
    top = np.partition(logs, -2, axis=1)[:, -2:]
    odds = top[:, 1] - np.log(np.maximum(-np.expm1(top[:, 1]), np.exp(-SURE)))
    return np.clip(odds, -SURE, SURE), np.minimum(top[:, 1] - top[:, 0], SURE)


def _log_sum(scores: np.ndarray) -> np.ndarray:
    """log sum exp over labels, (n, n_members); -inf where a member scored none."""
    best = scores.max(axis=1)
    offset = np.where(np.isfinite(best), best, 0)
    with np.errstate(divide="ignore"):
        height: np.ndarray = offset + np.log(np.exp(scores - offset[:, None]).sum(axis=1))
    return height


def _unless_silent(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def logistic(inputs: np.ndarray, positive: np.ndarray, shares: np.ndarray, penalty: float) -> np.ndarray:
    """Weights (n_inputs,) of the least weighted log loss plus penalty / 2 |weights|^2, by Newton's steps.

    `shares` (n,) are rows' weights. The last input is the constant, which is not penalised.
    """
    weights, ridge = np.zeros(inputs.shape[1]), np.full(inputs.shape[1], penalty)
    ridge[-1] = 1e-9
    for _ in range(50):
        chances = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (shares * (chances - positive)) + ridge * weights
        bend = (inputs * (shares * np.maximum(chances * (1 - chances), 1e-6))[:, None]).T @ inputs
        step = np.linalg.solve(bend + np.diag(ridge + 1e-12), slope)
        weights = weights - step * min(1.0, 5 / max(float(np.abs(step).max()), TINY))
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _folds(outside: np.ndarray, seed: int) -> np.ndarray:
    """A fold for each row, (n,), each with its part of both kinds."""
    folds, random = np.empty(len(outside), np.int64), np.random.default_rng(seed)
    for kind in (outside, ~outside):
        folds[kind] = random.permutation(np.arange(kind.sum()) % N_FOLDS)
    return folds


def _edge(
    odds: np.ndarray, outside: np.ndarray, right: np.ndarray, shares: np.ndarray, precision: float | None
) -> float:
    """Log odds from which on to reject; above all of them where no line is worth it."""
    order = np.argsort(-odds, kind="stable")
    sorted_odds = odds[order]
    caught = np.cumsum((shares * outside)[order])
    ends = np.append(sorted_odds[1:] != sorted_odds[:-1], True)  # rows of equal odds are rejected together
    if precision is None:
        worth = caught - np.cumsum((shares * right)[order])
    else:
        worth = np.where(caught >= precision * np.cumsum(shares[order]), caught, -1.0)
    worth = np.where(ends, worth, -np.inf)
    best = int(worth.argmax())
    if worth[best] <= 0:
        return float(sorted_odds[0]) + 1.0
    below = sorted_odds[best + 1] if best + 1 < len(odds) else sorted_odds[best] - 1
    return float((sorted_odds[best] + below) / 2)
