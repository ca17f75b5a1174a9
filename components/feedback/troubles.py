"""What ails a database, in words that an operator can act upon and that give away neither rows nor passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from components.core.errors import FeedbackError

REMEDIES = {
    "is full": "free space on the disk",
    "disk I/O error": "look at the disk (space, health, mount), then send again",
    "readonly": "make the file and its folder writable for this user",
    "unable to open": "make the folder writable for this user",
    "locked": "another process holds it: end that one, then send again",
    "lock timeout": "another process holds it: end that one, then send again",
    "not a database": "move the file away, or restore it from a backup",
    "malformed": "restore the file from a backup",
    "connect": "start the server, or correct SHOP_FEEDBACK_URL",
    "permission denied": "grant the user SELECT, INSERT, UPDATE on the tables, and CREATE for the first start",
}


@contextmanager
def told(engine: Engine, kept: str) -> Iterator[None]:
    """The driver's errors as FeedbackError; `kept` names what the database holds."""
    try:
        yield
    except SQLAlchemyError as error:
        # Only the driver's own words: SQLAlchemy's could repeat rows, or the URL, password and all.
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip()
        raise FeedbackError(
            f"{_place(engine)}: expected to read and write {kept}, got: {reason}; {_remedy(reason)}"
        ) from None


def _place(engine: Engine) -> str:
    url = engine.url
    return str(url.database) if url.get_backend_name() == "sqlite" else f"PostgreSQL database {url.database}"


def _remedy(reason: str) -> str:
    return next((remedy for words, remedy in REMEDIES.items() if words in reason), "mend it, then send again")
