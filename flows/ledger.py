"""What became of each retrain: one JSON line each in <SHOP_HOME>/retrains.jsonl, on disk before anything else goes on.

at, applications, reason, trigger, refit     what was asked for
outcome, outcomes, words, problems           what came of it, as a whole and by application
predicted_gain, realised_gain                by application: {mean, low, high} in its deciding metric, + is better
n_before, n_rows, rows_per_day, as_of        by application: what the champion, and what this one, learned from
seconds, cpu_seconds, energy_kwh, energy_by  what it took; cost_share says how much of it by application
versions, champions, commit, pushed          what it made, against what, and where it stands
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.artifacts import read_json, write_json

log = logging.getLogger(__name__)

Line = dict[str, Any]

UNCHANGED = "nothing to do"  # the outcome of a retrain that found all of it made already


@dataclass(frozen=True, slots=True)
class Ledger:
    """`home` is <SHOP_HOME>. Only who holds the retrain's lock writes; anybody may read at any time."""

    home: Path

    @property
    def path(self) -> Path:
        return self.home / "retrains.jsonl"

    @property
    def _begun(self) -> Path:
        return self.home / "retrain" / "begun.json"

    def lines(self) -> list[Line]:
        """Oldest first; a line that a full disk cut short is passed over."""
        if not self.path.is_file():
            return []
        return list(_parsed(self.path.read_text(encoding="utf-8", errors="replace")))

    def append(self, line: Mapping[str, Any]) -> None:
        """One more line; on disk on return."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as stream:
            stream.seek(0, os.SEEK_END)
            torn = stream.tell() > 0 and not _ends_a_line(stream.fileno(), stream.tell())
            words = json.dumps(line, ensure_ascii=False, allow_nan=False, default=str)
            stream.write(("\n" * torn + words + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())

    def begin(self, line: Mapping[str, Any]) -> None:
        """Note what begins, so that the next retrain can tell that this one was killed."""
        write_json(self._begun, dict(line))

    def end(self, line: Mapping[str, Any]) -> None:
        """The line of what had begun."""
        self.append(line)
        self._begun.unlink(missing_ok=True)

    def note_killed(self) -> Line | None:
        """Write the line of a retrain that never ended, if there is one; only a kill or a full disk leaves that."""
        if not self._begun.is_file():
            return None
        words = "it ended without a word: its process was killed, or no disk was left"
        line = {**read_json(self._begun), "outcome": "killed", "words": words}
        self.end(line)
        return line


def _parsed(text: str) -> Iterator[Line]:
    for number, words in enumerate(text.splitlines(), 1):
        try:
            found = json.loads(words)
        except json.JSONDecodeError:
            log.warning("retrains.jsonl: line %d is torn and passed over", number)
            continue
        if isinstance(found, dict):
            yield found


def _ends_a_line(descriptor: int, size: int) -> bool:
    return os.pread(descriptor, 1, size - 1) == b"\n"
