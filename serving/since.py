"""What customers bought lately, so that the next answer knows of it: read from the store behind the writers.

All processes of a shop write to one store, so each reads what the others took in. A release says itself which
purchases are news to it (components.recommendation.answer.since); here only memory is bounded.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from components.clock import now
from components.feedback.events import Event
from components.feedback.store import Store, open_store
from components.recommendation.answer.ask import Since

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
FAILED_SECONDS = 10.0  # until the store is tried again
MOST_LINES = 200_000  # of all customers; about 40 MB
MOST_OF_ONE = 200  # lines of one customer, the latest
OLDEST = timedelta(days=365)  # of a purchase that is read; the data of what is live should not end before
_READ = ("customer_id", "order_id", "event_id", "at", "payload")

Lines = tuple[Since, ...]


class Bought:
    """Lines of purchases by customer, each event once, the oldest first."""

    def __init__(self, most_lines: int = MOST_LINES, most_of_one: int = MOST_OF_ONE) -> None:
        self._most_lines, self._most_of_one = most_lines, most_of_one
        self._lines: OrderedDict[str, Lines] = OrderedDict()  # who bought last comes last
        self._n_lines = 0
        self._lock = threading.Lock()

    def of(self, customer_id: str | None) -> Lines:
        """Of one customer; nothing of nobody."""
        return self._lines.get(customer_id, ()) if customer_id is not None else ()

    def add(self, events: Iterable[Event]) -> None:
        """Take in the purchases among these events; what is known already changes nothing."""
        for event in events:
            if event.kind == "purchase" and event.customer_id is not None:
                self.add_one(event.customer_id, event.order_id or event.event_id, event.at, event.payload)

    def add_one(self, customer_id: str, basket: str, at: datetime, payload: Mapping[str, Any]) -> None:
        """One purchase; an order that another event tells again counts as it was told first, as in the tables."""
        new = [Since(basket, item["product_id"], at) for item in payload["items"] if _is_bought(item)]
        with self._lock:
            before = self._lines.get(customer_id, ())
            if not new or any(line.basket == basket for line in before):
                return
            more = list(dict.fromkeys(new))
            after = tuple(sorted([*before, *more], key=lambda line: (line.at, line.basket)))[-self._most_of_one :]
            self._lines[customer_id] = after
            self._lines.move_to_end(customer_id)
            self._n_lines += len(after) - len(before)
            while self._n_lines > self._most_lines:
                self._n_lines -= len(self._lines.popitem(last=False)[1])

    def __len__(self) -> int:
        return self._n_lines


class Tail:
    """Reads purchases as they come into the store, on a thread of its own."""

    def __init__(self, bought: Bought) -> None:
        self._bought, self._through = bought, 0
        self._store: Store | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tail of feedback", daemon=True)

    def start(self) -> None:
        """From the oldest event on; the first reading may take a while, and nobody waits for it."""
        self._thread.start()

    def read(self) -> None:
        """Take in what came since the last reading; raises FeedbackError."""
        self._store = self._store or open_store()
        through = self._store.through()
        for frame in self._store.rows(self._through, through, kinds={"purchase"}):
            recent = frame.filter(pl.col("customer_id").is_not_null() & (pl.col("at") > now() - OLDEST))
            for customer_id, order_id, event_id, at, payload in recent.select(_READ).iter_rows():
                self._bought.add_one(customer_id, order_id or event_id, at, json.loads(payload))
        self._through = through

    def close(self, seconds: float = 5.0) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(seconds)

    def _follow(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            wait = POLL_SECONDS
            try:
                self.read()
            except Exception:  # answers go on with the histories of the release
                wait = FAILED_SECONDS
                log.warning("purchases since the release cannot be read; trying again", exc_info=True)
        if self._store is not None:
            self._store.close()


def _is_bought(item: Mapping[str, Any]) -> bool:
    quantity = item.get("quantity")
    return quantity is None or quantity > 0
