"""What is asked of a release and what it answers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked. Products in `recent` and `basket` are evidence and are never answered."""

    customer_id: str | None = None
    recent: tuple[str, ...] = ()
    basket: tuple[str, ...] = ()
    k: int = 10
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One recommended product; scores compare only within one rung of one answer."""

    product_id: str
    title: str
    category: str | None
    score: float
    rung: str
    reason: str
    kind: str
    evidence: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """Best first. `rung` answered the first item; `unknown` are products that the release does not know."""

    items: list[Item]
    rung: str
    known_customer: bool
    unknown: list[str]
