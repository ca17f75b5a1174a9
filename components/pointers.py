"""What a live pointer says: the champion, a challenger with its share, whether it is held, what was withdrawn.

    <SHOP_HOME>/live/<application>.json
        {"application": ..., "version": ..., "at": ..., "why": ..., "previous": ..., "withdrawn": {version: why},
         "challenger": {"version", "share", "mode", "since", "why"} or null, "held": {"why", "at"} or null,
         "record": [lines of the audit log]}

`record` is what the last move has to say in the audit log: written in the same replacement, it outlives a mover that
dies before it has written there (`releases.complete`). A pointer without the later keys, as older versions of the
project wrote it, has no challenger, is not held, and has nothing to say.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import EllipsisType
from typing import Any, Literal

from components.core.artifacts import read_json
from components.core.errors import ReleaseError

Mode = Literal["canary", "shadow"]
Expected = str | EllipsisType | None  # a version, or None for nothing; `...`: whatever it is


@dataclass(frozen=True, slots=True)
class Challenger:
    """A release that answers a share of the customers (canary), or is asked beside the champion, unseen (shadow)."""

    version: str
    share: float  # of the units, in (0, 1]
    mode: Mode
    since: datetime  # UTC
    why: str


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing that runs by itself may move the pointer."""

    why: str
    at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Pointer:
    """Who answers the customers of one application."""

    application: str
    version: str
    at: datetime  # UTC
    why: str
    previous: str | None = None
    withdrawn: Mapping[str, str] = field(default_factory=dict)  # versions that were taken back, each with the reason
    challenger: Challenger | None = None
    held: Held | None = None
    record: tuple[Mapping[str, Any], ...] = ()  # lines of the audit log that the last move had to write

    def as_json(self) -> dict[str, Any]:
        """What stands in the file; instants in ISO."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        waiting = self.challenger
        beside = f" and {waiting.mode} {waiting.version} at {waiting.share:g}" if waiting else ""
        return f"{self.version}{beside}{' (held)' if self.held else ''}: {self.why}"


def read_pointer(path: Path) -> Pointer:
    """The pointer in a file; raises ReleaseError where it is none."""
    found = read_json(path)
    try:
        return Pointer(
            application=str(found["application"]),
            version=str(found["version"]),
            at=datetime.fromisoformat(found["at"]),
            why=str(found.get("why", "")),
            previous=found.get("previous"),
            withdrawn=dict(found.get("withdrawn") or {}),
            challenger=_challenger(found.get("challenger")),
            held=_held(found.get("held")),
            record=tuple({**entry, "id": str(entry["id"])} for entry in found.get("record") or ()),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReleaseError(
            f"{path}: expected a pointer as this project writes it, got {error!r}; move the file away and pin a release"
        ) from None


def in_canary(challenger: Challenger, unit: str) -> bool:
    """Whether `unit` (a customer, a series) is in the share that the challenger answers.

    Stable for as long as the challenger is, and independent from one challenger to the next; who is
    in at a small share is in at every larger one.
    """
    digest = hashlib.blake2b(unit.encode(), key=challenger.version.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < challenger.share * 2**64


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """The right to replace the pointer at `path`; it goes with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def require(
    application: str, found: Pointer | None, expected: Expected, challenger: Expected, automatic: bool = False
) -> None:
    """Raise ReleaseError where the pointer is not what the mover saw when it decided, or is held and nobody asked."""
    waiting = found.challenger if found else None
    for role, wanted, now in (
        ("live", expected, found and found.version),
        ("the challenger", challenger, waiting and waiting.version),
    ):
        if wanted is not ... and wanted != now:
            raise ReleaseError(
                f"{application}: expected {wanted or 'nothing'} to be {role}, as when this was decided, "
                f"but now {now or 'nothing'} is; decide again"
            )
    if automatic and found and found.held:
        raise ReleaseError(f"{application}: expected a free pointer, but it is held ({found.held.why}); thaw it first")


def _challenger(found: dict[str, Any] | None) -> Challenger | None:
    if not found:
        return None
    if found["mode"] not in ("canary", "shadow"):
        raise ValueError(found["mode"])
    since = datetime.fromisoformat(found["since"])
    return Challenger(str(found["version"]), float(found["share"]), found["mode"], since, str(found["why"]))


def _held(found: dict[str, Any] | None) -> Held | None:
    return Held(str(found["why"]), datetime.fromisoformat(found["at"])) if found else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value
