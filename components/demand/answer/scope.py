"""How much one request may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.core.errors import DataError

MOST_EXPLAINED = 20  # series; each takes milliseconds of the boosters' time
MOST_NUMBERS = 200_000  # series x periods x levels: some 4 MB on the wire


@dataclass(frozen=True)
class Scope:
    """Periods ahead and levels (n_quantiles,) that the release was trained for."""

    horizon: int
    levels: np.ndarray

    def periods(self, wanted: int | None) -> int:
        """All where nothing is said; raises DataError beyond them."""
        if wanted is not None and wanted > self.horizon:
            raise DataError(
                f"horizon: expected at most {self.horizon}, for which the release was trained, got {wanted}; "
                "ask for fewer, or raise demand.split.horizon and train again"
            )
        return wanted or self.horizon

    def quantiles(self, wanted: Sequence[float] | None) -> np.ndarray:
        """Ascending, once each; those trained where nothing is said; raises DataError beyond them."""
        if not wanted:
            return self.levels
        low, high = self.levels[0], self.levels[-1]
        outside = [level for level in wanted if not low <= level <= high]
        if outside:
            raise DataError(
                f"quantiles: expected levels from {low:g} to {high:g}, for which the release was trained, "
                f"got {outside[0]:g}; ask within, or widen demand.features.quantiles and train again"
            )
        return np.unique(wanted)


def check_size(n_series: int, horizon: int, n_levels: int, explained: bool) -> None:
    """Raises DataError where an answer would be too long, or take too long."""
    if explained and n_series > MOST_EXPLAINED:
        raise DataError(
            f"explain: expected at most {MOST_EXPLAINED} series where drivers are asked for, got {n_series}; "
            "ask in several requests, or leave explain out"
        )
    if n_series * horizon * n_levels > MOST_NUMBERS:
        raise DataError(
            f"series: expected at most {MOST_NUMBERS} numbers in one answer, got {n_series} series of {horizon} "
            f"periods and {n_levels} levels; ask for fewer of them, or in several requests"
        )
