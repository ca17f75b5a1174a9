"""Asks a challenger what the champion has answered already: later, one at a time, unseen by the customer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Full, Queue

log = logging.getLogger(__name__)

WAITING = 64  # requests; beyond them a slow challenger is asked less often, and answers are not held up


class Shadows:
    """One thread per process, started by the first request that needs it."""

    def __init__(self, waiting: int = WAITING) -> None:
        self.answered, self.failed, self.dropped = 0, 0, 0
        self._queue: Queue[Callable[[], None] | None] = Queue(waiting)
        self._thread: threading.Thread | None = None

    def ask(self, answer: Callable[[], None]) -> None:
        """Have `answer` called soon; counted and left out where too many wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(answer)
        except Full:
            self.dropped += 1

    def status(self) -> dict[str, int]:
        """Of this process."""
        counts = {"answered": self.answered, "failed": self.failed, "dropped": self.dropped}
        return counts | {"waiting": self._queue.qsize()}

    def close(self, seconds: float = 5.0) -> None:
        """Answer nothing more; what waits is left out."""
        while not self._queue.empty():
            self._queue.get_nowait()
        if self._thread is not None:
            self._queue.put_nowait(None)
            self._thread.join(seconds)

    def _work(self) -> None:
        while (answer := self._queue.get()) is not None:
            try:
                answer()
                self.answered += 1
            except Exception:  # it is on trial: its failures are figures, not ours
                self.failed += 1
                log.warning("the shadow failed on a request", exc_info=True)
