"""What a customer asks of a release and what it answers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

Decision = Literal["answer", "clarify", "hand_over"]
Speaker = Literal["customer", "shop"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of the conversation; of the shop's, `decision` where the caller kept what it was."""

    by: Speaker
    text: str
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A message as the customer wrote it, and what the shop knows.

    conversation  earlier turns, oldest first
    facts         slot -> value from the shop's own systems, about what this message is about
    products      titles by which products are recognised
    day           that "yesterday" is counted from; without it relative dates are left as they were written
    """

    message: str
    conversation: tuple[Turn, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    products: tuple[str, ...] = ()
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """An intent, and how likely it is meant, given that some intent of the shop is."""

    name: str
    title: str
    probability: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What the customer reads: `template` with `slots` put in, once and unread.

    Who rephrases works on `template` and fills it again, so that no value leaves the machine.
    """

    text: str
    template: str
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resembling:
    """A known example like the message, as it is kept (personal data masked); similarity is a cosine."""

    text: str
    intent: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Because:
    """Why the likeliest intent is: the known examples nearest to the message, and the parts of it that counted."""

    nearest: tuple[Resembling, ...] = ()
    words: tuple[tuple[str, float], ...] = ()  # as written (masked), and what each adds to the log score


@dataclass(frozen=True, slots=True)
class Told:
    """One entity of the message: `value` as it is put into a reply, `masked` as it may be kept."""

    kind: str
    value: str
    masked: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said and why. `masked` is the message as it may be kept; only `reply` and `told` hold personal data.

    language    of the reply
    written     language of the message ("other" where it is neither of the shop's)
    intents     likeliest first
    rejection   in [0, 1]: from .5 on, the message is out of scope; None where what ships cannot tell
    intent      the one that was acted upon; None where none was understood
    asked       the need that a question asks for; None where there is none
    missing     needs and facts without which there is no answer
    summary     for the colleague who takes over, as JSON; None unless it is handed over
    """

    decision: Decision
    reply: Reply
    language: Literal["en", "zh"]
    written: str
    intents: tuple[Ranked, ...]
    rejection: float | None
    intent: str | None
    asked: str | None
    missing: tuple[str, ...]
    why: tuple[str, ...]
    because: Because
    told: tuple[Told, ...]
    urgency: str
    sentiment: float
    masked: str
    summary: Mapping[str, Any] | None = None
