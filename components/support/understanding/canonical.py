"""One way of writing for what can be written in many: full-width digits, odd dashes, invisible characters.

Rules look at the canonical text and mark places of the raw one, so that nothing hides behind a zero-width
space and nothing that is no personal data changes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

MASKED = "\ue000"  # private use: stands for what is masked already, and no rule's pattern contains it
BLOCKS = ((0x200B, 0x2010), (0x202A, 0x202F), (0x2066, 0x2070), (0xFE00, 0xFE10))  # zero width, directions
INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2060\u2061\u2062\u2063\u2064\ufeff"
    + "".join(chr(one) for first, last in BLOCKS for one in range(first, last))
)
CJK = "\u3400-\u9fff\uf900-\ufaff"  # ideographs; the body of a character class
DASHES = "‐‑‒–—―−﹘﹣－"
DIGITS = dict(zip("零〇○一二三四五六七八九幺壹贰叁肆伍陆柒捌玖貳參陸", "000123456789112345678923" + "6", strict=True))
SPELLED = re.compile(rf"[\d{''.join(DIGITS)}](?:[ .\-]?[\d{''.join(DIGITS)}]){{6,}}+")


@dataclass(frozen=True, slots=True)
class Canonical:
    """A text and where each of its characters stands in the raw one (None: at the same place)."""

    text: str
    raw: str
    places: tuple[int, ...] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Start and end in the raw text; what is invisible inside belongs to it, what is beside it does not."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def canonical(raw: str) -> Canonical:
    """`raw` as rules read it: NFKC one to one, plain dashes and spaces, digits as 0-9, nothing invisible."""
    if raw.isascii():
        return Canonical(raw, raw, None)
    places = None
    if not INVISIBLE.isdisjoint(raw):
        places = tuple(place for place, character in enumerate(raw) if character not in INVISIBLE)
        raw, whole = "".join(raw[place] for place in places), raw
    else:
        whole = raw
    plain = raw.translate(_table(frozenset(raw)))
    return Canonical(SPELLED.sub(_as_digits, plain), whole, places)


def _table(characters: Iterable[str]) -> dict[int, str]:
    return {ord(one): _plain(one) for one in characters if ord(one) > 127}


@cache
def _plain(character: str) -> str:
    """The one character to read instead; a character that would become several stays."""
    if character in DASHES:
        return "-"
    if character == MASKED:
        return "\ufffd"  # nobody may claim to be masked already
    if character.isspace():
        return " "
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    simpler = unicodedata.normalize("NFKC", character)
    return simpler if len(simpler) == 1 and not simpler.isspace() else character


def _as_digits(found: re.Match[str]) -> str:
    """A number told in Chinese numerals, such as 一三八零零一三八零零零, in digits; of the same length."""
    return "".join(DIGITS.get(character, character) for character in found[0])
