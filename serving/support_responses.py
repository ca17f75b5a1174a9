"""What customer service answers over the wire, with examples."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from components.handovers.record import Handover
from components.support.answer.ask import Answer
from serving.schemas import Wire

REPLY_RESPONSE: dict[str, Any] = {
    "decision": "answer",
    "reply": "Thank you for your patience. Your order A-48213 is currently on its way, and it should arrive on 5 June.",
    "language": "en",
    "written_in": "en",
    "intent": "order_status",
    "intents": [
        {"name": "order_status", "title": "Where is my order", "probability": 0.94},
        {"name": "delivery_time", "title": "How long delivery takes", "probability": 0.03},
    ],
    "out_of_scope": 0.02,
    "asks": None,
    "missing": [],
    "why": ["order_status is understood, and everything that the reply says is known"],
    "because": {
        "nearest": [{"text": "where is my order <ORDER>?", "intent": "order_status", "similarity": 0.91}],
        "words": [{"words": "where is", "weight": 1.7}],
    },
    "entities": [{"kind": "order_number", "value": "A-48213"}],
    "urgency": "normal",
    "sentiment": -0.2,
    "rephrased": False,
    "handover_id": None,
    "release": "20250701-0a1b2c3d",
    "request_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c",
}
CORRECTION_RESPONSE: dict[str, Any] = {
    "accepted": 1,
    "repeated": 0,
    "kept": "I paid twice for <ORDER>, what now?",
    "request_id": "8d0c5a2f6b7e4c1d9a3f5e7b9d1c3a5f",
}
HANDOVER: dict[str, Any] = {
    "handover_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c",
    "number": 12,
    "at": "2025-07-01T12:30:15.250001+00:00",
    "request_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c",
    "conversation_id": "chat-77",
    "state": "taken",
    "taken_by": "anna",
    "taken_at": "2025-07-01T12:31:00+00:00",
    "summary": {"in_words": "Writes in en. Wants: Talk to a person (97%). ..."},
    "delivery": {"attempts": 1, "delivered_at": "2025-07-01T12:30:15.400000+00:00", "trouble": None},
}
LISTED: dict[str, Any] = {"handovers": [HANDOVER], "next_after": 12, "request_id": REPLY_RESPONSE["request_id"]}

Decision = Literal["answer", "clarify", "hand_over"]


class RankedIntent(Wire):
    """What a message may want; the probability is that among the shop's intents, given that it is one of them."""

    name: str
    title: str
    probability: float


class NearExample(Wire):
    """A known example that the message resembles; personal data in it is masked."""

    text: str
    intent: str
    similarity: float = Field(description="Cosine, at most 1.")


class CountedWords(Wire):
    """A part of the message that counted."""

    words: str
    weight: float = Field(description="What it adds to the log score of the likeliest intent.")


class Grounds(Wire):
    """Why the likeliest intent is."""

    nearest: list[NearExample]
    words: list[CountedWords]


class EntityOfMessage(Wire):
    """What the message tells."""

    kind: str
    value: str


class ReplyResponse(Wire):
    """What to say, and why."""

    model_config = ConfigDict(json_schema_extra={"example": REPLY_RESPONSE})

    decision: Decision = Field(description="answer, clarify (one question), or hand_over (a person answers).")
    reply: str = Field(description="In the customer's language; it states nothing that was not told or supplied.")
    language: str = Field(description="Of the reply: en or zh.")
    written_in: str = Field(description="Language of the message: en, zh or other.")
    intent: str | None = Field(description="That was acted upon; null where none was understood.")
    intents: list[RankedIntent] = Field(description="Likeliest first.")
    out_of_scope: float | None = Field(description="From .5 on, the message is about nothing that the shop knows.")
    asks: str | None = Field(description="What the reply asks for, such as order_number.")
    missing: list[str] = Field(description="Needs and facts without which there is no answer.")
    why: list[str] = Field(description="Of the decision.")
    because: Grounds
    entities: list[EntityOfMessage]
    urgency: str = Field(description="low, normal or high.")
    sentiment: float = Field(description="From -1 (upset) to 1.")
    rephrased: bool = Field(description="Whether a language model found the words; off by default.")
    handover_id: str | None = Field(description="Of the record for a person, on disk; null unless handed over.")
    release: str
    request_id: str


