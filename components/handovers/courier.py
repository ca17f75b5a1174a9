"""Delivers what lies in the outbox, on a thread of its own, so that nobody waits for somebody else's server.

At least once: what a worker had in hand when it died is sent again, under the same id. Never given up: a handover
that is refused is tried again after a second, two, four, ... up to five minutes, each less a random part, so that many
do not come back at once. While the server cannot be reached at all, one attempt at a time asks whether it is back.
"""

from __future__ import annotations

import logging
import threading
from random import SystemRandom
from typing import Any

from components.core.errors import FeedbackError
from components.handovers.record import Due
from components.handovers.store import HandoverStore
from components.handovers.webhook import Undelivered, Webhook
from components.outgoing import Unreached

log = logging.getLogger(__name__)

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 300.0  # between two attempts at one handover
LONGEST_PAUSE = 30.0  # seconds in which a server that was not reached is left alone
POLL_SECONDS = 1.0  # until handovers of other processes, and those due again, are seen
STORE_SECONDS = 5.0  # until a store that failed is tried again

_RANDOM = SystemRandom()


def backoff(attempt: int, longest: float = LONGEST_SECONDS) -> float:
    """Seconds until the next attempt after so many: exponential, of which a random half is taken off at most."""
    most = min(FIRST_SECONDS * 2.0 ** min(attempt - 1, 30), longest)
    return most * _RANDOM.uniform(0.5, 1.0)


class Courier:
    """One per process; `close` leaves in the outbox what is not delivered."""

    def __init__(self, store: HandoverStore, webhook: Webhook) -> None:
        self.delivered, self.failed = 0, 0
        self.trouble: str | None = None
        self._store, self._webhook = store, webhook
        self._unreached = 0  # attempts in a row
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="handovers", daemon=True)

    def start(self) -> None:
        """Begin with what earlier processes left."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    def status(self) -> dict[str, Any]:
        """Of this process."""
        return {"delivered": self.delivered, "failed_attempts": self.failed, "trouble": self.trouble}

    def close(self, seconds: float = 5.0) -> None:
        """Stop; an attempt that is under way may end."""
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def deliver(self) -> float | None:
        """Try what is due longest; seconds to wait before the next attempt, None where nothing is due."""
        if not self._store.has_due() or (due := self._store.claim_due()) is None:
            return None
        try:
            self._webhook.send(due.handover)
        except (Unreached, Undelivered) as error:
            return self._failed(due, error)
        self._store.delivered(due.handover.handover_id)
        self.delivered, self._unreached, self.trouble = self.delivered + 1, 0, None
        return 0.0

    def _failed(self, due: Due, error: Unreached | Undelivered) -> float:
        self.failed += 1
        self._unreached = self._unreached + 1 if isinstance(error, Unreached) else 0
        if self.trouble is None:
            log.warning("the webhook was not told of handover %s, trying again: %s", due.handover.handover_id, error)
        self.trouble = str(error)
        self._store.postpone(due.handover.handover_id, backoff(due.attempt), str(error))
        return backoff(self._unreached, LONGEST_PAUSE) if self._unreached else 0.0

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._tried()
            if pause is None:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()
            elif pause:
                self._closing.wait(pause)

    def _tried(self) -> float | None:
        try:
            return self.deliver()
        except FeedbackError as error:
            self.trouble = str(error)
            log.error("handovers are not delivered now: %s", error)
        except Exception:  # a defect must not end the thread: what waits in the outbox would wait for the next start
            log.exception("a defect in delivering handovers")
        return STORE_SECONDS
