"""The audit log: one line per decision about a release, appended, on disk when `audit` returns, never rewritten.

    <SHOP_HOME>/audit.jsonl     {"id", "at", "application", "what", "from", "to", "why", "by", "figures"}

A decision that moves a pointer stands in the pointer first, in the same replacement, and is copied here from there
(`append_missing`), so a process that dies between the two loses no reason. One that dies while it writes leaves at
most one torn line, which readers pass over; the next line starts on its own. Lines of older versions of the project
have no `id`, or name one `version` instead of `from` and `to`.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from components.clock import now
from components.settings import settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about the releases of one application."""

    at: datetime  # UTC
    application: str
    what: str
    before: str | None  # the release that answered, or waited, until then
    after: str | None  # the release that it is about; the one that answers from then on where it moved the pointer
    why: str
    by: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """What a move of a pointer is called on record, who or what decided it, and by which figures."""

    what: str
    by: str | None = None  # the user's name where left out
    figures: Mapping[str, Any] | None = None


def audit(
    application: str,
    what: str,
    before: str | None,
    after: str | None,
    why: str,
    by: str | None = None,
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Append one decision; it is on disk on return. `by`: what decided, the user's name where left out."""
    append_missing([entry_of(application, before, after, why, Note(what, by, figures))])


def entry_of(application: str, before: str | None, after: str | None, why: str, note: Note) -> dict[str, Any]:
    """One line of the log, under an id of its own; plain JSON."""
    entry: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "at": now().isoformat(timespec="seconds"),
        "application": application,
    }
    entry |= {"what": note.what, "from": before, "to": after, "why": why, "by": note.by or _user()}
    plain: dict[str, Any] = json.loads(json.dumps(entry | {"figures": _finite(dict(note.figures or {}))}, default=str))
    return plain


def append_missing(entries: Iterable[Mapping[str, Any]]) -> None:
    """Append the entries whose id the log does not have; they are on disk on return, each of them once."""
    path, wanted = _path(), list(entries)
    if not wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        known = _ids(stream)
        lines = [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in wanted if one["id"] not in known]
        if lines:
            stream.write(b"\n" * _is_torn(stream) + b"".join(lines))
            stream.flush()
            os.fsync(stream.fileno())
    _sync_folder(path.parent)


def read_audit(application: str | None = None) -> list[Decision]:
    """All decisions, oldest first; of one application where named."""
    if not _path().exists():
        return []
    found = [_decision(line) for line in _path().read_bytes().split(b"\n") if line.strip()]
    return [one for one in found if one is not None and application in (None, one.application)]


def _decision(line: bytes) -> Decision | None:
    try:
        entry = json.loads(line)
        at, about = datetime.fromisoformat(entry["at"]), entry.get("to", entry.get("version"))
        words = (entry["application"], entry["what"], entry.get("from"), about, entry["why"], entry["by"])
        return Decision(at, *words, figures=entry.get("figures") or {})
    except (AttributeError, KeyError, TypeError, ValueError):  # torn UTF-8 and torn JSON are ValueErrors
        log.warning("%s: passed over a line that a process could not finish: %r", _path(), line[:80])
        return None


def _ids(stream: BinaryIO) -> set[str]:
    """Of all whole lines; a torn one does not count, so that its decision is written again."""
    stream.seek(0)
    found = set()
    for line in stream:
        try:
            found.add(json.loads(line)["id"])
        except (KeyError, TypeError, ValueError):  # a line of an older version has no id
            continue
    return found


def _is_torn(stream: BinaryIO) -> bool:
    """Whether the last line lacks its end, because who wrote it died."""
    if stream.seek(0, os.SEEK_END) == 0:
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) != b"\n"


def _sync_folder(folder: Path) -> None:
    """A file's first line is not safe before its name is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _finite(value: Any) -> Any:
    """JSON knows no NaN: null stands for it."""
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _user() -> str:
    return os.environ.get("USER") or str(os.getuid())


def _path() -> Path:
    return settings().home / "audit.jsonl"
