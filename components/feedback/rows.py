"""An event as the store keeps it, and kept events as a table.

Times are whole microseconds since 1970 UTC and payloads JSON text, so that both databases hold the same values.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from components.core.errors import DataError
from components.feedback.events import Event

if TYPE_CHECKING:
    import polars as pl

COLUMNS = (
    "seq",
    "event_id",
    "application",
    "kind",
    "at",
    "received_at",
    "request_id",
    "order_id",
    "customer_id",
    "payload",
)
LONGEST_ID = 256  # characters of an event_id; PostgreSQL cannot index much longer ones
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

Row = dict[str, Any]
_PAYLOAD = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def microseconds(at: datetime) -> int:
    """Since 1970 UTC, exactly; raises DataError for a time without a zone."""
    if at.tzinfo is None:
        raise DataError(f"at: expected a time with its zone, got {at.isoformat()}; send UTC, as in {at.isoformat()}Z")
    return (at - EPOCH) // MICROSECOND


def row(event: Event) -> Row:
    """All of the event but its receipt; raises DataError where no database could keep it, or no reader read it.

    That is decided here, before an event joins others in a transaction, which it would fail for all of them.
    """
    found = {
        "event_id": event.event_id,
        "application": event.application,
        "kind": event.kind,
        "at": microseconds(event.at),
        "request_id": event.request_id,
        "order_id": event.order_id,
        "customer_id": event.customer_id,
        "payload": _payload(event),
    }
    _check_text(found)
    return found


def _payload(event: Event) -> str:
    try:
        return _PAYLOAD.encode(event.payload)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"payload of event {event.event_id!r}: expected values that JSON has, got: {error}; leave them out"
        ) from None


def _check_text(found: Row) -> None:
    """PostgreSQL keeps no NUL; half of a surrogate pair has no UTF-8 form at all."""
    name = found["event_id"]
    if not 0 < len(name) <= LONGEST_ID:
        raise DataError(f"event_id: expected 1 to {LONGEST_ID} characters, got {len(name)}; send a shorter, unique one")
    text = "".join(value for value in found.values() if isinstance(value, str))
    if "\0" in text or not _is_unicode(text):
        raise DataError(f"event {name!r}: expected text without NUL and lone surrogates; send valid UTF-8")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def table_schema() -> dict[str, pl.DataType]:
    """Of the frames that `frame` makes; an empty store has the same columns."""
    import polars as pl

    times = pl.Datetime("us", "UTC")
    types = {name: pl.String() for name in COLUMNS}
    return {**types, "seq": pl.Int64(), "at": times, "received_at": times}


def frame(kept: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Kept rows, in the order of COLUMNS, as a table."""
    import polars as pl

    stored = {name: pl.Int64() if isinstance(kind, pl.Datetime) else kind for name, kind in table_schema().items()}
    return pl.DataFrame(kept, schema=stored, orient="row").cast(pl.Schema(table_schema()))
