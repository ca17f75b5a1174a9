"""The store of feedback: events in the order of their commit, each once, on disk before anybody is told so.

Embedded by default: SQLite in `<SHOP_HOME>/feedback/events.sqlite`. With SHOP_FEEDBACK_URL: PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, func, select

from components.clock import now
from components.core.errors import FeedbackError
from components.feedback import schema
from components.feedback.engines import WRITES, postgresql_engine, sqlite_engine
from components.feedback.events import Event
from components.feedback.rows import COLUMNS, Row, frame, microseconds, row
from components.feedback.schema import EVENTS
from components.feedback.troubles import told
from components.settings import settings

if TYPE_CHECKING:
    import polars as pl

PIECE = 20_000  # rows of one frame


def open_store() -> Store:
    """The shop's store, made where it is missing; raises FeedbackError where it cannot be used."""
    url = settings().feedback_url
    if url is not None:
        return Store(postgresql_engine(url.get_secret_value()))
    return Store(sqlite_engine(_folder() / "events.sqlite"))


def _folder() -> Path:
    folder = settings().home / "feedback"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FeedbackError(
            f"{folder}: expected a folder for feedback, got: {error.strerror}; make it writable, or move SHOP_HOME"
        ) from None
    return folder


class Store:
    """Safe for several threads, and for several processes at once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._insert = schema.insert_new(EVENTS, engine.dialect.name, "event_id")
        with self._writing() as connection:
            schema.prepare(connection)

    def append(self, events: Sequence[Event]) -> int:
        """How many were new; all are on disk on return. Raises FeedbackError, then none of them is."""
        return sum(self.append_rows([[row(event) for event in events]]))

    def append_rows(self, groups: Sequence[Sequence[Row]]) -> list[int]:
        """How many of each group were new: one transaction, and so one sync of the disk, for all groups."""
        if not any(groups):
            return [0] * len(groups)
        with self._writing() as connection:
            received = microseconds(now())  # within the lock, so that it grows with seq
            return [self._add(connection, group, received) for group in groups]

    def _add(self, connection: Connection, group: Sequence[Row], received: int) -> int:
        if not group:
            return 0
        stamped = [{**event, "received_at": received} for event in group]
        return connection.execute(self._insert, stamped, execution_options={"preserve_rowcount": True}).rowcount

    def rows(
        self, after: int = 0, through: int | None = None, kinds: Collection[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Frames of at most PIECE rows with `after` < seq <= `through`, by seq; none where there are no such rows.

        Each is read in a transaction of its own, so that a slow reader holds nothing up. What is committed
        while reading is left for next time: `through` is by default what there was at the first frame.
        """
        through = self.through() if through is None else through
        query = select(*(EVENTS.c[name] for name in COLUMNS)).order_by(EVENTS.c.seq).limit(PIECE)
        if kinds is not None:
            query = query.where(EVENTS.c.kind.in_(sorted(kinds)))
        while after < through:
            with self._reading() as connection:
                found = connection.execute(query.where(EVENTS.c.seq > after, EVENTS.c.seq <= through)).all()
            if found:
                yield frame([tuple(kept) for kept in found])
            after = found[-1].seq if len(found) == PIECE else through

    def through(self) -> int:
        """The highest seq, 0 when empty."""
        with self._reading() as connection:
            return connection.execute(select(func.max(EVENTS.c.seq))).scalar() or 0

    def counts(self, after: int = 0) -> dict[tuple[str, str], int]:
        """Number of events by (application, kind) with seq above `after`."""
        query = select(EVENTS.c.application, EVENTS.c.kind, func.count()).group_by(EVENTS.c.application, EVENTS.c.kind)
        with self._reading() as connection:
            found = connection.execute(query.where(EVENTS.c.seq > after)).all()
        return {(application, kind): n for application, kind, n in found}

    def lost_total(self) -> int:
        """Deferred events that crashes have cost so far, in all workers; see components.feedback.writer."""
        with self._reading() as connection:
            return schema.number(connection, "lost_total")

    def add_lost(self, n: int) -> None:
        """Remember that a crash has cost `n` more."""
        with self._writing() as connection:
            schema.add(connection, "lost_total", n)

    def close(self) -> None:
        """Let go of the connections; a later call opens new ones."""
        self.engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with told(self.engine, "feedback"), self.engine.execution_options(**WRITES).begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with told(self.engine, "feedback"), self.engine.connect() as connection:
            yield connection
