"""How pressing a message is and in what mood it was written: a lexicon, counted; every cue can be shown.

Not learned: a shop can read why a message counts as urgent. Sentiment is squashed as VADER does
(Hutto and Gilbert, 2014, s / sqrt(s^2 + alpha)), with an alpha for the smaller weights of `lexicon`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Literal, NamedTuple

from components.support.understanding import lexicon
from components.support.understanding.canonical import CJK, canonical
from components.support.understanding.masking import PLACEHOLDER

Level = Literal["low", "normal", "high"]
Sort = Literal["mood", "hurry", "calm", "harmless"]
ALPHA = 4.0
PRESSING = 2.0  # hurry from which a message is urgent
FLIPPED = -0.7  # what is left of a mood after "not"; of a hurry nothing is
SHOUTED = 1.5  # times a mood in a text that shouts
OUTCRY = -1.0  # mood of a text that shouts without a word that we know
MOST_CUES, MOST_OF_ONE = 10, 2  # a text is no angrier for its length
LONGEST_PHRASE = 5  # words
SHORTEST_STEM, LONGEST_STEM = 4, 12

WORD = re.compile(r"[a-z]++(?:'[a-z]++)?|\d++|[.!?;\n]", re.ASCII)
END = frozenset(".!?;\n")  # of a sentence; what was denied before it is denied no longer
IDEOGRAPH = re.compile(f"[{CJK}\\d]")
CAPITALS = re.compile(r"\b[A-Z]{3,}+\b")
SMALL = re.compile(r"\b[A-Z]?[a-z]{2,}+\b")
SIGNS = re.compile(r"[!?]{2}")
NEGATORS = frozenset(word.strip() for word in lexicon.NEGATORS.split("|"))
CHINESE_NOT = re.compile(rf"(?<![是好行要会能])[{lexicon.CHINESE_NEGATORS}][{CJK}]?\Z")


class Urgency(NamedTuple):
    """`sentiment` from -1 (furious) to 1 (delighted); `cues` are words of the lexicon, as they were found."""

    level: Level
    sentiment: float
    cues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A word of the lexicon in a text; `weight` after what "not" leaves of it."""

    word: str
    sort: Sort
    weight: float


def urgency(text: str) -> Urgency:
    """Level, sentiment and what told them; an empty text is of no mood and no hurry."""
    plain = PLACEHOLDER.sub(" ", canonical(text).text).replace("’", "'")
    folded = plain.lower()
    found = [*_english(folded), *_chinese(folded)]
    loud = _shouts(plain)
    cues = [each.word for each in found if each.sort == "calm" or abs(each.weight) >= 1]
    return Urgency(_level(found, loud), _sentiment(found, loud), tuple(dict.fromkeys(cues))[:MOST_CUES])


def _level(found: list[Found], loud: bool) -> Level:
    hurry = sum({each.word: each.weight for each in found if each.sort == "hurry"}.values()) + loud
    if any(each.sort == "calm" for each in found):
        return "low" if hurry < PRESSING else "normal"
    return "high" if hurry >= PRESSING else "normal"


def _sentiment(found: list[Found], loud: bool) -> float:
    moods = Counter((each.word, each.weight) for each in found if each.sort == "mood")
    total = sum(weight * min(count, MOST_OF_ONE) for (_, weight), count in moods.items())
    if loud:
        total = total * SHOUTED if abs(total) >= 1 else total + OUTCRY
    return round(total / sqrt(total * total + ALPHA), 3)


def _shouts(text: str) -> bool:
    """Capitals throughout, or signs piled up."""
    capitals = sum(len(word) for word in CAPITALS.findall(text))
    small = sum(len(word) for word in SMALL.findall(text))
    return (capitals >= 12 and capitals > small) or SIGNS.search(text) is not None


def _english(text: str) -> Iterator[Found]:
    """Words and phrases, the longest first; none overlaps another."""
    words = WORD.findall(text)
    place = 0
    while place < len(words):
        size, entry, key = _phrase(words, place)
        if entry is not None:
            yield _found(key, entry, _denied(words[max(0, place - 3) : place]))
        place += size


def _denied(before: list[str]) -> bool:
    """Whether one of the words before says no, within the sentence."""
    ends = [place for place, word in enumerate(before) if word in END]
    return not NEGATORS.isdisjoint(before[ends[-1] + 1 if ends else 0 :])


def _phrase(words: list[str], place: int) -> tuple[int, tuple[Sort, float] | None, str]:
    entries = _entries()
    if words[place] in _beginnings():
        for size in range(min(LONGEST_PHRASE, len(words) - place), 1, -1):
            phrase = " ".join(words[place : place + size])
            if phrase in entries:
                return size, entries[phrase], phrase
    word = words[place]
    if word in entries:
        return 1, entries[word], word
    for end in range(min(len(word), LONGEST_STEM), SHORTEST_STEM - 1, -1):
        if (stem := f"{word[:end]}*") in entries:
            return 1, entries[stem], word
    return 1, None, word


def _chinese(text: str) -> Iterator[Found]:
    last = 0
    for found in IDEOGRAPH.finditer(text):
        start = found.start()
        if start < last:
            continue
        for word in _by_character().get(found[0], ()):
            if text.startswith(word, start):
                last = start + len(word)
                yield _found(word, _entries()[word], bool(CHINESE_NOT.search(text[max(0, start - 3) : start])))
                break


def _found(word: str, entry: tuple[Sort, float], denied: bool) -> Found:
    sort, weight = entry
    if denied:
        weight *= FLIPPED if sort == "mood" else 0.0
    return Found(word, sort, weight)


@cache
def _entries() -> dict[str, tuple[Sort, float]]:
    """Sort and weight of every word; a stem ends with a `*`."""
    entries: dict[str, tuple[Sort, float]] = {}
    for weight, words in lexicon.MOODS.items():
        entries |= dict.fromkeys(_split(words), ("mood", weight))
    for weight, words in lexicon.HURRIES.items():
        entries |= dict.fromkeys(_split(words), ("hurry", weight))
    entries |= dict.fromkeys(_split(lexicon.CALM), ("calm", 0.0))
    return entries | dict.fromkeys(_split(lexicon.HARMLESS), ("harmless", 0.0))


@cache
def _beginnings() -> frozenset[str]:
    """First words of phrases."""
    return frozenset(word.split()[0] for word in _entries() if " " in word)


@cache
def _by_character() -> dict[str, tuple[str, ...]]:
    """Words without gaps by their first character, the longest first."""
    table: dict[str, list[str]] = {}
    for word in sorted(_entries(), key=len, reverse=True):
        if IDEOGRAPH.match(word):
            table.setdefault(word[0], []).append(word)
    return {character: tuple(words) for character, words in table.items()}


def _split(words: str) -> list[str]:
    return [word for part in words.split("|") if (word := " ".join(part.split()))]
