"""One message that a person must answer, and what has become of telling the shop's desk about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

State = Literal["open", "taken"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Of the webhook; `trouble` is what ailed the last attempt."""

    attempts: int = 0
    delivered_at: datetime | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Handover:
    """`summary` is for the person who takes it: plain JSON values without personal data. `at` is UTC.

    `number` grows in the order in which handovers were kept; 0 until then. Without a `delivery`, no webhook was
    set when it was kept.
    """

    handover_id: str
    at: datetime
    request_id: str
    summary: Mapping[str, Any]
    conversation_id: str | None = None
    state: State = "open"
    taken_by: str | None = None
    taken_at: datetime | None = None
    number: int = 0
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A handover that is to be delivered now; `attempt` counts from 1."""

    handover: Handover
    attempt: int
