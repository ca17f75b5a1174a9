"""What a reply claims, so that the same in other words can be held against it: `changed(template, other)`.

The check is meant to refuse too much: who is refused gets the shop's own words, which are right. It compares slots,
numbers (in words too), links, names, negations, questions, and the kinds of claims in `terms`. It cannot know that
a common word in lower case is the name of something; therefore no value ever leaves, only templates do.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache

from components.support.rephrasing.terms import (
    COUNTED_EN,
    COUNTED_ZH,
    IDIOMS_ZH,
    KINDS,
    NEGATIONS_EN,
    NEGATIONS_ZH,
    OPENERS,
    UNCOUNTED_ZH,
)

SLOT = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
LINK = re.compile(r"(?:https?:|www\.|[\w.+-]+@)\S+|\b[a-z0-9-]+\.(?:[a-z]{2,})\b(?:/\S*)?", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
CODE = re.compile(r"[^\W_]*\d[\w-]*")  # A-12, 3rd
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
BEFORE_SENTENCE = frozenset('.!?。:;"“”‘(')
PUNCTUATION = frozenset(" .,;:!?'\"()-–—…’‘“”。，、；：！？（）《》「」{}_~～·")
LONGEST_FACTOR, LONGEST_MORE, SHORTEST_FACTOR = 2.0, 40, 0.3  # of the length of what was to be said


def changed(template: str, other: str) -> str | None:
    """What `other` adds to, or loses of, what `template` says, in words; None where it says the same."""
    before, after = _folded(template), _folded(other)
    if trouble := _form(before, after):
        return trouble
    if SLOT.findall(before) != SLOT.findall(after):
        return "slots: others, or in another order, in which they may say something else"
    for name, found in _COMPARED.items():
        then, now = found(before), found(after)
        if then != now:
            return f"{name}: {_difference(then, now)}"
    if added := _names(after, known=_words(before)):
        return f"names: added {', '.join(sorted(added))}"
    if lost := _names(before, known=_words(after) | _first_words(before)):
        return f"names: lost {', '.join(sorted(lost))}"
    return None


def _form(before: str, after: str) -> str | None:
    if not SHORTEST_FACTOR * len(before) <= len(after) <= LONGEST_FACTOR * len(before) + LONGEST_MORE:
        return f"length: {len(after)} characters instead of about {len(before)}"
    if strange := {each for each in after if not _is_plain(each) and each not in before}:
        return f"characters: added {', '.join(sorted(map(ascii, strange))[:5])}"
    if _is_chinese(before) != _is_chinese(after):
        return "language: another than that of the reply"
    if SLOT.sub("", after).count("{") or SLOT.sub("", after).count("}"):
        return "slots: braces around something else"
    return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()


def _is_plain(character: str) -> bool:
    if character in PUNCTUATION or (character.isascii() and character.isalnum()):
        return True
    name = unicodedata.name(character, "")
    return name.startswith(("CJK UNIFIED", "LATIN SMALL LETTER", "LATIN CAPITAL LETTER"))


def _is_chinese(text: str) -> bool:
    """Whether more of it is written in Chinese characters than in Latin words."""
    without = SLOT.sub(" ", text)
    characters = sum(each > "\u2e7f" and each.isalpha() for each in without)
    return characters > sum(word.isascii() for word in WORD.findall(without))


def _links(text: str) -> Counter[str]:
    return Counter(each.rstrip(".,;!?)。，").casefold() for each in LINK.findall(SLOT.sub(" ", text)))


def _numbers(text: str) -> Counter[str]:
    """Digits and what is written together with them, and numbers in words."""
    without = SLOT.sub(" ", text)
    found = Counter(each.casefold() for each in (*NUMBER.findall(without), *CODE.findall(without)))
    found.update(word for word in _latin(without) if word in COUNTED_EN)
    found.update(each for each in _without(UNCOUNTED_ZH, without) if _is_counted(each))
    return found


def _is_counted(character: str) -> bool:
    return character in COUNTED_ZH or unicodedata.category(character) in ("Sc", "No", "Nl")


def _without(idioms: tuple[str, ...], text: str) -> str:
    for idiom in idioms:
        text = text.replace(idiom, "")
    return text


def _negations(text: str) -> Counter[str]:
    text = _without(IDIOMS_ZH, SLOT.sub(" ", text))
    words = sum(word in NEGATIONS_EN or word.endswith(("n't", "n’t")) for word in _latin(text))
    return Counter({"negations": words + sum(each in NEGATIONS_ZH for each in text)})


def _questions(text: str) -> Counter[str]:
    return Counter({"question": int("?" in text)})


def _kinds(text: str) -> Counter[str]:
    """The kinds of claims, each once however often it is made."""
    without = SLOT.sub(" ", text)
    words = set(_latin(without))
    return Counter({kind: 1 for kind in KINDS if _claims(kind, words, without)})


def _claims(kind: str, words: set[str], text: str) -> bool:
    exact, stems, parts = _terms(kind)
    return (
        not exact.isdisjoint(words)
        or any(word.startswith(stems) for word in words if stems)
        or any(part in text for part in parts)
    )


@cache
def _terms(kind: str) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """English words, English stems, Chinese words."""
    terms = KINDS[kind].split()
    latin = [term for term in terms if term.isascii()]
    return (
        frozenset(term for term in latin if not term.endswith("*")),
        tuple(term.removesuffix("*") for term in latin if term.endswith("*")),
        tuple(term for term in terms if not term.isascii()),
    )


def _latin(text: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(text) if word.isascii() or "’" in word]


def _words(text: str) -> set[str]:
    return {part for word in _latin(text) for part in (word, *re.split(r"['’-]", word))}


def _names(text: str, known: set[str]) -> set[str]:
    """Words that look like names and are not among `known`: in capitals, or in Latin letters amid Chinese."""
    is_chinese = _is_chinese(text)
    return {
        word
        for word, is_first in _placed(SLOT.sub(" ", text))
        if word.casefold() not in known
        and (is_chinese or word[0].isupper())
        and not (is_first and _first_part(word) in OPENERS)
        and _first_part(word) != "i"
    }


def _first_words(text: str) -> set[str]:
    """Those with which sentences begin: in what the shop wrote, their capital says nothing."""
    return {word.casefold() for word, is_first in _placed(SLOT.sub(" ", text)) if is_first}


def _first_part(word: str) -> str:
    return re.split(r"['’-]", word.casefold())[0]


def _placed(text: str) -> Iterator[tuple[str, bool]]:
    """Words in Latin letters, and whether each begins a sentence."""
    for match in WORD.finditer(text):
        word = match[0]
        if word[0].isascii() or unicodedata.name(word[0], "").startswith("LATIN"):
            before = text[: match.start()].rstrip()
            yield word, not before or before[-1] in BEFORE_SENTENCE


def _difference(then: Counter[str], now: Counter[str]) -> str:
    added, lost = sorted((now - then).elements()), sorted((then - now).elements())
    parts = [f"{verb} {', '.join(each)}" for verb, each in (("added", added), ("lost", lost)) if each]
    return "; ".join(parts)


_COMPARED = {
    "links": _links,
    "numbers": _numbers,
    "negations": _negations,
    "questions": _questions,
    "claims": _kinds,
}
