"""How a database is opened so that a commit means on disk, and so that `seq` follows the order of commits.

SQLite: write-ahead log, synced at each commit, one writer at a time (BEGIN IMMEDIATE).
PostgreSQL: a transaction that writes first takes the store's advisory lock and keeps it until it is visible to
others; without it, a later number could be seen before an earlier one, and a reader that goes on from the
highest number it saw would miss the earlier one for ever.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from components.core.errors import FeedbackError, ParamsError

log = logging.getLogger(__name__)

WRITES = {"feedback_writes": True}  # execution options of the transactions that write
WAIT_SECONDS = 10  # for another writer; then the store counts as unavailable
LOCK = 0x5_0F_FEEDB  # any number, the same in every process of the shop
# Without these, a commit over a dead network would wait for the kernel's patience: a quarter of an hour.
PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


def sqlite_engine(file: Path) -> Engine:
    """The embedded store; the file is made where it is missing."""
    patience = {"timeout": WAIT_SECONDS, "isolation_level": None}  # None: transactions begin where we say
    engine = create_engine(URL.create("sqlite", database=str(file)), connect_args=patience)
    event.listen(engine, "connect", _open_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_sqlite(connection: Any, _record: Any) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise FeedbackError(
            f"expected a folder where SQLite can keep a write-ahead log, got journal mode {mode}; "
            "put SHOP_HOME on a local disk, or set SHOP_FEEDBACK_URL to a PostgreSQL database"
        )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA fullfsync=ON")  # macOS: through the drive's cache too; elsewhere nothing
    connection.execute(f"PRAGMA journal_size_limit={64 << 20}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("feedback_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def postgresql_engine(text: str) -> Engine:
    """The store in PostgreSQL; raises ParamsError for any other URL, without repeating it (it holds a password)."""
    url = _postgresql_url(text)
    patience = {name: value for name, value in PATIENCE.items() if name not in url.query}
    engine = create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=patience)
    event.listen(engine, "connect", _open_postgresql)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _postgresql_url(text: str) -> URL:
    try:
        url = make_url(text.strip())
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() not in ("postgresql", "postgres"):
        kind = "what is no URL" if url is None else f"one that begins with {url.drivername}"
        raise ParamsError(
            f"SHOP_FEEDBACK_URL: expected postgresql://USER:PASSWORD@HOST/DATABASE, got {kind}; "
            "correct it, or unset it to keep feedback in SHOP_HOME"
        )
    return url.set(drivername="postgresql+psycopg")


def _open_postgresql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        # Where the server acknowledges before the disk has it, this store does not; stricter settings stay.
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        cursor.execute("SELECT current_setting('server_encoding'), current_setting('fsync')")
        encoding, fsync = cursor.fetchone()
    connection.commit()
    if encoding != "UTF8":
        raise FeedbackError(
            f"expected a database in UTF8, got {encoding}; create one: CREATE DATABASE ... ENCODING 'UTF8'"
        )
    if fsync != "on":
        log.warning("the PostgreSQL server runs with fsync off: a power cut can lose acknowledged feedback")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("feedback_writes"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
