"""Answer, ask one question, or hand over to a person: by plain rules over what was understood, each with its words.

Whatever is doubtful goes to a person: a wrong answer given with confidence costs more than a colleague's minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from components.core.params import Params
from components.support.answer.ask import Decision, Ranked


class AnswerParams(Params):
    """When an intent counts as understood, and who answers then."""

    sure: float = Field(0.7, gt=0, le=1, description="Probability from which the likeliest intent is acted upon.")
    either: float = Field(
        0.75, gt=0, le=1, description="Probability of the two likeliest from which asking is worth it."
    )
    angry: float = Field(-0.6, ge=-1, le=0, description="Sentiment from which on down a person answers.")
    urgent_to_person: bool = Field(True, description="Whether a person answers what is urgent.")
    most_questions: int = Field(2, ge=0, description="Questions in one conversation before a person takes over.")


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules look at.

    alone      intents that may be answered without a person
    chosen     the intent that the customer picked when asked which of two
    needs, facts, against  what the likeliest intent's reply lacks (`reply.Draft`)
    questions  how many the shop asked in this conversation
    is_empty   nothing to understand: no letter and no digit
    denied     the message says that it does not want the likeliest intent
    failed     the shop's last words did not help, by what the customer says or repeats
    foreign    written in a language that the shop does not answer in
    """

    ranked: Sequence[Ranked]
    alone: frozenset[str]
    rejected: bool = False
    chosen: str | None = None
    needs: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    urgent: bool = False
    sentiment: float = 0.0
    wants_person: bool = False
    questions: int = 0
    is_empty: bool = False
    denied: bool = False
    foreign: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`intent` is what was understood (None: nothing surely), `between` the two that a question names.

    `asks` is the need that a question asks for; a question with neither asks what the matter is.
    """

    decision: Decision
    why: tuple[str, ...]
    intent: str | None = None
    between: tuple[Ranked, Ranked] | None = None
    asks: str | None = None


def decide(situation: Situation, params: AnswerParams) -> Verdict:
    """Reasons for a person first, then doubt, then what is missing; what is left is answered."""
    intent = _understood(situation, params)
    if why := (*_of_the_customer(situation, params), *_of_the_intent(situation, intent)):
        return Verdict("hand_over", why, intent)
    asked = _question(situation, params, intent)
    if asked is not None and situation.questions >= params.most_questions:
        return Verdict("hand_over", (*asked.why, f"{situation.questions} questions were asked already"), intent)
    if asked is not None:
        return asked
    if intent is None:
        return Verdict("hand_over", (_doubt(situation.ranked, params),))
    return _by_facts(situation, intent)


def _understood(now: Situation, params: AnswerParams) -> str | None:
    if now.chosen is not None:
        return now.chosen
    if now.is_empty or now.rejected or not now.ranked or now.denied or now.foreign:
        return None
    return now.ranked[0].name if now.ranked[0].probability >= params.sure else None


def _of_the_customer(now: Situation, params: AnswerParams) -> tuple[str, ...]:
    """Why a person should take over, whatever is wanted."""
    reasons = {
        "the customer asks for a person": now.wants_person,
        f"the customer is upset (sentiment {now.sentiment:+.1f})": now.sentiment <= params.angry,
        "the shop's last answer did not help": now.failed,
        "the message is urgent": now.urgent and params.urgent_to_person,
    }
    return tuple(words for words, holds in reasons.items() if holds)


def _of_the_intent(now: Situation, intent: str | None) -> tuple[str, ...]:
    """Why a person should take over because of what is wanted, or is not."""
    if intent is not None:
        return () if intent in now.alone else (f"{intent} is not answered without a person",)
    if now.is_empty:
        return ()
    reasons = {
        "out of scope: like no intent of the shop": now.rejected,
        "written in a language that the shop does not answer in": now.foreign,
        "the message says what is not wanted, so what is wanted is unclear": now.denied,
        "what is likeliest is not answered without a person": not any(
            each.name in now.alone for each in now.ranked[:2]
        ),
    }
    return tuple(words for words, holds in reasons.items() if holds)


def _question(now: Situation, params: AnswerParams, intent: str | None) -> Verdict | None:
    if now.is_empty and intent is None:
        return Verdict("clarify", ("the message says nothing that could be understood",))
    if intent is None:
        return _which(now.ranked, params)
    if now.needs and not now.against:
        return Verdict(
            "clarify", (f"{intent} needs {now.needs[0]}, which was not told clearly",), intent, asks=now.needs[0]
        )
    return None


def _which(ranked: Sequence[Ranked], params: AnswerParams) -> Verdict | None:
    """A question that names both, where the two likeliest are close and most likely hold the right one."""
    if len(ranked) < 2 or ranked[0].probability + ranked[1].probability < params.either:
        return None
    first, second = ranked[:2]
    words = f"two intents are close: {_share(first)} and {_share(second)}"
    return Verdict("clarify", (words,), between=(first, second))


def _by_facts(now: Situation, intent: str) -> Verdict:
    if now.against:
        return Verdict("hand_over", (f"the facts are about another {', '.join(now.against)} than the message",), intent)
    if now.facts:
        return Verdict("hand_over", (f"{intent} needs facts that were not supplied: {', '.join(now.facts)}",), intent)
    return Verdict("answer", (f"{intent} is understood, and everything that the reply says is known",), intent)


def _doubt(ranked: Sequence[Ranked], params: AnswerParams) -> str:
    best = _share(ranked[0]) if ranked else "no intent at all"
    return f"no intent is likely enough: {best}, of {params.sure:.0%} that it takes"


def _share(ranked: Ranked) -> str:
    return f"{ranked.name} ({ranked.probability:.0%})"
