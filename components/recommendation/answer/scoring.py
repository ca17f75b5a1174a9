"""What ships, applied to histories without a data frame in between: the service's hot path.

The same members, features and ensemble as in evaluation; only the tables are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from components.core.ensembles import Ensemble
from components.recommendation.features.histories import Histories
from components.recommendation.features.pairs import FEATURES, pair_features
from components.recommendation.features.statistics import Statistics


class Scores(Protocol):
    """A recommender, as far as answering needs one."""

    def scores_at(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Relevance of chosen items, (n_pairs,) float32; NaN where it cannot say."""
        ...


@dataclass(frozen=True, slots=True)
class Scorer:
    """Members and, where one ships, the ensemble over them; without it the only member answers."""

    members: Mapping[str, Scores]
    ensemble: Ensemble | None
    statistics: Statistics

    @property
    def kind(self) -> str:
        """What answers: "ensemble" or "single"."""
        return "single" if self.ensemble is None else "ensemble"

    def inputs(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Members (n_pairs, n_members) and features (n_pairs, n_features) in the order that `combine` expects."""
        names = tuple(self.members) if self.ensemble is None else self.ensemble.spec.members
        members = np.full((len(items), len(names)), np.nan, np.float32)
        for column, name in enumerate(names):
            if self.counts(name):
                members[:, column] = self.members[name].scores_at(histories, offsets, items)
        wanted = () if self.ensemble is None else self.ensemble.spec.features
        if not wanted:
            return members, np.empty((len(items), 0), np.float32)
        columns = [FEATURES.index(name) for name in wanted]
        return members, pair_features(histories, offsets, items, self.statistics)[:, columns]

    def counts(self, member: str) -> bool:
        """Whether what ships heeds a member at all, itself or its rank; one that it ignores need not be asked."""
        if self.ensemble is None:
            return True
        return any(weight > 0 for name, weight in self.ensemble.weights().items() if name.split(" ")[0] == member)

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Scores (n_pairs,) float64; only the order within one query means anything."""
        if self.ensemble is None:
            return members[:, 0].astype(np.float64)
        return self.ensemble.combine(members, features, offsets)
