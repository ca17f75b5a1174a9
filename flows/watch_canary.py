"""The challenger beside the champion: figures of both, and the move where they are clear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.core.errors import ReleaseError
from components.monitoring.arms import Judgement, judge
from components.monitoring.sequential import Running
from components.pointers import Challenger
from flows.release import settle
from flows.watch_notes import Notes
from flows.watched import Watched

LEAST_DUE = 20  # of a challenger, by its share, before it is taken to answer nobody: chance alone leaves none so rarely


@dataclass(frozen=True, slots=True)
class Challenge:
    """What became of a challenger at this look."""

    version: str
    mode: str
    days: float
    judgement: Judgement
    moved: bool
    words: str

    def as_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "mode": self.mode,
            "days": self.days,
            "moved": self.moved,
            "words": self.words,
            **self.judgement.as_json(),
        }


def challenge(one: Watched, notes: Notes, act: bool) -> Challenge | None:
    """None where nobody challenges. A shadow is only reported: nobody saw its answers."""
    waiting = one.pointer.challenger
    if waiting is None:
        return None
    limits, days = one.params, (one.now - waiting.since).total_seconds() / 86400
    champion = notes.quality.arm(one.phase, "champion")
    challenger = notes.quality.arm(one.phase, "challenger" if waiting.mode == "canary" else "shadow")
    judged = _silent(waiting, champion, challenger, limits.canary_min_answers) or judge(
        champion,
        challenger,
        limits.margin,
        limits.canary_min_answers,
        days,
        limits.max_days,
    )
    moved, words = False, f"{waiting.mode} {waiting.version}: {judged.why}"
    if waiting.mode == "canary" and judged.outcome != "wait":
        moved, words = _move(one, waiting.version, judged, words) if act else (False, f"{words}; nothing was moved")
    return Challenge(waiting.version, waiting.mode, days, judged, moved, words)


def _silent(
    waiting: Challenger, champion: Mapping[str, Running], challenger: Mapping[str, Running], min_answers: int
) -> Judgement | None:
    """A canary of whom no answer is known at all, though some were due: its failures would be logged as such."""
    seen = max((state.n for state in champion.values()), default=0)
    if waiting.mode != "canary" or challenger or seen * waiting.share < max(LEAST_DUE, min_answers / 2):
        return None
    due = f"{waiting.share:g} of the customers were its, and {seen} observations of the champion came in"
    return Judgement("dismiss", f"answered nobody, though {due}; the service's log says why", ())


def _move(one: Watched, version: str, judged: Judgement, words: str) -> tuple[bool, str]:
    """Settle it; a pointer that is held, or that somebody moved meanwhile, stays as it is."""
    if one.pointer.held is not None:
        return False, f"{words}; the pointer is held ({one.pointer.held.why}), so it stays"
    try:
        done = settle.fn(
            one.application,
            "promote" if judged.outcome == "promote" else "dismiss",
            f"canary: {judged.why}",
            challenger=version,
            automatic=True,
            by="watch",
            figures=judged.as_json(),
        )
    except ReleaseError as error:
        return False, f"{words}; not settled: {error}"
    return done.moved, f"{words}. {done.words}"
