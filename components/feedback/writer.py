"""The one thread of a process that writes feedback, so that many requests share one sync of the disk.

    submit  events that somebody waits for: acknowledged once they are on disk
    log     events that nobody waits for, such as the impression of an answer: on disk within 200 ms, never in
            the answer's way, and counted, so that what a crash costs is known at the next start

While one transaction is being synced, what arrives queues up and forms the next one: the busier, the larger.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from components.core.errors import FeedbackError, ShopError
from components.feedback.counter import adopt
from components.feedback.events import Event
from components.feedback.rows import Row, row
from components.feedback.store import Store
from components.settings import settings

log = logging.getLogger(__name__)

DEFER_SECONDS = 0.05  # the longest a deferred event waits for company; the rest of the 200 ms is the disk's
AGAIN_SECONDS = 1.0  # after a failure, until deferred events are tried again by themselves
GROUP = 10_000  # events of one transaction, so that no acknowledgement waits for an endless one
MOST_WAITING = 100_000  # events that somebody waits for; beyond, the disk is too slow and the sender must know
MOST_DEFERRED = 10_000
MOST_SHOWN = 500_000  # keys in deferred events: an answer may show thousands, and memory is what they cost
SHOWN_GROUP = 50_000  # of them in one transaction
SAY_SECONDS = 60.0  # between two log lines about the same trouble


@dataclass(slots=True)
class _Asked:
    rows: list[Row]
    answer: Future[int]


@dataclass(slots=True)
class _Work:
    """What goes into one transaction."""

    asked: list[_Asked] = field(default_factory=list)
    deferred: list[Event] = field(default_factory=list)


class Writer:
    """Safe for several threads. Each process has its own; the store keeps their transactions apart."""

    def __init__(self, store: Store, folder: Path | None = None) -> None:
        """`folder` keeps the counters, by default <SHOP_HOME>/feedback. Raises FeedbackError where it cannot."""
        self._store = store
        self._counter, self.lost_before = adopt(folder or settings().home / "feedback", store.add_lost)
        if self.lost_before:
            log.warning("an earlier worker ended before %d deferred events were on disk: lost", self.lost_before)
        self.written = self.dropped = 0
        self._asked: deque[_Asked] = deque()
        self._deferred: deque[Event] = deque()
        self._n_waiting = self._n_shown = 0
        self._due = math.inf  # when deferred events are written even if nobody asks for anything
        self._closing = False
        self._changed = threading.Condition()
        self._said: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="feedback-writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Deferred events that are not on disk yet."""
        return self._counter.taken - self._counter.settled

    def submit(self, events: Sequence[Event]) -> Future[int]:
        """How many were new, once all are on disk; or the FeedbackError for which none is acknowledged.

        Raises DataError for an event that cannot be kept, FeedbackError when closed or too far behind.
        """
        asked = _Asked([row(event) for event in events], Future())
        with self._changed:
            self._check_room(len(asked.rows))
            self._n_waiting += len(asked.rows)
            self._asked.append(asked)
            self._changed.notify()
        return asked.answer

    def _check_room(self, n: int) -> None:
        if self._closing:
            raise FeedbackError("expected a running writer of feedback, got one that was closed; send again later")
        if self._n_waiting and self._n_waiting + n > MOST_WAITING:
            raise FeedbackError(
                f"expected at most {MOST_WAITING} events waiting for the disk, got {self._n_waiting + n}; "
                "send again later, and slower"
            )

    def log(self, event: Event) -> None:
        """Queue one event that nobody waits for; dropped, counted and said where the queue is full."""
        with self._changed:
            if self._closing or len(self._deferred) >= MOST_DEFERRED or self._n_shown >= MOST_SHOWN:
                self._drop("the queue is full or closed")
                return
            self._counter.taken += 1
            self._deferred.append(event)
            self._n_shown += _n_shown(event)
            if self._due == math.inf:
                self._due = time.monotonic() + DEFER_SECONDS
                self._changed.notify()

    def close(self) -> None:
        """Write what is queued, then stop; what cannot be written is said, and counted at the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self.pending:
            log.error("%d deferred events could not be written before the end: lost", self.pending)
        self._counter.close()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            self._write(work)

    def _next(self) -> _Work | None:
        """What to write now, waiting for it; None when all is written and nothing more will come."""
        with self._changed:
            while not (self._asked or self._closing or time.monotonic() >= self._due):
                self._changed.wait(None if self._due == math.inf else max(self._due - time.monotonic(), 0.0))
            return self._take() if self._asked or self._deferred else None

    def _take(self) -> _Work:
        work, n, shown = _Work(), 0, 0
        while self._asked and n < GROUP:
            asked = self._asked.popleft()
            self._n_waiting -= len(asked.rows)
            if asked.answer.set_running_or_notify_cancel():  # else its sender has gone
                work.asked.append(asked)
                n += len(asked.rows)
        while self._deferred and len(work.deferred) < GROUP and shown < SHOWN_GROUP:
            work.deferred.append(self._deferred.popleft())
            shown += _n_shown(work.deferred[-1])
        self._n_shown -= shown
        self._due = time.monotonic() if self._deferred else math.inf
        return work

    def _write(self, work: _Work) -> None:
        deferred = self._keepable(work)
        try:
            new = self._store.append_rows([*(asked.rows for asked in work.asked), deferred])
        except Exception as error:  # whatever it is, nobody may wait for ever
            self._failed(work, error)
            return
        with self._changed:
            self.written += len(deferred)
            self._counter.settled += len(deferred)
        for asked, n in zip(work.asked, new, strict=False):
            asked.answer.set_result(n)

    def _keepable(self, work: _Work) -> list[Row]:
        """Rows of the deferred events, made here and not in the answer's time; what no store can keep is dropped."""
        rows, kept = [], []
        for event in work.deferred:
            try:
                rows.append(row(event))
                kept.append(event)
            except Exception as error:  # what cannot be kept must not end the thread, nor be tried for ever
                with self._changed:
                    self._counter.settled += 1
                    self._drop(f"{type(error).__name__}: {error}")
        work.deferred = kept
        return rows

    def _failed(self, work: _Work, error: Exception) -> None:
        """Tell who waits; deferred events go back to the head of their queue, unless this was the last attempt."""
        if not isinstance(error, ShopError):
            log.exception("a defect in writing feedback")
        elif self._may_say("failed"):
            log.error("feedback was not written: %s", error)
        for asked in work.asked:
            asked.answer.set_exception(error)
        with self._changed:
            if not self._closing:
                self._deferred.extendleft(reversed(work.deferred))
                self._n_shown += sum(map(_n_shown, work.deferred))
                self._due = time.monotonic() + AGAIN_SECONDS if self._deferred else math.inf

    def _drop(self, why: str) -> None:
        self.dropped += 1
        if self._may_say("dropped"):
            log.warning("deferred events are dropped, %d so far: %s", self.dropped, why)

    def _may_say(self, what: str) -> bool:
        last = self._said.get(what, -math.inf)
        if time.monotonic() - last < SAY_SECONDS:
            return False
        self._said[what] = time.monotonic()
        return True


def _n_shown(event: Event) -> int:
    return len(event.payload.get("shown", ()))
