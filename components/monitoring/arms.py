"""Champion and challenger side by side: promote, dismiss or wait, by intervals that allow constant looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.monitoring.observations import MEASURES
from components.monitoring.sequential import Running, difference

Outcome = Literal["promote", "dismiss", "undecided", "wait"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of both; a positive difference is for the challenger, whatever the measure."""

    measure: str
    n_champion: int
    n_challenger: int
    champion: float
    challenger: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be done about the challenger, why, and by which figures."""

    outcome: Outcome
    why: str
    comparisons: tuple[Comparison, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "comparisons": [asdict(one) for one in self.comparisons]}


def alpha_of_each(alpha: float) -> float:
    """For one arm's interval of one measure, so that all of them hold but for `alpha` (union bound)."""
    return alpha / (2 * len(MEASURES))


def judge(
    champion: Mapping[str, Running],
    challenger: Mapping[str, Running],
    margin: float,
    min_answers: int,
    days: float,
    max_days: float,
) -> Judgement:
    """Dismiss where any measure is clearly worse, promote where the first is no worse than `margin`.

    Args:
        champion: what its answers came to since the challenge began, by measure.
        challenger: the same for the challenger.
        margin: the loss that is accepted for a fresher release.
        min_answers: observations of each arm; a measure with fewer is not looked at.
        days: since the challenge began.
        max_days: until it must be decided.
    """
    both = [name for name in MEASURES if name in champion and name in challenger]
    seen = tuple(
        _compare(name, champion[name], challenger[name])
        for name in both
        if min(champion[name].n, challenger[name].n) >= min_answers
    )
    for one in seen:
        if one.high < 0:
            return Judgement("dismiss", f"clearly worse in {_words(one)}", seen)
    if seen and seen[0].low > -margin:
        clearly = "clearly better" if seen[0].low > 0 else f"not worse by {margin:g}"
        return Judgement("promote", f"{clearly} in {_words(seen[0])}", seen)
    known = _words(seen[0]) if seen else f"fewer than {min_answers} observations of each arm"
    if days >= max_days:
        return Judgement("undecided", f"undecided after {days:.1f} days: {known}", seen)
    return Judgement("wait", f"undecided so far, for {days:.1f} of {max_days:g} days: {known}", seen)


def _compare(measure: str, champion: Running, challenger: Running) -> Comparison:
    gap = difference(challenger, champion)
    return Comparison(
        measure, champion.n, challenger.n, champion.bounds().mean, challenger.bounds().mean, gap.mean, gap.low, gap.high
    )


def _words(one: Comparison) -> str:
    return f"{one.measure}: {one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}] over {one.n_challenger} observations"
