"""What answers came to: intervals that grow with every look, and what they are held against.

Releases of one lineage (the same weights) share their figures. The first lineage's own first answers are its
baseline; those after it are held against what the ones before reached together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np

from components.monitoring.arms import alpha_of_each
from components.monitoring.observations import MEASURES
from components.monitoring.params import WatchParams
from components.monitoring.sequential import Bounds, Running

BASELINES = 3  # lineages before this one whose quality is what this one should reach
LINEAGES = 6  # that are remembered
OWN, BEFORE = "its own first answers", "the releases before"
_SQUARES = np.pi**2 / 6  # sum of 1 / k^2: what the k-th fresh interval may spend adds up to its half of alpha


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure of the live lineage, as shares of the good.

    least           what is tolerated: that much below where the baseline lies at the least; None before there is one
    whole, fresh    since its baseline was known, and since `since`; None before
    worse           the one of them that lies below what is tolerated, "" where neither does
    """

    measure: str
    n: int
    mean: float
    baseline: float | None
    of: str | None
    least: float | None
    whole: Bounds | None
    fresh: Bounds | None
    since: str | None
    worse: str


@dataclass(slots=True)
class Quality:
    """All of it; JSON holds the same.

    lineages   those that were live, the present one last
    running    "live/<lineage>/<measure>", "fresh/..." and "canary/<challenge>/<role>/<measure>" -> interval
    reached    lineage -> measure -> [observations, their sum]
    baselines  lineage -> measure -> {"mean", "n", "of"}
    begun      "fresh/<lineage>/<measure>" -> {"number", "at"}: the how-manieth it is, and since when
    """

    lineages: list[str] = field(default_factory=list)
    running: dict[str, Running] = field(default_factory=dict)
    reached: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    baselines: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    begun: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Quality:
        running = {name: Running.from_json(state) for name, state in kept["running"].items()}
        return cls(**{**kept, "running": running})

    def follow(self, lineage: str, phase: str) -> None:
        """`lineage` is live, also where it was rolled back to; of others as much stays as is needed."""
        if self.lineages[-1:] != [lineage]:
            self.lineages = [*(name for name in self.lineages if name != lineage), lineage][-LINEAGES:]
        known = {*self.lineages, phase}
        for kept in (self.reached, self.baselines):
            for name in kept.keys() - known:
                del kept[name]
        for name in [name for name in self.running if name.split("/")[1] not in known]:
            del self.running[name]
            self.begun.pop(name, None)

    def count(self, lineage: str, measure: str, good: np.ndarray, now: datetime, params: WatchParams) -> None:
        """Towards the baseline where there is none yet, then towards the intervals that are held against it."""
        sums = self.reached.setdefault(lineage, {}).setdefault(measure, [0, 0.0])
        baselines = self.baselines.setdefault(lineage, {})
        if measure not in baselines and (before := self._before(lineage, measure, params.min_answers)):
            baselines[measure] = before
        sums[0], sums[1] = sums[0] + len(good), sums[1] + float(good.sum())
        if measure in baselines:
            self._extend(f"live/{lineage}/{measure}", params.quality_alpha / 2, good)
            self._extend_fresh(f"fresh/{lineage}/{measure}", good, now, params)
        elif sums[0] >= params.min_answers:
            baselines[measure] = {"mean": sums[1] / sums[0], "n": sums[0], "of": OWN}

    def count_arm(self, phase: str, role: str, measure: str, good: np.ndarray, params: WatchParams) -> None:
        """One side of a challenge."""
        self._extend(f"canary/{phase}/{role}/{measure}", alpha_of_each(params.canary_alpha), good)

    def arm(self, phase: str, role: str) -> dict[str, Running]:
        """Intervals of one side of a challenge, by measure."""
        prefix = f"canary/{phase}/{role}/"
        return {name.removeprefix(prefix): state for name, state in self.running.items() if name.startswith(prefix)}

    def measured(self, lineage: str, params: WatchParams) -> list[Measured]:
        """Every measure of which something is known."""
        known = self.reached.get(lineage, {})
        return [self._measured(lineage, name, known[name], params) for name in MEASURES if name in known]

    def _measured(self, lineage: str, measure: str, sums: list[float], params: WatchParams) -> Measured:
        base = self.baselines.get(lineage, {}).get(measure)
        state, fresh = (self.running.get(f"{kind}/{lineage}/{measure}") for kind in ("live", "fresh"))
        if base is None:
            return Measured(measure, int(sums[0]), sums[1] / sums[0], None, None, None, None, None, None, "")
        mean, of, least = base["mean"], base["of"], _least(base, params)
        if state is None or fresh is None:
            return Measured(measure, int(sums[0]), sums[1] / sums[0], mean, of, least, None, None, None, "")
        worse = "fresh" if fresh.bounds().high < least else "whole" if state.bounds().high < least else ""
        since = self.begun[f"fresh/{lineage}/{measure}"]["at"]
        bounds = state.bounds()
        return Measured(measure, state.n, bounds.mean, mean, of, least, bounds, fresh.bounds(), since, worse)

    def _before(self, lineage: str, measure: str, min_answers: int) -> dict[str, Any] | None:
        """What the lineages before it reached together; None where too little is known of them."""
        earlier = self.lineages[: self.lineages.index(lineage)] if lineage in self.lineages else self.lineages
        known = [self.reached[name][measure] for name in earlier if measure in self.reached.get(name, {})]
        n, total = (sum(sums[which] for sums in known[-BASELINES:]) for which in (0, 1))
        return {"mean": total / n, "n": n, "of": BEFORE} if n >= min_answers else None

    def _extend_fresh(self, name: str, good: np.ndarray, now: datetime, params: WatchParams) -> None:
        """A long good past would hide what goes wrong now, so a second interval begins anew again and again."""
        begun = self.begun.get(name)
        if begun is None or now - datetime.fromisoformat(begun["at"]) >= timedelta(days=params.fresh_days):
            self.begun[name] = begun = {"number": (begun["number"] if begun else 0) + 1, "at": now.isoformat()}
            self.running.pop(name, None)
        self._extend(name, params.quality_alpha / 2 / (_SQUARES * begun["number"] ** 2), good)

    def _extend(self, name: str, alpha: float, good: np.ndarray) -> None:
        self.running[name] = (self.running.get(name) or Running(alpha)).extended(good)


def _least(base: Mapping[str, Any], params: WatchParams) -> float:
    """What a baseline of finitely many observations vouches for, less the tolerance.

    An alarm looks at the upper ends of two intervals alone, which spend half of quality_alpha; this spends the rest.
    """
    widest = NormalDist().inv_cdf(1 - params.quality_alpha / 2) * math.sqrt(
        base["mean"] * (1 - base["mean"]) / base["n"]
    )
    return float(base["mean"] - widest - params.tolerance)
