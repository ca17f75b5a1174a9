"""What is asked of a release and what it answers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Since:
    """One product of a basket bought after the release's data ended; `at` is UTC."""

    basket: str
    product_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked. Products in `recent` and `basket` are evidence and are never answered.

    since  what the customer bought after the release's data ended; extends the history, and may be answered again
    at     the moment of asking, UTC, from which days are counted back; it matters beside `since` only
    seed   draws what is explored; None shows the list as it is ranked
    """

    customer_id: str | None = None
    recent: tuple[str, ...] = ()
    basket: tuple[str, ...] = ()
    k: int = 10
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    since: tuple[Since, ...] = ()
    at: datetime | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One recommended product; scores compare only within one rung of one answer.

    position    its place in the list, from 1
    propensity  probability with which the release's policy shows this product at this position, in (0, 1]
    """

    product_id: str
    title: str
    category: str | None
    score: float
    rung: str
    reason: str
    kind: str
    evidence: list[str]
    position: int
    propensity: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Best first. `rung` answered the first item; `unknown` are products that the release does not know."""

    items: list[Item]
    rung: str
    known_customer: bool
    unknown: list[str]
