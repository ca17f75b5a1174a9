"""What stands before a move, and, in words, why nothing is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass

from components import releases
from components.core.errors import ReleaseError
from components.pointers import Pointer


@dataclass(frozen=True, slots=True)
class Released:
    """What is live now, and what was done about it, in words."""

    application: str
    version: str
    moved: bool
    words: str


def standing(application: str) -> Pointer:
    """The pointer, its last move on record; raises ReleaseError before the first release."""
    releases.complete(application)
    found = releases.pointer(application)
    if found is None:
        raise ReleaseError(f"expected a live release of {application}, but there is none; promote one first")
    return found


def version_before(found: Pointer) -> str:
    """What was live before; raises ReleaseError where there is none that was not itself taken back."""
    version = found.previous
    if version is None or version in found.withdrawn:
        known = ", ".join(releases.versions(found.application))
        what = f"{version} was withdrawn" if version else "nothing was live before"
        raise ReleaseError(f"expected the release before {found.version}, but {what}; name one of {known}")
    return version


def left(found: Pointer, words: str) -> Released:
    """Nothing was done."""
    return Released(found.application, found.version, False, f"{found.application}: {words}")


def is_held(found: Pointer) -> str | None:
    """In words, why nothing that runs by itself may move the pointer; None where it may."""
    held = found.held
    if held is None:
        return None
    free = f"To free it: python -m flows.release thaw {found.application}"
    return f"held since {held.at:%Y-%m-%d %H:%M} UTC ({held.why}), {found.version} stays live. {free}"


def beside(found: Pointer) -> str:
    """The challenger that goes on beside what is live, in brackets; empty where there is none."""
    waiting = found.challenger
    return f" ({waiting.version} goes on as {waiting.mode} until it is settled)" if waiting else ""
