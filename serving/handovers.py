"""Handovers on their way to a person: on disk before a reply says so, then told to the shop's desk, listed and taken.

One per process. The store is opened by whoever needs it first; where a webhook is set, at once, because something
may wait from before.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from components.core.errors import ParamsError
from components.handovers.courier import Courier
from components.handovers.record import Handover, State
from components.handovers.store import HandoverStore, open_handovers
from components.handovers.webhook import Webhook
from components.settings import settings

log = logging.getLogger(__name__)

REOPEN_SECONDS = 5.0
R = TypeVar("R")


class Handovers:
    """Every method that waits for the store raises FeedbackError."""

    def __init__(self) -> None:
        self.kept = 0
        self.trouble: str | None = None
        self._is_told = settings().handover_webhook is not None
        self._webhook = self._made()
        self._store: HandoverStore | None = None
        self._courier: Courier | None = None
        self._opening, self._stop = threading.Lock(), threading.Event()
        # its own, so that a store that hangs holds up nobody who needs none
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="handovers")
        if self._is_told:
            threading.Thread(target=self._begin, name="open handovers", daemon=True).start()

    async def keep(self, handover: Handover) -> Handover:
        """As it is on disk; the webhook hears of it soon, also after a restart."""
        found = await self._aside(lambda store: store.add(handover, self._is_told))
        self.kept += 1
        if self._courier is not None:
            self._courier.wake()
        return found

    async def listed(self, state: State | None, after: int, most: int) -> list[Handover]:
        """The oldest first, with a number above `after`."""
        return await self._aside(lambda store: store.listed(state, after, most))

    async def take(self, handover_id: str, by: str) -> Handover | None:
        """As it is then, taken by whoever was first; None where there is none."""
        return await self._aside(lambda store: store.take(handover_id, by))

    def status(self) -> dict[str, Any]:
        """Of this process; `webhook` is None where there is none."""
        told = None if self._courier is None else self._courier.status()
        return {"kept": self.kept, "webhook": told, "trouble": self.trouble}

    def close(self) -> None:
        """Stop delivering; what is not delivered waits on disk."""
        self._stop.set()
        if self._courier is not None:
            self._courier.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._store is not None:
            self._store.close()

    async def _aside(self, work: Callable[[HandoverStore], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(self._opened()))

    def _opened(self) -> HandoverStore:
        with self._opening:
            if self._store is None:
                self._store = open_handovers()
                if self._webhook is not None:
                    self._courier = Courier(self._store, self._webhook)
                    self._courier.start()
            return self._store

    def _made(self) -> Webhook | None:
        """Where it cannot be used, handovers wait on disk until it can."""
        try:
            return Webhook.of_settings()
        except ParamsError as error:
            self.trouble = str(error)
            log.error("handovers are kept, but nobody is told of them: %s", error)
            return None

    def _begin(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                self._opened()
                return
            except Exception as error:  # whatever it is, who hands over is told by itself
                log.error("handovers cannot be delivered now: %s", error)
                wait = REOPEN_SECONDS