class CorrectionResponse(Wire):
    """The correction is on disk; the next retrain learns from it, unless its gate sets it aside."""

    model_config = ConfigDict(json_schema_extra={"example": CORRECTION_RESPONSE})

    accepted: int = Field(description="1 where it is new.")
    repeated: int = Field(description="1 where it was there already; the first one stands.")
    kept: str = Field(description="The message as it is kept: personal data is masked.")
    request_id: str


class DeliveryOfHandover(Wire):
    """What became of telling the webhook."""

    attempts: int
    delivered_at: datetime | None
    trouble: str | None = Field(description="Of the last attempt.")


class HandoverResponse(Wire):
    """One message for a person; personal data is masked in its summary."""

    model_config = ConfigDict(json_schema_extra={"example": HANDOVER})

    handover_id: str
    number: int = Field(description="Grows in the order in which handovers were kept.")
    at: datetime
    request_id: str
    conversation_id: str | None
    state: Literal["open", "taken"]
    taken_by: str | None
    taken_at: datetime | None
    summary: dict[str, Any]
    delivery: DeliveryOfHandover | None = Field(description="null where no webhook was set.")


class HandoverList(Wire):
    """A page of them, the oldest first."""

    model_config = ConfigDict(json_schema_extra={"example": LISTED})

    handovers: list[HandoverResponse]
    next_after: int = Field(description="`after` of the next page.")
    request_id: str


def reply_response(
    answer: Answer, rephrased: bool, handover_id: str | None, release: str, request_id: str
) -> dict[str, Any]:
    """ReplyResponse as plain values; not validated again, because an answer is made by us."""
    return {
        "decision": answer.decision,
        "reply": answer.reply.text,
        "language": answer.language,
        "written_in": answer.written,
        "intent": answer.intent,
        "intents": [
            {"name": each.name, "title": each.title, "probability": round(float(each.probability), 4)}
            for each in answer.intents
        ],
        "out_of_scope": None if answer.rejection is None else round(float(answer.rejection), 4),
        "asks": answer.asked,
        "missing": list(answer.missing),
        "why": list(answer.why),
        "because": _grounds(answer),
        "entities": [{"kind": each.kind, "value": each.value} for each in answer.told],
        "urgency": answer.urgency,
        "sentiment": round(float(answer.sentiment), 3),
        "rephrased": rephrased,
        "handover_id": handover_id,
        "release": release,
        "request_id": request_id,
    }


def _grounds(answer: Answer) -> dict[str, Any]:
    nearest, words = answer.because.nearest, answer.because.words
    return {
        "nearest": [
            {"text": each.text, "intent": each.intent, "similarity": round(float(each.similarity), 4)}
            for each in nearest
        ],
        "words": [{"words": text, "weight": round(float(weight), 4)} for text, weight in words],
    }


def handover_response(handover: Handover) -> dict[str, Any]:
    """HandoverResponse as plain values."""
    told = handover.delivery
    return {
        "handover_id": handover.handover_id,
        "number": handover.number,
        "at": handover.at.isoformat(),
        "request_id": handover.request_id,
        "conversation_id": handover.conversation_id,
        "state": handover.state,
        "taken_by": handover.taken_by,
        "taken_at": _iso(handover.taken_at),
        "summary": dict(handover.summary),
        "delivery": told
        and {"attempts": told.attempts, "delivered_at": _iso(told.delivered_at), "trouble": told.trouble},
    }


def listing(found: Sequence[Handover], after: int) -> dict[str, Any]:
    """A page of handovers, and the number after which the next one goes on."""
    return {
        "handovers": [handover_response(each) for each in found],
        "next_after": found[-1].number if found else after,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
