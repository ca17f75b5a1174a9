"""One thing that happened after (or beside) an answer: the unit of feedback.

    impression  what was shown: release, role, unit, shown (key, position, propensity, value), facets
    click, cart, dismiss    product_id, position
    purchase    items (product_id, quantity, amount), store_id; `order_id` says which order
    sales       series_id, period (its first day), units
    correction  subject, label, by: somebody said what would have been right

`event_id` names the event: the same one twice counts once. `request_id` links it to the answer that led to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

Kind = Literal["impression", "click", "cart", "purchase", "dismiss", "sales", "correction"]
Role = Literal["champion", "challenger", "shadow", "shop"]

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is when it happened, UTC; when it was received is the store's to say."""

    event_id: str
    application: str
    kind: Kind
    at: datetime
    payload: Mapping[str, Any]
    request_id: str | None = None
    order_id: str | None = None
    customer_id: str | None = None
