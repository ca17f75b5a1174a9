"""Selection among classifiers: the one whose calibrated probabilities were best on out-of-fold rows.

Over one member it is what lets a single model answer with calibrated probabilities, and reject.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.core.ensembles._classes import Classes, likelihoods


class ClassSelect(Classes):
    """Passes through one member, calibrated."""

    def _learn(self, logs: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        best = np.log(likelihoods(logs, true)).mean(axis=0).argmax(keepdims=True)
        return best, self._mix(logs[:, :, best])

    def _mix(self, logs: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = logs[:, :, 0]
        return chosen

    def weights(self) -> dict[str, float]:
        return {self.spec.members[0]: 1.0}

    def _kept(self) -> Any:
        return {}

    def _restore(self, kept: Any) -> None:
        """There is nothing but the member."""


ENSEMBLE = ClassSelect
