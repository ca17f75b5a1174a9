"""What a colleague reads who takes over: no need to ask the customer again, and no personal data.

It is kept and sent on, so all text in it is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.support.answer.ask import Ranked, Told, Turn
from components.support.answer.decision import Verdict

MOST_TURNS, MOST_SHOWN, LONGEST = 6, 3, 500  # turns and intents shown; characters of a turn


def summarise(
    verdict: Verdict,
    ranked: Sequence[Ranked],
    told: Sequence[Told],
    missing: Sequence[str],
    conversation: Sequence[Turn],
    masked: str,
    mood: tuple[str, str, float],
) -> dict[str, Any]:
    """As JSON, with `in_words` for who reads only that.

    `mood` is language, urgency and sentiment of the message; `conversation` is masked (reading.masked_turns).
    """
    language, urgency, sentiment = mood
    likely = [_ranked(each) for each in ranked[:MOST_SHOWN]]
    return {
        "in_words": _in_words(verdict, ranked, told, missing, language),
        "intent": verdict.intent,
        "intents": likely,
        "why": list(verdict.why),
        "language": language,
        "urgency": urgency,
        "sentiment": round(sentiment, 2),
        "entities": [{"kind": each.kind, "value": each.masked} for each in told],
        "missing": list(missing),
        "message": shortened(masked),
        "conversation": [{"by": turn.by, "text": shortened(turn.text)} for turn in conversation[-MOST_TURNS:]],
    }


def _ranked(each: Ranked) -> dict[str, Any]:
    return {"name": each.name, "title": each.title, "probability": round(each.probability, 4)}


def _in_words(
    verdict: Verdict, ranked: Sequence[Ranked], told: Sequence[Told], missing: Sequence[str], language: str
) -> str:
    said = ", ".join(f"{each.kind} {each.masked}" for each in told) or "nothing that could be looked up"
    parts = [
        f"Writes in {language}. {_wish(verdict, ranked)}",
        f"Handed over because {'; '.join(verdict.why)}",
        f"Told: {said}",
    ]
    if missing:
        parts.append(f"Still missing: {', '.join(missing)}")
    return ". ".join(parts) + "."


def _wish(verdict: Verdict, ranked: Sequence[Ranked]) -> str:
    if verdict.intent is not None:
        titles = [f"{each.title} ({each.probability:.0%})" for each in ranked if each.name == verdict.intent]
        return f"Wants: {(titles or [verdict.intent])[0]}"
    near = " or ".join(f"{each.title} ({each.probability:.0%})" for each in ranked[:2])
    return f"What is wanted is not clear; nearest: {near or 'nothing'}"


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
