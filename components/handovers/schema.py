"""The tables of handovers, the same in SQLite and PostgreSQL; where feedback is in PostgreSQL, they stand beside it.

handovers         one row per message that a person must answer, in the order of commit (`number`)
handover_outbox   one row for each that the shop's webhook is to be told; nothing is due once `due_at` is null

Times of handovers are whole microseconds since 1970 UTC of the shop's clock. Times of the outbox are the machine's:
a replay's clock may stand still, and retries must not.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, Text, UniqueConstraint

_TABLES = MetaData()
HANDOVERS = Table(
    "handovers",
    _TABLES,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("conversation_id", Text),
    Column("summary", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("taken_by", Text),
    Column("taken_at", BigInteger),
    UniqueConstraint("id"),
    sqlite_autoincrement=True,
)
OUTBOX = Table(
    "handover_outbox",
    _TABLES,
    Column("id", Text, primary_key=True),
    Column("due_at", BigInteger, index=True),
    Column("attempts", Integer, nullable=False),
    Column("delivered_at", BigInteger),
    Column("trouble", Text),
)


def prepare(connection: Connection) -> None:
    """Make the tables where they are missing."""
    _TABLES.create_all(connection)
