"""What the conversation so far says about the message at hand: an answer to the shop's question is no new wish.

Nothing is remembered between requests. The shop's questions are known by their words (an intent's own, or two titles
in quotation marks), or by the `decision` that the caller kept with the turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from components.support.answer.ask import Turn
from components.support.answer.wording import OPEN
from components.support.taxonomy import LANGUAGES, Bilingual, Taxonomy
from components.support.understanding.masking import PLACEHOLDER

QUOTED = re.compile(r"“([^”]{1,200})”")
FIRST = re.compile(
    r"\W*(?:the\s+|选|我选)?(?:1|1st|a|one|first(?:\s+one)?|former|第一[个個]?|前者|前面[那的]?[个個]?|一)\W*", re.I
)
SECOND = re.compile(
    r"\W*(?:the\s+|选|我选)?(?:2|2nd|b|two|second(?:\s+one)?|latter|第二[个個]?|后者|後者|后面[那的]?[个個]?|二)\W*",
    re.I,
)
WORD = re.compile(r"[^\W\d_\u3040-\u30ff\u4e00-\u9fff]+|[\u3040-\u30ff\u4e00-\u9fff]")
FEW_WORDS = 6  # up to which a message may be the rest of the one before; a Chinese character counts as one
MOST_ANSWERED = 80  # characters of an answer to a question
CODE = re.compile(r"(?<![a-z0-9])#?(?=[a-z\-_/]{0,15}\d)[a-z0-9][a-z0-9\-_/]{2,30}(?![a-z0-9])", re.I | re.A)
LEAD = re.compile(
    r"(?:\s*(?:hi|hello|ok(?:ay)?|sure|well|sorry|it(?:['’]s| is)|that(?:['’]s| is)|i mean|about|the|a|an|my|"
    r"product is|你好|好的|是的|我说的是|我问的是|我想问|就是|是|关于|這個是|这个是)(?![a-z])[\s,，:：]*)+",
    re.I,
)  # fmt: skip
AS_TOLD = ("product", "size", "payment_method")  # needs that any words may be
# what may stand beside a bare code; with any other word it may be the number of something else
_ALONG = """
    a an the my your it s its is this that here hi hello ok okay sure well sorry oh yes so i mean have for of and
    order orders number no nr num code id invoice receipt coupon voucher gift card reference ref please thanks thank you
    订 單 单 号 號 码 碼 编 編 是 的 了 您 你 好 哦 嗯 呃 就 这 這 个 個 我 给 給 谢 謝 在 发 發 票 优 優 惠 券
"""
ALONG = frozenset(_ALONG.split())
COUNTED = re.compile(r"(?:19|20)\d\d|\d{1,5}[a-z]{1,4}", re.I | re.A)  # a year; so many of something
AROUND = " \t\r\n.,!?;:。，！？；：\"'“”"
AS_CODE = ("order_number", "coupon_code", "invoice_number", "gift_card_number")


@dataclass(frozen=True, slots=True)
class Context:
    """What bears on the message.

    earlier    what the customer wrote before, the latest first
    between    intents that the shop's last words asked to choose from
    asked      (intent, need) that the shop's last words may have asked for
    questions  how many the shop asked without a pause: its latest turns as far as they are questions
    """

    earlier: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    asked: frozenset[tuple[str, str]] = frozenset()
    questions: int = 0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(need for _, need in self.asked)


class Questions:
    """A taxonomy's questions by their words."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._titles = {
            intent.title.within(language).casefold(): intent.name
            for intent in taxonomy.intents
            for language in LANGUAGES
        }
        self._words = [
            (question.within(language), (intent.name, need))
            for intent in taxonomy.intents
            for need, question in intent.questions.items()
            for language in LANGUAGES
        ]

    def context(self, conversation: Sequence[Turn]) -> Context:
        """Of the turns before a message; only the last turn can be a question that it answers."""
        last = conversation[-1].text if conversation and conversation[-1].by == "shop" else ""
        return Context(
            tuple(turn.text for turn in reversed(conversation) if turn.by == "customer"),
            self._between(last),
            frozenset(asked for words, asked in self._words if words in last),
            sum(
                1 for _ in takewhile(self._is_question, (turn for turn in reversed(conversation) if turn.by == "shop"))
            ),
        )

    def _is_question(self, turn: Turn) -> bool:
        if turn.decision is not None:
            return turn.decision == "clarify"
        is_open = any(OPEN.within(language) in turn.text for language in LANGUAGES)
        return is_open or bool(self._between(turn.text)) or any(words in turn.text for words, _ in self._words)

    def _between(self, text: str) -> tuple[str, ...]:
        found = [self._titles.get(title.casefold(), "") for title in QUOTED.findall(text)]
        return tuple(found) if len(found) == 2 and all(found) else ()


def chosen(message: str, between: tuple[str, ...], titles: Sequence[Bilingual]) -> str | None:
    """Which of the two intents the message picks, by place or by title; None where it says neither or both."""
    if len(between) != 2:
        return None
    if FIRST.fullmatch(message) or SECOND.fullmatch(message):
        return between[0] if FIRST.fullmatch(message) else between[1]
    folded = message[:MOST_ANSWERED].casefold()
    named = [any(title.within(each).casefold() in folded for each in LANGUAGES) for title in titles]
    return between[named.index(True)] if sum(named) == 1 else None


def n_words(masked: str) -> int:
    """Words of a masked message; placeholders and numbers are none."""
    return len(WORD.findall(PLACEHOLDER.sub(" ", masked)))


def answered(message: str, need: str) -> str | None:
    """What a message right after the question for `need` gives as its value, where no rule recognised one."""
    if len(message) > MOST_ANSWERED:
        return None
    if need in AS_CODE:
        return _bare_code(message)
    if need in AS_TOLD:
        lead = LEAD.match(message)
        return message[lead.end() if lead else 0 :].strip(AROUND) or None
    return None


def _bare_code(message: str) -> str | None:
    """The one code of a message that holds nothing else to speak of."""
    codes, others = CODE.findall(message), WORD.findall(CODE.sub(" ", message).replace("’", "'").lower())
    if len(codes) != 1 or not ALONG.issuperset(others):
        return None
    return codes[0] if not others or not COUNTED.fullmatch(codes[0]) else None
