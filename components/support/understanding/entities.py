"""What a message tells: order numbers, products, amounts, dates, and whatever else an answer may need.

Read from the raw message, in memory; the values of personal kinds must not be stored. Where rules cannot tell, an
entity is left out: a question costs less than a wrong number in a reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from components.support.taxonomy import Entity
from components.support.understanding.canonical import canonical
from components.support.understanding.contacts import plain_address
from components.support.understanding.dates import dates
from components.support.understanding.details import articles, coupons, means, sizes
from components.support.understanding.figures import amounts, quantities
from components.support.understanding.masking import Span, mask
from components.support.understanding.numbers import COUPON_CUE, NUMBER_CUE, ORDER_CUE, before, international
from components.support.understanding.products import products

LONGEST = 20_000  # characters that are read; what a message wants stands before
MOST = 50  # of one kind
TAIL = re.compile(
    r"(?:尾号|尾號|后四位|末四位|ending(?: in| with)?|ends (?:in|with)|last (?:four|4)(?: digits)?(?: are| is)?)"
    r"\D{0,4}\Z",
    re.I,
)
OTHER_CUE = re.compile(
    r"(?:(?<![a-z])(?:tracking|awb|rma|ticket|case|item|article|sku|flight|post ?code|zip(?: code)?)"
    r"|快递单?号?|运单号?|物流单?号?|退货单号?|工单|航班|维修单|邮编|郵遞區號)"
    r"[^\d\n]{0,14}\Z",
    re.I,
)
GIFT_CUE = re.compile(
    r"(?:gift ?(?:card|voucher|certificate)|礼品卡|禮品卡|购物卡|電子禮券|储值卡)[^\d\n,.，。]{0,20}\Z", re.I
)
INVOICE_CUE = re.compile(
    r"(?:invoice|receipt|发票|發票|票据|收据)(?:(?!order|订单|訂單|单号)[^\d\n,.，。]){0,14}\Z", re.I
)
GIFT_CODE = re.compile(r"GC[-_]?\d", re.I)
INVOICE_CODE = re.compile(r"INV[-_/]?\d", re.I)
Piece = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Mention:
    """One thing that a message tells: `value` as it can be looked up and shown, places in the raw message."""

    kind: Entity
    value: str = field(repr=False)  # a log line that shows a mention shows no personal data
    start: int
    end: int


def entities(text: str, titles: Sequence[str] = (), day: date | None = None) -> list[Mention]:
    """What `text` tells, in its order. `titles` are names of products; relative dates count from `day`.

    Values: digits and signs as written for numbers and codes, an address in lower case for e-mail, +49... for
    telephones where the country shows, ISO days (as written where the day is open), "42.10 USD" for amounts.
    """
    seen = canonical(text[:LONGEST])
    readers: tuple[tuple[Entity, Callable[[str], Iterator[Piece]]], ...] = (
        ("amount", amounts),
        ("date", lambda plain: dates(plain, day)),
        ("coupon_code", coupons),
        ("size", sizes),
        ("payment_method", means),
        ("quantity", quantities),
        ("product", lambda plain: _products(plain, titles)),
    )
    found = [
        Mention(kind, value, *seen.span(start, end)) for kind, read in readers for start, end, value in read(seen.text)
    ]
    found += _personal(text[:LONGEST], {(each.start, each.end) for each in found if each.kind == "coupon_code"})
    return _some_of_each(_once(sorted(found, key=lambda each: (each.start, -each.end))))


def _once(found: list[Mention]) -> list[Mention]:
    """Without the orders that were named before, if in another spelling: A-48213 and a48213 are one."""
    seen: set[str] = set()
    kept = []
    for each in found:
        plain = re.sub(r"[\s\-_/#]+", "", each.value).casefold()
        if each.kind != "order_number" or plain not in seen:
            kept.append(each)
        if each.kind == "order_number":
            seen.add(plain)
    return kept


def _some_of_each(found: list[Mention]) -> list[Mention]:
    counts: dict[str, int] = {}
    kept = []
    for each in found:
        counts[each.kind] = counts.get(each.kind, 0) + 1
        if counts[each.kind] <= MOST:
            kept.append(each)
    return kept


def _personal(text: str, coupons: set[tuple[int, int]]) -> list[Mention]:
    """From what the mask takes out; references without a cue count as orders only where none has one."""
    found: list[Mention] = []
    unsure: list[Mention] = []
    for span in mask(text).found:
        plain = canonical(span.value).text
        left = before(canonical(text[max(0, span.start - 60) : span.start]).text, 60)
        kind = _kind(span, plain, left)
        if kind is None or (span.start, span.end) in coupons:
            continue
        sure = kind != "order_number" or ORDER_CUE.search(left) or NUMBER_CUE.search(left)
        (found if sure else unsure).append(Mention(kind, _value(kind, plain), span.start, span.end))
    return found if any(each.kind == "order_number" for each in found) else found + unsure


def _kind(span: Span, plain: str, left: str) -> Entity | None:
    match span.kind:
        case "EMAIL":
            return "email"
        case "PHONE":
            return "phone" if sum(one.isdigit() for one in plain) >= 7 else None  # else the last digits of one
        case "ADDRESS":
            return "address"
        case "ORDER" | "CARD" if GIFT_CUE.search(left) or GIFT_CODE.match(plain):
            return "gift_card_number"
        case "ORDER":
            return _reference(plain, left)
    return None


def _reference(plain: str, left: str) -> Entity | None:
    """Of which kind a number is; None for what is not the whole number or that of something else."""
    if INVOICE_CUE.search(left) or INVOICE_CODE.match(plain):
        return "invoice_number"
    if TAIL.search(left) or OTHER_CUE.search(left) or COUPON_CUE.search(left):
        return None
    return "order_number"


def _value(kind: Entity, plain: str) -> str:
    if kind == "email":
        return plain_address(plain)
    return international(plain) if kind == "phone" else plain


def _products(text: str, titles: Sequence[str]) -> Iterator[Piece]:
    """Titles; else what stands for one."""
    named = list(products(text, titles))
    return iter(named) if named else articles(text)
