"""Weighted mean of calibrated probabilities: weights on the simplex, found greedily (Caruana et al. 2004).

As in blend.py the member that helps the out-of-fold log likelihood most is added, again and again, and a
member's weight is how often it was taken. A mixture gives the true label the mixture of what the members give
it, so that only those columns need to be looked at.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from components.core.ensembles import PoolSpec
from components.core.ensembles._classes import Classes, ClassParams, likelihoods, linear
from components.core.params import Params


class ClassBlendParams(ClassParams):
    n_steps: int = Field(50, ge=1, description="How many members are taken, with replacement.")


class ClassBlend(Classes):
    """Weighted mean of probabilities."""

    params_class: ClassVar[type[Params]] = ClassBlendParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        super().__init__(spec, params)
        self._weights = np.zeros(0)

    def _learn(self, logs: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = self._greedy(likelihoods(logs, true))
        heeded = np.flatnonzero(weights)
        self._weights = weights[heeded]
        return heeded, self._mix(logs[:, :, heeded])

    def _greedy(self, chances: np.ndarray) -> np.ndarray:
        taken, total = np.zeros(chances.shape[1]), np.zeros(len(chances))
        best_taken, best = taken, -np.inf
        for step in range(self.params.n_steps):
            found = np.log((total[:, None] + chances) / (step + 1)).mean(axis=0)
            choice = int(found.argmax())
            taken, total = taken.copy(), total + chances[:, choice]
            taken[choice] += 1
            if found[choice] > best:
                best_taken, best = taken, float(found[choice])
        weights: np.ndarray = best_taken / best_taken.sum()
        return weights

    def _mix(self, logs: np.ndarray) -> np.ndarray:
        return linear(logs, self._weights)

    def weights(self) -> dict[str, float]:
        return dict(zip(self.spec.members, self._weights.tolist(), strict=True))

    def _kept(self) -> Any:
        return self._weights.tolist()

    def _restore(self, kept: Any) -> None:
        self._weights = np.array(kept)


ENSEMBLE = ClassBlend
