"""What customers did, over the wire: one model per kind of event, with examples."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

import components
from components.feedback.events import Event, Kind
from serving.impressions import Seen, Shown, payload
from serving.schemas import Wire

MOST_EVENTS = 1000
OWN = (":champion", ":challenger", ":shadow")  # how the ids of our own answers end; a first one would suppress them
# PostgreSQL keeps no NUL
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Number = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Position = Annotated[int, Field(ge=1, le=10_000)]

EVENTS: dict[str, dict[str, Any]] = {
    "a purchase": {
        "events": [
            {
                "event_id": "order-5001",
                "kind": "purchase",
                "application": "recommendation",
                "request_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c",
                "customer_id": "1012",
                "order_id": "5001",
                "items": [{"product_id": "1082185", "quantity": 2, "amount": 1.98}],
            }
        ]
    },
    "a click, and units sold": {
        "events": [
            {
                "event_id": "click-77",
                "kind": "click",
                "application": "recommendation",
                "at": "2018-01-02T09:30:00+01:00",
                "request_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c",
                "customer_id": "1012",
                "product_id": "1082185",
                "position": 1,
            },
            {
                "event_id": "sales-1082185-2018-01-01",
                "kind": "sales",
                "application": "demand",
                "series_id": "1082185",
                "period": "2018-01-01",
                "units": 251,
            },
        ]
    },
}
RESPONSE: dict[str, Any] = {"accepted": 2, "repeated": 0, "request_id": "8d0c5a2f6b7e4c1d9a3f5e7b9d1c3a5f"}


def applications() -> list[str]:
    """Those that this project has."""
    found = {path.parent.name for path in Path(components.__path__[0]).glob("*/application.py")}
    return sorted(found - {"core"})


_APPLICATIONS = applications()


def _known(name: str) -> str:
    if name not in _APPLICATIONS:
        raise ValueError(f"expected one of {', '.join(_APPLICATIONS)}")
    return name


def _recent(at: datetime) -> datetime:
    if at.year < 2000:  # also keeps the change to UTC within the calendar
        raise ValueError("expected a time since the year 2000")
    return at.astimezone(UTC)


def _foreign(event_id: str) -> str:
    if event_id.endswith(OWN):
        raise ValueError(f"expected an id of your own, not one that ends in {', '.join(OWN)} as those of our answers")
    return event_id


EventId = Annotated[Text, AfterValidator(_foreign)]


class Reported(Wire):
    """What every kind has. `event_id` is the sender's: the same one again counts once."""

    event_id: EventId
    application: Annotated[str, AfterValidator(_known)] = Field(description="Whose answer it is about.")
    at: Annotated[AwareDatetime, Field(strict=True), AfterValidator(_recent)] | None = Field(
        None, description="When it happened, ISO with a zone; by default when it is received."
    )
    request_id: Text | None = Field(None, description="Of the answer that led to it.")
    customer_id: Text | None = None

    def content(self) -> dict[str, Any]:
        """The fields of its kind."""
        return self.model_dump(mode="json", exclude=_COMMON)

    def event(self, kind: Kind, received: datetime) -> Event:
        """The same as it is kept."""
        return Event(
            self.event_id, self.application, kind, self.at or received, self.content(), self.request_id,
            getattr(self, "order_id", None), self.customer_id,
        )  # fmt: skip


_COMMON = {*Reported.model_fields, "kind", "order_id"}


class _OfProduct(Reported):
    product_id: Text
    position: Position | None = Field(None, description="Where it stood, from 1.")


class Click(_OfProduct):
    """A product was looked at."""

    kind: Literal["click"]


class Cart(_OfProduct):
    """A product was put into the basket."""

    kind: Literal["cart"]


class Dismiss(_OfProduct):
    """A product was waved away."""

    kind: Literal["dismiss"]


class Line(Wire):
    """One product of an order."""

    product_id: Text
    quantity: Number = Field(1.0, description="Below 0 where it came back.")
    amount: Number | None = Field(None, description="Of the line, in the shop's currency.")


class Purchase(Reported):
    """An order; it counts once, whether it comes here, in the shop's own transactions, or in both (they win)."""

    kind: Literal["purchase"]
    order_id: Text = Field(description="As `basket_id` in the shop's transactions.")
    items: Annotated[list[Line], Field(min_length=1, max_length=500)]
    store_id: Text | None = None


class Sales(Reported):
    """Units sold of a series in one period, complete."""

    kind: Literal["sales"]
    series_id: Text
    period: date = Field(description="Its first day.")
    units: Number


class Correction(Reported):
    """Somebody says what would have been right. Of a customer's message, personal data is masked before it is kept."""

    kind: Literal["correction"]
    subject: Text = Field(description="What is corrected.")
    label: Text = Field(description="What would have been right.")
    by: Text | None = None

    def content(self) -> dict[str, Any]:
        if self.application != "support":
            return super().content()
        from components.support.understanding.masking import mask  # most shops' feedback holds no messages

        return super().content() | {"subject": mask(self.subject).text}


class ShownItem(Wire):
    """One thing that the shop's own front end showed."""

    key: Text = Field(description="A product, or a series and the first day of a period as `series|2018-01-01`.")
    position: Position
    propensity: float = Field(gt=0, le=1, description="Chance with which it was put there; 1 where nothing is drawn.")
    value: Number | None = None


class Impression(Reported):
    """What the shop's own front end showed. What this service answers is logged without it."""

    kind: Literal["impression"]
    shown: Annotated[list[ShownItem], Field(min_length=1, max_length=500)]
    release: Text | None = None
    facets: Annotated[dict[Text, Text], Field(max_length=20)] = Field(default={})

    def content(self) -> dict[str, Any]:
        shown = [Shown(each.key, each.position, each.propensity, each.value) for each in self.shown]
        return payload(self.release, "shop", self.customer_id, Seen(shown, self.facets), None)


AnyEvent = Annotated[Click | Cart | Dismiss | Purchase | Sales | Correction | Impression, Field(discriminator="kind")]


class FeedbackRequest(Wire):
    """A batch: taken as a whole or not at all."""

    model_config = ConfigDict(json_schema_extra={"example": EVENTS["a purchase"]})

    events: Annotated[list[AnyEvent], Field(min_length=1, max_length=MOST_EVENTS)]


class FeedbackResponse(Wire):
    """Every event of the batch is on disk."""

    model_config = ConfigDict(json_schema_extra={"example": RESPONSE})

    accepted: int = Field(description="New events.")
    repeated: int = Field(description="Events that were there already.")
    request_id: str
