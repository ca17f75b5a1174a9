"""An answer as the log keeps it: what was shown, with which chance, by which release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components.feedback.events import Event, Role


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing shown: a product, or a series' period with the median that was forecast for it."""

    key: str
    position: int  # from 1
    propensity: float = 1.0  # chance with which it was put there, (0, 1]
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What an application says of one of its answers; facets are small categorical facts, to see answers drift by."""

    shown: Sequence[Shown]
    facets: Mapping[str, str]


def impression(
    application: str,
    request_id: str,
    at: datetime,
    unit: str | None,
    customer_id: str | None,
    release: str,
    role: Role,
    seen: Seen,
    milliseconds: float,
    stepped_in: bool = False,
) -> Event:
    """One answer of one release to one request; `stepped_in`: for that of `role`, which failed."""
    content = payload(release, role, unit, seen, milliseconds) | ({"stepped_in": True} if stepped_in else {})
    event_id = f"{request_id}:{role}"
    return Event(event_id, application, "impression", at, content, request_id, customer_id=customer_id)


def payload(
    release: str | None, role: Role, unit: str | None, seen: Seen, milliseconds: float | None
) -> dict[str, Any]:
    """Of an impression, as components.feedback.events says."""
    return {
        "release": release,
        "role": role,
        "unit": unit,
        "shown": [
            {"key": each.key, "position": each.position, "propensity": each.propensity, "value": each.value}
            for each in seen.shown
        ],
        "facets": dict(seen.facets),
        "ms": None if milliseconds is None else round(milliseconds, 3),
    }
