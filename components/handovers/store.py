"""The store of handovers, on disk before anybody is told that a person will answer; it is its webhook's outbox too.

Embedded by default: SQLite in `<SHOP_HOME>/handovers/handovers.sqlite`. With SHOP_FEEDBACK_URL: that PostgreSQL.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select, update

from components.clock import now
from components.core.errors import FeedbackError
from components.feedback.engines import WRITES, postgresql_engine, sqlite_engine
from components.feedback.rows import EPOCH, MICROSECOND, microseconds
from components.feedback.schema import insert_new
from components.feedback.troubles import told
from components.handovers.record import Delivery, Due, Handover, State
from components.handovers.schema import HANDOVERS, OUTBOX, prepare
from components.settings import settings

LEASE_SECONDS = 60.0  # for which a delivery is one worker's; if that one dies, another begins again
LONGEST_TROUBLE = 300  # characters
_OPEN, _TAKEN = "open", "taken"
_SUMMARY = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))  # NUL too becomes plain text
_ALL = (HANDOVERS, OUTBOX.c.attempts, OUTBOX.c.delivered_at, OUTBOX.c.trouble)
_BESIDE = HANDOVERS.outerjoin(OUTBOX, HANDOVERS.c.id == OUTBOX.c.id)


def open_handovers() -> HandoverStore:
    """The shop's store, made where it is missing; raises FeedbackError where it cannot be used."""
    url = settings().feedback_url
    if url is not None:
        return HandoverStore(postgresql_engine(url.get_secret_value()))
    return HandoverStore(sqlite_engine(_folder() / "handovers.sqlite"))


def _folder() -> Path:
    folder = settings().home / "handovers"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FeedbackError(
            f"{folder}: expected a folder for handovers, got: {error.strerror}; make it writable, or move SHOP_HOME"
        ) from None
    return folder


class HandoverStore:
    """Safe for several threads, and for several processes at once. Every method raises FeedbackError."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._insert = insert_new(HANDOVERS, engine.dialect.name, "id")
        with self._writing() as connection:
            prepare(connection)

    def add(self, handover: Handover, is_to_be_told: bool) -> Handover:
        """The handover as it is on disk: one that is there under that id already stays as it is.

        `is_to_be_told`: whether the webhook hears of it. That too is on disk on return.
        """
        kept = {
            "id": handover.handover_id,
            "at": microseconds(handover.at),
            "request_id": handover.request_id,
            "conversation_id": handover.conversation_id,
            "summary": _SUMMARY.encode(dict(handover.summary)),
            "state": _OPEN,
        }
        with self._writing() as connection:
            is_new = connection.execute(self._insert, [kept], execution_options={"preserve_rowcount": True}).rowcount
            if is_new and is_to_be_told:
                connection.execute(OUTBOX.insert(), {"id": handover.handover_id, "due_at": _clock(), "attempts": 0})
            return self._one(connection, handover.handover_id) or handover

    def find(self, handover_id: str) -> Handover | None:
        """None where there is no such handover."""
        with self._reading() as connection:
            return self._one(connection, handover_id)

    def listed(self, state: State | None = None, after: int = 0, most: int = 50) -> list[Handover]:
        """At most so many with a `number` above `after`, the oldest first."""
        query = select(*_ALL).select_from(_BESIDE).where(HANDOVERS.c.number > after)
        if state is not None:
            query = query.where(HANDOVERS.c.state == state)
        with self._reading() as connection:
            found = connection.execute(query.order_by(HANDOVERS.c.number).limit(most)).all()
        return [_handover(row) for row in found]

    def take(self, handover_id: str, by: str) -> Handover | None:
        """The handover, taken by `by` unless somebody had taken it before; None where there is none."""
        claim = update(HANDOVERS).where(HANDOVERS.c.id == handover_id, HANDOVERS.c.state == _OPEN)
        with self._writing() as connection:
            connection.execute(claim.values(state=_TAKEN, taken_by=by, taken_at=microseconds(now())))
            return self._one(connection, handover_id)

    def claim_due(self) -> Due | None:
        """What is to be delivered now, the longest due first; for LEASE_SECONDS nobody else is given it."""
        due = select(OUTBOX.c.id, OUTBOX.c.attempts).where(OUTBOX.c.due_at <= _clock())
        with self._writing() as connection:
            row = connection.execute(due.order_by(OUTBOX.c.due_at).limit(1)).one_or_none()
            if row is None:
                return None
            leased = update(OUTBOX).where(OUTBOX.c.id == row.id)
            connection.execute(leased.values(due_at=_clock(LEASE_SECONDS), attempts=row.attempts + 1))
            handover = self._one(connection, row.id)
            return Due(handover, row.attempts + 1) if handover else None

    def delivered(self, handover_id: str) -> None:
        """It was: nothing is due any more."""
        done = update(OUTBOX).where(OUTBOX.c.id == handover_id)
        with self._writing() as connection:
            connection.execute(done.values(due_at=None, delivered_at=_clock(), trouble=None))

    def postpone(self, handover_id: str, seconds: float, trouble: str) -> None:
        """Due again after so many seconds, unless it was delivered meanwhile."""
        later = update(OUTBOX).where(OUTBOX.c.id == handover_id, OUTBOX.c.due_at.is_not(None))
        with self._writing() as connection:
            connection.execute(later.values(due_at=_clock(seconds), trouble=trouble[:LONGEST_TROUBLE]))

    def undelivered(self) -> int:
        """How many the webhook has not heard of yet."""
        with self._reading() as connection:
            waiting = select(func.count()).select_from(OUTBOX).where(OUTBOX.c.due_at.is_not(None))
            return int(connection.execute(waiting).scalar_one())

    def has_due(self) -> bool:
        """Whether `claim_due` would find something; a look that takes no lock."""
        with self._reading() as connection:
            due = select(OUTBOX.c.id).where(OUTBOX.c.due_at <= _clock()).limit(1)
            return connection.execute(due).one_or_none() is not None

    def close(self) -> None:
        """Let go of the connections; a later call opens new ones."""
        self.engine.dispose()

    def _one(self, connection: Connection, handover_id: str) -> Handover | None:
        query = select(*_ALL).select_from(_BESIDE).where(HANDOVERS.c.id == handover_id)
        row = connection.execute(query).one_or_none()
        return _handover(row) if row is not None else None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with told(self.engine, "handovers"), self.engine.execution_options(**WRITES).begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with told(self.engine, "handovers"), self.engine.connect() as connection:
            yield connection


def _handover(row: Row[Any]) -> Handover:
    found = Handover(
        row.id, _time(row.at), row.request_id, json.loads(row.summary), row.conversation_id, row.state, row.taken_by,
        None if row.taken_at is None else _time(row.taken_at), row.number,
    )  # fmt: skip
    if row.attempts is None:
        return found
    delivered_at = None if row.delivered_at is None else _time(row.delivered_at)
    return replace(found, delivery=Delivery(row.attempts, delivered_at, row.trouble))


def _time(microseconds_since_1970: int) -> datetime:
    return EPOCH + microseconds_since_1970 * MICROSECOND


def _clock(ahead_seconds: float = 0.0) -> int:
    """The machine's time, so many seconds ahead, in microseconds since 1970."""
    return int((time.time() + ahead_seconds) * 1e6)
