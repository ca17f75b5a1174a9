"""What flows back, on its way to the store: feedback, acknowledged once it is on disk, and the log of our own answers.

Answers never wait for the store and never fail with it: what cannot be logged is counted. A store that cannot be
opened is tried again every few seconds, while feedback is refused so that the shop sends it again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from components.core.errors import FeedbackError
from components.feedback.events import Event
from components.feedback.store import open_store
from components.feedback.writer import Writer

log = logging.getLogger(__name__)

R = TypeVar("R")

REOPEN_SECONDS = 5.0
SAY_SECONDS = 60.0  # between two lines of the log about the same trouble
FEW = 100  # events, whose conversion takes no longer than an answer
PATIENCE_SECONDS = 20.0  # less than BentoML's own limit, so that who waits is told what to do


async def aside(n_events: int, work: Callable[[], R]) -> R:
    """What `work` returns; a long batch is worked on in a thread, so that answers get in between."""
    return work() if n_events <= FEW else await asyncio.to_thread(work)


class Journal:
    """One per process."""

    def __init__(self) -> None:
        self.logged, self.failed = 0, 0
        self.trouble: str | None = None
        self._writer: Writer | None = None
        self._said_at = -SAY_SECONDS
        self._stop = threading.Event()
        self._open()
        if self._writer is None:
            threading.Thread(target=self._reopen, name="open feedback", daemon=True).start()

    async def keep(self, events: Sequence[Event]) -> int:
        """How many of the events are new; all are on disk on return. Raises FeedbackError."""
        writer = self._writer
        if writer is None:
            raise FeedbackError(self.trouble)
        kept = asyncio.wrap_future(await aside(len(events), lambda: writer.submit(events)))
        try:
            return await asyncio.wait_for(asyncio.shield(kept), PATIENCE_SECONDS)
        except TimeoutError:
            problem = f"expected the store to answer within {PATIENCE_SECONDS:.0f} s, it did not"
            raise FeedbackError(f"{problem}; send the same events again: each counts once") from None

    def log(self, made: Callable[[], Event]) -> None:
        """Hand over one of our own answers; never waits and never raises."""
        try:
            if self._writer is None:
                raise FeedbackError(self.trouble)
            self._writer.log(made())
            self.logged += 1
        except Exception:  # whatever it is, the customer has an answer
            self.failed += 1
            self._say()

    def status(self) -> dict[str, Any]:
        """Of this process: answers logged, on disk, waiting for it, and lost: now (dropped) or by an earlier crash."""
        writer = self._writer
        return {
            "logged": self.logged,
            "written": writer.written if writer else 0,
            "pending": writer.pending if writer else 0,
            "dropped": self.failed + (writer.dropped if writer else 0),
            "lost_before": writer.lost_before if writer else None,
            "trouble": self.trouble,
        }

    def close(self) -> None:
        """Write what waits."""
        self._stop.set()
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> None:
        try:
            self._writer, self.trouble = Writer(open_store()), None
        except Exception as error:  # whatever keeps the store shut, the shop answers
            self.trouble = str(error)
            self._say()

    def _reopen(self) -> None:
        while self._writer is None and not self._stop.wait(REOPEN_SECONDS):
            self._open()

    def _say(self) -> None:
        if time.monotonic() - self._said_at >= SAY_SECONDS:
            self._said_at = time.monotonic()
            log.exception("feedback: %d answers could not be logged so far; answering goes on", self.failed)
