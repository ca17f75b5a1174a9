"""Texts cut into pieces that models count: words and character n-grams, of Chinese and of spaced scripts alike.

Every model reads `plain` text: one width and case, and every digit a zero, since an order's number tells no intent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

LONGEST = 2000  # characters of a message that models read
_GAP = " ... "

# One Chinese character (or kana, or hangul syllable) is a piece of its own; elsewhere a run of letters is a word.
_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"<[a-z_]+>|[{_HAN}]|0+|[^\W\d_{_HAN}]+(?:'[a-z]+)?|[^\w\s]")
_DIGIT = re.compile(r"\d")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff\u00ad]")


def excerpt(text: str, longest: int = LONGEST) -> str:
    """`text`, or of a longer one its beginning and its end: a pasted conversation ends with what is wanted now."""
    if len(text) <= longest:
        return text
    half = (longest - len(_GAP)) // 2
    return text[:half] + _GAP + text[-half:]


def plain(text: str) -> str:
    """One width, one case, no invisible characters, zeros for digits, single spaces."""
    folded = unicodedata.normalize("NFKC", excerpt(text)).casefold().replace("\u2019", "'")
    return " ".join(_DIGIT.sub("0", _INVISIBLE.sub("", folded)).split())


def words(text: str) -> list[str]:
    """Words, single Chinese characters, numbers as runs of zeros, placeholders and marks of `plain` text, in order."""
    return _TOKEN.findall(text)


def grams(text: str, shortest: int, longest: int) -> Iterator[str]:
    """Character n-grams of `plain` text that keep within its spaces; a space stands for the edge of a word."""
    for word in text.split():
        padded = f" {word} "
        for size in range(shortest, longest + 1):
            for start in range(max(1, len(padded) - size + 1)):
                yield padded[start : start + size]
            if size >= len(padded):
                break  # longer ones would only repeat the whole word


def runs(tokens: list[str], longest: int) -> Iterator[str]:
    """One to `longest` neighbouring words, joined by a tab so that no n-gram of characters looks like them."""
    for size in range(1, longest + 1):
        for start in range(len(tokens) - size + 1):
            yield "\t" + "\t".join(tokens[start : start + size])
