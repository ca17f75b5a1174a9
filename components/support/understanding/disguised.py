"""Numbers that do not look like numbers: told in English words, parted by stars, with an O for a zero; births."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.support.understanding.numbers import CARD_CUE, ORDER_CUE, before

TOLD = r"(?:zero|oh|nought|one|two|three|four|five|six|seven|eight|nine|double|triple)"
IN_WORDS = re.compile(rf"\b{TOLD}(?:[ ,\-]{{1,2}}{TOLD}){{6,}}+\b", re.IGNORECASE)
LETTERED = re.compile(r"(?<![A-Za-z0-9\-])1[3-9][0-9OoIl]{9}(?![A-Za-z0-9\-])")  # a mobile of China
SEPARATED = re.compile(r"(?<![A-Za-z0-9.,])1[3-9]\d(?: ?[*,_~|] ?\d{4}){2}(?![A-Za-z0-9])")
MOST_LETTERS = 3
CARD_LENGTH = 12
_YEAR = r"(?:19|20)\d{2}"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_DATE = (
    rf"(?P<value>{_DAY}(?: of)? {_MONTH},? {_YEAR}|{_MONTH} {_DAY},? {_YEAR}|{_YEAR}[-/.]\d{{1,2}}[-/.]\d{{1,2}}"
    rf"|\d{{1,2}}[-/.]\d{{1,2}}[-/.](?:{_YEAR}|\d{{2}})|{_YEAR}年\d{{1,2}}月(?:\d{{1,2}}[日号號])?)(?![\dA-Za-z])"
)
BIRTHS = (
    re.compile(
        r"(?:\b(?:born(?: on| in)?|date of birth|d\.?o\.?b\b\.?|birth ?da(?:te|y))"
        r"|出生(?:日期|年月日?|于|於)?|生日|生于|生於)"
        rf"(?: is| was)?(?: on)?[ :是为為]{{0,3}}{_DATE}",
        re.IGNORECASE,
    ),
    re.compile(rf"(?<!\d){_DATE}(?=出?生(?![产產效成]))", re.IGNORECASE),
)
Piece = tuple[str, int, int]


def disguised(text: str) -> Iterator[Piece]:
    """Numbers in disguise, and dates of birth, which count as identity."""
    for found in IN_WORDS.finditer(text):
        yield _kind(found, before(text, found.start())), found.start(), found.end()
    for found in LETTERED.finditer(text):
        if 0 < sum(character.isalpha() for character in found[0]) <= MOST_LETTERS:
            yield "PHONE", found.start(), found.end()
    yield from (("PHONE", found.start(), found.end()) for found in SEPARATED.finditer(text))
    for pattern in BIRTHS:
        yield from (("ID", found.start("value"), found.end("value")) for found in pattern.finditer(text))


def _kind(told: re.Match[str], cue: str) -> str:
    if ORDER_CUE.search(cue):
        return "ORDER"
    return "CARD" if CARD_CUE.search(cue) or len(re.findall(TOLD, told[0], re.IGNORECASE)) > CARD_LENGTH else "PHONE"
