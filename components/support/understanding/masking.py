"""Personal data out of a message: `mask(text)` puts `<EMAIL>`, `<PHONE>`, `<ORDER>` ... where it stood.

Only `Masked.text` may be stored, trained on or sent; what was taken out lives in the `Masked` in memory, for
filling a reply. The rules lean towards masking: a price taken for an order number costs a model little, a
telephone number left in a table cannot be called back. They know no names without a cue ("my name is", 我叫).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from components.support.understanding.addresses import places, told_addresses
from components.support.understanding.canonical import MASKED, Canonical, canonical
from components.support.understanding.contacts import accounts, emails, secrets
from components.support.understanding.disguised import disguised
from components.support.understanding.names import names
from components.support.understanding.numbers import numbers, references

Piece = tuple[str, int, int]  # kind, start, end in the canonical text
Rule = Callable[[str], Iterator[Piece]]

KINDS = ("EMAIL", "PHONE", "CARD", "IBAN", "ID", "ADDRESS", "NAME", "ORDER", "ACCOUNT", "SECRET")
PLACEHOLDER = re.compile(rf"<({'|'.join(KINDS)})(?:_(\d{{1,4}}))?>")
RULES: tuple[Rule, ...] = (secrets, emails, accounts, disguised, numbers, places, told_addresses, names, references)
ROUNDS = 8  # what one rule takes out may uncover something for an earlier one; two rounds are the rule


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of personal data; `start` and `end` in the raw text, `placeholder` with its number."""

    kind: str
    start: int
    end: int
    placeholder: str
    value: str = field(repr=False)  # a log line that shows a span shows no personal data


@dataclass(frozen=True)
class Masked:
    """A message without its personal data, and the way back, which is never stored."""

    text: str  # bare placeholders: what may be stored
    found: tuple[Span, ...]  # in the order of the text
    _raw: str = field(repr=False)

    @cached_property
    def numbered(self) -> str:
        """The text with `<EMAIL_1>`, `<EMAIL_2>`: one placeholder for each distinct value."""
        return _replaced(self._raw, [(span.start, span.end, span.placeholder) for span in self.found])

    @property
    def values(self) -> Mapping[str, str]:
        """What stood for each numbered placeholder, as it was first written."""
        return {span.placeholder: span.value for span in reversed(self.found)}

    def fill(self, text: str) -> str:
        """`text` with the values in place of the numbered placeholders that `numbered` has; others stay."""
        values = self.values
        return PLACEHOLDER.sub(lambda found: values.get(found[0], found[0]), text)


def mask(text: str) -> Masked:
    """`text` without personal data; the same again when masked again. Takes time linear in the length."""
    seen = canonical(text)
    plain, literal = _without_placeholders(seen.text)
    pieces = _pieces(plain)
    spans = _spans(seen, _joined(pieces), literal)
    bare = [(span.start, span.end, f"<{span.kind}>") for span in spans]
    bare += [(*seen.span(start, end), f"<{kind}>") for kind, start, end in literal]
    return Masked(_replaced(text, sorted(bare)), tuple(spans), text)


def _without_placeholders(text: str) -> tuple[str, list[Piece]]:
    """`text` with the placeholders that it came with marked as masked, and where they stand."""
    found = [(match[1], match.start(), match.end()) for match in PLACEHOLDER.finditer(text)]
    return _marked(text, found), found


def _pieces(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    for _ in range(ROUNDS):
        before = len(pieces)
        for rule in RULES:
            new = _apart(rule(text))
            text = _marked(text, new)
            pieces += new
        if len(pieces) == before:
            break
    return pieces


def _apart(pieces: Iterator[Piece]) -> list[Piece]:
    """The pieces of one rule without those that overlap an earlier one."""
    kept: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (piece[1], -piece[2])):
        if not kept or piece[1] >= kept[-1][2]:
            kept.append(piece)
    return kept


def _joined(pieces: list[Piece]) -> list[Piece]:
    """In the order of the text; two of a kind side by side, which two rules found, are one."""
    joined: list[Piece] = []
    for kind, start, end in sorted(pieces, key=lambda piece: piece[1]):
        if joined and joined[-1][0] == kind and joined[-1][2] == start:
            start = joined.pop()[1]
        joined.append((kind, start, end))
    return joined


def _marked(text: str, pieces: list[Piece]) -> str:
    """`text`, of the same length, with a character that no rule knows wherever a piece stands."""
    return _replaced(text, [(start, end, MASKED * (end - start)) for _, start, end in pieces]) if pieces else text


def _spans(seen: Canonical, pieces: list[Piece], literal: list[Piece]) -> list[Span]:
    taken = {kind: int(found[2] or 0) for kind, found in _literals(seen.text, literal)}
    numbers: dict[tuple[str, str], int] = {}
    spans = []
    for kind, start, end in pieces:
        key = (kind, re.sub(r"[\s.\-()/]+", "", seen.text[start:end]).casefold())
        if key not in numbers:
            taken[kind] = taken.get(kind, 0) + 1
            numbers[key] = taken[kind]
        first, last = seen.span(start, end)
        spans.append(Span(kind, first, last, f"<{kind}_{numbers[key]}>", seen.raw[first:last]))
    return spans


def _literals(text: str, literal: list[Piece]) -> list[tuple[str, re.Match[str]]]:
    """Placeholders that stand in the raw text, the highest number of each kind last: ours go on from there."""
    found = [(kind, match) for kind, start, _ in literal if (match := PLACEHOLDER.match(text, start))]
    return sorted(found, key=lambda pair: int(pair[1][2] or 0))


def _replaced(text: str, pieces: list[tuple[int, int, str]]) -> str:
    parts, last = [], 0
    for start, end, instead in pieces:
        parts += [text[last:start], instead]
        last = end
    return "".join([*parts, text[last:]])
