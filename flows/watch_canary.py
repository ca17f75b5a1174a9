"""The challenger beside the champion: figures of both, and the move where they are clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.core.errors import ReleaseError
from components.monitoring.arms import Judgement, judge
from flows.release import settle
from flows.watch_notes import Notes
from flows.watched import Watched


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
    judged = judge(
        notes.quality.arm(one.phase, "champion"),
        notes.quality.arm(one.phase, "challenger" if waiting.mode == "canary" else "shadow"),
        limits.margin,
        limits.canary_min_answers,
        days,
        limits.max_days,
    )
    moved, words = False, f"{waiting.mode} {waiting.version}: {judged.why}"
    if waiting.mode == "canary" and judged.outcome != "wait":
        moved, words = _move(one, waiting.version, judged, words) if act else (False, f"{words}; nothing was moved")
    return Challenge(waiting.version, waiting.mode, days, judged, moved, words)


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
