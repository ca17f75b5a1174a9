"""Soft voting: the plain mean of calibrated probabilities, without the members that make it worse.

Starting from all members, the one without which out-of-fold rows are likeliest is left out, as long as that helps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.core.ensembles._classes import Classes, likelihoods, linear


class ClassVote(Classes):
    """Plain mean of probabilities."""

    def _learn(self, logs: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        voters = _voters(likelihoods(logs, true))
        return voters, self._mix(logs[:, :, voters])

    def _mix(self, logs: np.ndarray) -> np.ndarray:
        return linear(logs, np.full(logs.shape[2], 1 / logs.shape[2]))

    def weights(self) -> dict[str, float]:
        return {name: 1 / len(self.spec.members) for name in self.spec.members}

    def _kept(self) -> Any:
        return {}

    def _restore(self, kept: Any) -> None:
        """There is nothing but the members."""


def _voters(chances: np.ndarray) -> np.ndarray:
    """Numbers of the columns that stay, of the true label's probabilities (n, n_members)."""
    voters = np.arange(chances.shape[1])
    reached = _reached(chances)
    while len(voters) > 1:
        without = [_reached(chances[:, np.delete(voters, place)]) for place in range(len(voters))]
        if max(without) <= reached:
            break
        reached, voters = max(without), np.delete(voters, int(np.argmax(without)))
    return voters


def _reached(chances: np.ndarray) -> float:
    return float(np.log(chances.mean(axis=1)).mean())


ENSEMBLE = ClassVote
