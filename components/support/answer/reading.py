"""A message read by rules: masked, its language and mood, what it tells, and what of it models are asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from components.support.answer.ask import Ask, Told, Turn
from components.support.answer.follow_up import AS_CODE, FEW_WORDS, Context, Questions, answered, n_words
from components.support.taxonomy import LANGUAGES, Language
from components.support.understanding.entities import entities
from components.support.understanding.language import language
from components.support.understanding.masking import mask
from components.support.understanding.urgency import urgency

LONGEST, LONGEST_TURN = 16_000, 2_000  # characters that are read of a message and of an earlier turn
MOST_EARLIER, MOST_JOINED = 6, 3  # earlier messages that are searched for what was told, and joined to this one
WHO = re.compile(r"\b(?:your|full|last|first) name\b|who am i (?:speaking|talking)|姓名|名字|贵姓|貴姓|称呼|稱呼", re.I)
NO_CODE = frozenset({"date", "amount", "quantity", "phone", "email", "address"})
PERSONAL = {  # what is shown of these to anybody but the customer
    "order_number": "ORDER", "invoice_number": "ORDER", "email": "EMAIL", "phone": "PHONE", "address": "ADDRESS",
    "gift_card_number": "SECRET", "coupon_code": "SECRET",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """What rules make of a message.

    texts    masked, for models: the message alone, and joined to what it goes on from where it is short
    told     of the message; of what it lacks, what was told before
    answers  needs of the shop's last question that the message tells
    written  language of the message, `language` that of the reply
    """

    masked: str
    texts: tuple[str, ...]
    told: tuple[Told, ...]
    answers: frozenset[str]
    written: str
    language: Language
    urgency: str
    sentiment: float
    context: Context

    @property
    def n_words(self) -> int:
        return n_words(self.masked)

    @property
    def is_empty(self) -> bool:
        """No letter and no digit, so nothing to understand."""
        return not any(each.isalnum() for each in self.masked)

    @property
    def is_foreign(self) -> bool:
        """In words of a language that the shop does not answer in; one word or a name says little."""
        return self.written not in LANGUAGES and self.n_words >= 2

    @property
    def by_kind(self) -> dict[str, list[str]]:
        """Values told by kind of entity."""
        found: dict[str, list[str]] = {}
        for each in self.told:
            found.setdefault(each.kind, []).append(each.value)
        return found


def read(ask: Ask, context: Context) -> Reading:
    """`ask`, of which the message was cut and the conversation gave `context`."""
    message = ask.message
    earlier = [cut(text, LONGEST_TURN) for text in context.earlier[:MOST_EARLIER]]
    here = _told(message, ask)
    answers = {need: value for need in context.needs if (value := _answer(message, need, here)) is not None}
    here += [_as_told(need, value) for need, value in answers.items() if need not in {each.kind for each in here}]
    masked = hidden(mask(message).text, here)
    mood = urgency(message)
    written = str(language(message))
    return Reading(
        masked,
        _texts(masked, earlier),
        tuple(_with_earlier(here, earlier, ask)),
        frozenset(answers),
        written,
        _reply_language(written, earlier),
        mood.level,
        mood.sentiment,
        context,
    )


def cut(text: str, longest: int) -> str:
    """Beginning and end of a longer text, at spaces: half a card number would not be known as one.

    Halves of characters, which JSON may hold and no table does, become question marks.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if len(text) <= longest:
        return text
    head, tail = text[: longest // 2], text[-(longest // 2) :]
    return f"{head[: _last_gap(head)]} … {tail[len(tail) - _last_gap(tail[::-1]) :]}"


def _last_gap(text: str) -> int:
    """Where the last word of `text` starts; its end where that is not in sight."""
    for place in range(len(text), max(len(text) - 200, 0), -1):
        if not (text[place - 1].isascii() and not text[place - 1].isspace()):
            return place
    return len(text)


def hidden(text: str, told: Sequence[Told]) -> str:
    """`text` with personal values that only the question before gave away, such as a bare order number, masked."""
    for each in told:
        if each.kind in PERSONAL and each.value:
            text = text.replace(each.value, each.masked)
    return text


def masked_turns(conversation: Sequence[Turn], questions: Questions) -> list[Turn]:
    """The turns without personal data, also where only the question before tells that it is some."""
    return [replace(turn, text=_masked_turn(conversation, place, questions)) for place, turn in enumerate(conversation)]


def _masked_turn(conversation: Sequence[Turn], place: int, questions: Questions) -> str:
    before, turn = conversation[:place], conversation[place]
    text = cut(turn.text, LONGEST_TURN)
    if turn.by != "customer":
        return mask(text).text
    if before and before[-1].by == "shop" and WHO.search(before[-1].text) and n_words(text) <= FEW_WORDS:
        return "<NAME>"
    needs = questions.context(before).needs
    bare = [_as_told(need, value) for need in needs if (value := answered(text, need)) is not None]
    return hidden(mask(text).text, bare)


def _told(text: str, ask: Ask) -> list[Told]:
    found = entities(text, ask.products, ask.day)
    return [_as_told(each.kind, each.value) for each in found]


def _as_told(kind: str, value: str) -> Told:
    placeholder = PERSONAL.get(kind)
    return Told(kind, value, f"<{placeholder}>" if placeholder else mask(value).text)


def _answer(message: str, need: str, told: Sequence[Told]) -> str | None:
    """The value of a need that was just asked for."""
    values = [each.value for each in told if each.kind == need]
    if not values and need in AS_CODE and not NO_CODE.isdisjoint(each.kind for each in told):
        return None  # its number is that of something else
    return values[0] if values else answered(message, need)


def _with_earlier(here: list[Told], earlier: Sequence[str], ask: Ask) -> list[Told]:
    """What this message tells, then of each kind that it does not the latest telling."""
    found = list(here)
    for text in earlier:
        kinds = {each.kind for each in found}
        found += [each for each in _told(text, ask) if each.kind not in kinds]
    return found


def _texts(masked: str, earlier: Sequence[str]) -> tuple[str, ...]:
    if n_words(masked) > FEW_WORDS or not earlier:
        return (masked,)
    joined = [masked]
    for text in earlier[:MOST_JOINED]:
        joined.insert(0, mask(text).text)
        if n_words(joined[0]) > FEW_WORDS:
            break
    return masked, " ".join(joined)


def _reply_language(written: str, earlier: Sequence[str]) -> Language:
    """The message's own, else that of the latest message in one that the shop speaks, else English."""
    for said in (written, *(language(text) for text in earlier if written not in LANGUAGES)):
        for known in LANGUAGES:
            if said == known:
                return known
    return "en"
