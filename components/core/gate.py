"""Rules that a candidate must pass before a customer sees it: floors, and the duel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Report = Mapping[str, float]  # metric, or "slice=value/metric" -> figure


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says, in words that a person can act upon."""

    passed: bool
    metric: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gate:
    """One rule: beats `floor`, and is no worse than the champion, re-scored on the same rows, beyond what it may lose.

    It may lose `slack`, in the metric's own unit, and `share` of the champion's figure. Where `around` is given, what
    counts against the champion is how far the figure lies from it. Without a champion only the floor speaks.
    """

    metric: str
    better: Literal["higher", "lower"]
    floor: float | None = None
    slack: float = 0.0
    share: float = 0.0
    around: float | None = None

    def judge(self, candidate: Report, champion: Report | None) -> Verdict:
        """Pass or fail, with the figures compared; a figure of the candidate's that is missing or no number fails."""
        if self.metric not in candidate:
            return Verdict(False, self.metric, f"{self.metric}: expected a figure, the candidate has none")
        figure, sign = candidate[self.metric], 1 if self.better == "higher" else -1
        if not math.isfinite(figure):  # NaN is neither above nor below any bound, so no comparison would refuse it
            return Verdict(False, self.metric, f"{self.metric}: expected a figure, the candidate has {figure}")
        if self.floor is not None and sign * figure < sign * self.floor:
            return Verdict(False, self.metric, f"{self.metric} {figure:.4g} misses the floor {self.floor:.4g}")
        live = (champion or {}).get(self.metric, math.nan)
        if not math.isfinite(live):
            return Verdict(True, self.metric, f"{self.metric} {figure:.4g} passes; no champion to compare with")
        return self._against(figure, live, sign)

    def _against(self, figure: float, live: float, sign: int) -> Verdict:
        """The champion's figure beside the candidate's."""
        allowed, lost, words = self.slack + self.share * abs(live), sign * (live - figure), self.metric
        if self.around is not None:
            lost, words = abs(figure - self.around) - abs(live - self.around), f"{words} beside {self.around:g}:"
        if lost > allowed:
            return Verdict(
                False, self.metric, f"{words} {figure:.4g} is worse than the live {live:.4g} by more than {allowed:.4g}"
            )
        return Verdict(
            True, self.metric, f"{words} {figure:.4g} holds against the live {live:.4g} (slack {allowed:.4g})"
        )


def judge_all(gates: Sequence[Gate], candidate: Report, champion: Report | None) -> list[Verdict]:
    """Every rule's verdict, in order."""
    return [gate.judge(candidate, champion) for gate in gates]
