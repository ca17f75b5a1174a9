"""A learned mixture: conditional logit (McFadden 1974) on the members' calibrated log probabilities.

    score of label l = sum over members m of (a_m + d_ml) log p_ml + b_l

The weights a are shared by all labels; d and b let a label heed one member more than another and are shrunk to
0 by a penalty, which is chosen on rows that a fit had not seen; so is whether there are any d and b at all.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from components.core.calibration import log_softmax
from components.core.ensembles import PoolSpec
from components.core.ensembles._classes import Classes, ClassParams
from components.core.params import Params

FLOOR = -12.0  # log probabilities below it are alike: one member's certainty must not outweigh all others
SHRINK = 1e-3  # of the shared weights towards their mean


class ClassStackParams(ClassParams):
    penalties: tuple[float, ...] = Field(
        (1e-1, 1e-2, 1e-3),
        description="Of the squared weights of single labels, on a mean loss; none is tried as well.",
    )
    n_folds: int = Field(3, ge=2, description="Into which the rows are cut to choose among the penalties.")
    max_rows: int = Field(6000, ge=10, description="Groups drawn at random on which that is done.")
    n_steps: int = Field(60, ge=1, description="Steps of a fit.")


class ClassStack(Classes):
    """Log-linear mixture with weights for members, and smaller ones for members' labels."""

    params_class: ClassVar[type[Params]] = ClassStackParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        super().__init__(spec, params)
        self._shared = np.zeros(0)  # (n_members,)
        self._own = np.zeros((0, 0))  # (n_labels, n_members + 1); the last column is b
        self._spread = np.zeros(0)  # (n_members,) of each one's log probabilities between labels

    def _learn(self, logs: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(self.params.seed)
        folds = random.permutation(np.arange(len(true)) % self.params.n_folds)
        drawn = random.permutation(len(true))[: self.params.max_rows]
        penalties = [None, *self.params.penalties]
        losses = [_loss(self._unseen(logs[drawn], true[drawn], folds[drawn], one), true[drawn]) for one in penalties]
        penalty = penalties[int(np.argmin(losses))]
        unseen = self._unseen(logs, true, folds, penalty)
        self._shared, self._own = self._solved(logs, true, penalty)
        self._spread = np.maximum(logs, FLOOR).std(axis=1).mean(axis=0).astype(np.float64)
        return np.arange(logs.shape[2]), unseen

    def _unseen(self, logs: np.ndarray, true: np.ndarray, folds: np.ndarray, penalty: float | None) -> np.ndarray:
        """Every row's scores (n, n_labels) by a fit on the other folds."""
        scores = np.empty(logs.shape[:2])
        for fold in np.unique(folds):
            found = self._solved(logs[folds != fold], true[folds != fold], penalty)
            scores[folds == fold] = _scores(logs[folds == fold], *found)
        return scores

    def _solved(self, logs: np.ndarray, true: np.ndarray, penalty: float | None) -> tuple[np.ndarray, np.ndarray]:
        """a (n_members,), and d with b as its last column (n_labels, n_members + 1), by L-BFGS."""
        from scipy.optimize import minimize

        n, n_labels, n_members = logs.shape
        inputs, hits = np.maximum(logs, FLOOR), np.zeros((n, n_labels), logs.dtype)
        hits[np.arange(n), true] = 1

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            shared, own = flat[:n_members], flat[n_members:].reshape(-1, n_members + 1)
            found = log_softmax(_scores(inputs, shared, own))
            missed = ((np.exp(found) - hits) / n).astype(inputs.dtype)
            slopes = np.einsum("nl,nlm->lm", missed, inputs)
            spread, shrunk = shared - shared.mean(), penalty or 0.0
            value = -float(found[np.arange(n), true].mean()) + SHRINK / 2 * float(spread @ spread)
            slope = [slopes.sum(axis=0) + SHRINK * spread]
            if len(own):
                slope.append((np.column_stack([slopes, missed.sum(axis=0)]) + shrunk * own).ravel())
            return value + shrunk / 2 * float((own**2).sum()), np.concatenate(slope).astype(np.float64)

        start = np.zeros(n_members + (0 if penalty is None else n_labels * (n_members + 1)))
        start[:n_members] = 1 / n_members
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": self.params.n_steps}).x
        return found[:n_members], found[n_members:].reshape(-1, n_members + 1)

    def _mix(self, logs: np.ndarray) -> np.ndarray:
        return _scores(logs, self._shared, self._own)

    def weights(self) -> dict[str, float]:
        """How far each member moves the labels apart, as a share."""
        each = self._shared + self._own[:, :-1] if len(self._own) else self._shared[None]
        size = np.abs(each).mean(axis=0) * self._spread
        shares = size / size.sum() if size.sum() > 0 else np.full(len(size), 1 / len(size))
        return dict(zip(self.spec.members, shares.tolist(), strict=True))

    def _kept(self) -> Any:
        return {"shared": self._shared.tolist(), "own": self._own.tolist(), "spread": self._spread.tolist()}

    def _restore(self, kept: Any) -> None:
        self._shared, self._spread = np.array(kept["shared"]), np.array(kept["spread"])
        self._own = np.array(kept["own"]).reshape(-1, len(self._shared) + 1)


def _scores(logs: np.ndarray, shared: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(n, n_labels) of log probabilities (n, n_labels, n_members); `own` without rows adds nothing."""
    inputs = np.maximum(logs, FLOOR)
    if not len(own):
        found: np.ndarray = inputs @ shared.astype(inputs.dtype)
        return found
    each = (shared + own[:, :-1]).astype(inputs.dtype)
    scores: np.ndarray = np.einsum("nlm,lm->nl", inputs, each) + own[:, -1].astype(inputs.dtype)
    return scores


def _loss(scores: np.ndarray, true: np.ndarray) -> float:
    return -float(log_softmax(scores)[np.arange(len(true)), true].mean())


ENSEMBLE = ClassStack
