"""The tables of the feedback store, the same in SQLite and PostgreSQL.

feedback_events  one row per event, in the order of commit (`seq`); rows are only ever added
feedback_store   two numbers: the version of this schema, and how many deferred events crashes have cost
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Insert,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from components.core.errors import FeedbackError

VERSION = 1

_TABLES = MetaData()
EVENTS = Table(
    "feedback_events",
    _TABLES,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("application", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("request_id", Text),
    Column("order_id", Text),
    Column("customer_id", Text),
    Column("payload", Text, nullable=False),
    UniqueConstraint("event_id"),
    sqlite_autoincrement=True,  # a number is never given twice, not even after somebody deleted the newest rows
)
_NUMBERS = Table(
    "feedback_store",
    _TABLES,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)


def insert_new(table: Table, dialect: str, key: str) -> Insert:
    """An INSERT that passes over rows whose `key` is there already."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
    statement: Insert = insert(table).on_conflict_do_nothing(index_elements=[key])
    return statement


def prepare(connection: Connection) -> None:
    """Make the tables where they are missing; raises FeedbackError for those of another version."""
    _TABLES.create_all(connection, tables=[_NUMBERS])
    statement = insert_new(_NUMBERS, connection.dialect.name, "name")
    connection.execute(statement, [{"name": "version", "value": VERSION}, {"name": "lost_total", "value": 0}])
    found = number(connection, "version")
    if found != VERSION:
        raise FeedbackError(
            f"expected a feedback store of version {VERSION}, got version {found}; "
            "use the release of this project that wrote it, or name another store"
        )
    _TABLES.create_all(connection, tables=[EVENTS])


def number(connection: Connection, name: str) -> int:
    """`version` or `lost_total`."""
    return int(connection.execute(select(_NUMBERS.c.value).where(_NUMBERS.c.name == name)).scalar_one())


def add(connection: Connection, name: str, n: int) -> None:
    """Add `n` to `lost_total`."""
    connection.execute(update(_NUMBERS).where(_NUMBERS.c.name == name).values(value=_NUMBERS.c.value + n))
