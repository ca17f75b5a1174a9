"""What customer service is asked over the wire, with examples; field names are the shop's, limits are ours."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from components.support.answer.ask import Ask, Turn
from serving.feedback_schemas import EventId, Text
from serving.schemas import Wire

LONGEST = 32 * 1024  # characters of a message
MOST_TURNS, MOST_FACTS, MOST_PRODUCTS = 50, 50, 500

REPLIES: dict[str, dict[str, Any]] = {
    "where an order is": {
        "message": "Where is my order A-48213? It should have been here on Monday.",
        "conversation_id": "chat-77",
        "facts": {"order_status": "on its way", "delivery_date": "5 June"},
    },
    "in Chinese, without what is needed": {"message": "我的包裹到哪里了？"},
    "an answer to a question": {
        "message": "20488317",
        "conversation": [
            {"by": "customer", "text": "我的包裹到哪里了？"},
            {"by": "shop", "text": "好的，马上为您查询。请问您的订单号是多少？", "decision": "clarify"},
        ],
    },
    "a person": {"message": "I want to talk to a person now", "message_id": "m-5", "conversation_id": "chat-77"},
}
CORRECTIONS: dict[str, dict[str, Any]] = {
    "another intent": {
        "correction_id": "ticket-9-anna",
        "message": "I paid twice for A-48213, what now?",
        "intent": "charged_twice",
        "by": "anna",
    },
    "nothing for this shop": {
        "correction_id": "ticket-10-anna",
        "message": "Can you recommend a good film?",
        "intent": "out_of_scope",
        "by": "anna",
    },
}
TAKES: dict[str, dict[str, Any]] = {
    "a handover": {"handover_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c", "by": "anna"},
}

Message = Annotated[str, Field(max_length=LONGEST, description="As the customer wrote it; it may be empty.")]
Value = StrictStr | StrictInt | StrictFloat


def _said(message: str) -> str:
    if not message.strip():
        raise ValueError("expected words, of which something can be learned")
    return message


class TurnOfConversation(Wire):
    """An earlier message."""

    by: Literal["customer", "shop"]
    text: Annotated[str, Field(max_length=LONGEST)]
    decision: Literal["answer", "clarify", "hand_over"] | None = Field(
        None, description="Of a reply of this service, as it said."
    )


class ReplyRequest(Wire):
    """A message, and what the shop knows. Nothing is remembered between two requests."""

    model_config = ConfigDict(json_schema_extra={"example": REPLIES["where an order is"]})

    message: Message
    conversation: Annotated[list[TurnOfConversation], Field(max_length=MOST_TURNS)] = Field(
        default=[], description="What was said before, oldest first."
    )
    facts: Annotated[dict[Text, Value], Field(max_length=MOST_FACTS)] = Field(
        default={}, description="From the shop's own systems, by the slots of its replies; no other facts are stated."
    )
    products: Annotated[list[Text], Field(max_length=MOST_PRODUCTS)] = Field(
        default=[], description="Titles by which products are recognised."
    )
    day: date | None = Field(None, description="That 'yesterday' is counted from; by default today, UTC.")
    conversation_id: Text | None = Field(None, description="Yours; it is kept with a handover, so no e-mail address.")
    message_id: Text | None = Field(
        None, description="Yours; the same one again in the same conversation makes no second handover."
    )
    customer_id: Text | None = Field(None, description="Yours; it decides who is asked by a release on trial.")

    def ask(self, today: date) -> Ask:
        """The request without its wire format."""
        return Ask(
            self.message,
            tuple(Turn(turn.by, turn.text, turn.decision) for turn in self.conversation),
            {name: str(value) for name, value in self.facts.items()},
            tuple(self.products),
            self.day or today,
        )


class CorrectionRequest(Wire):
    """What an agent says was right. Personal data in `message` is masked before it is kept."""

    model_config = ConfigDict(json_schema_extra={"example": CORRECTIONS["another intent"]})

    correction_id: EventId = Field(description="Yours; the same one again counts once.")
    message: Annotated[Message, AfterValidator(_said)]
    intent: Text = Field(description="What was meant: an intent of the shop, or out_of_scope.")
    by: Text = Field(description="Who says so; no single agent can flood what is learned from.")
    request_id: Text | None = Field(None, description="Of the reply that was wrong, as it said.")


class TakeRequest(Wire):
    """Somebody takes a handover, so that nobody else answers it as well."""

    model_config = ConfigDict(json_schema_extra={"example": TAKES["a handover"]})

    handover_id: Text
    by: Text = Field(description="Who answers the customer.")
