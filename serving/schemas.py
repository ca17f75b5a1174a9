"""What goes over the wire, with examples; field names are the shop's, limits are ours."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from components.recommendation.answer.ask import Answer, Ask

Name = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[list[Name], Field(max_length=500)]


REQUESTS: dict[str, dict[str, Any]] = {
    "a customer": {"customer_id": "1012", "k": 5},
    "an anonymous session": {"recent_products": ["1029743", "995785"], "k": 5},
    "a basket and filters": {
        "customer_id": "1012",
        "basket": ["1029743"],
        "k": 10,
        "filters": {"exclude": ["995785"], "departments": ["GROCERY"]},
    },
}
RESPONSE: dict[str, Any] = {
    "items": [
        {
            "product_id": "1082185",
            "title": "BANANAS 40 LB",
            "category": "TROPICAL FRUIT",
            "score": 2.31,
            "rung": "ensemble",
            "reason": "bought every 12 days, last 14 days ago",
            "evidence": {"kind": "own", "products": ["1082185"]},
            "position": 1,
            "propensity": 1.0,
        }
    ],
    "rung": "ensemble",
    "known_customer": True,
    "unknown_products": [],
    "release": "20180101-0a1b2c3d",
    "request_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c",
}


class Wire(BaseModel):
    """Unknown fields are refused, so that a misspelt filter is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Filters(Wire):
    """What may be answered; all of them hold on every rung."""

    exclude: Names = Field(default=[], description="Products that must not be answered.")
    categories: Names = Field(default=[], description="Only products of these categories.")
    departments: Names = Field(default=[], description="Only products of these departments.")


class RecommendRequest(Wire):
    """Who asks: a customer, a session of recent products, or both. With neither, bestsellers answer."""

    model_config = ConfigDict(json_schema_extra={"example": REQUESTS["a customer"]})

    customer_id: Name | None = Field(None, description="As in the transactions; an unknown one is answered too.")
    recent_products: Names = Field(default=[], description="What the session has looked at; never answered.")
    basket: Names = Field(default=[], description="What is in the basket already; never answered.")
    k: int = Field(10, ge=1, le=100, description="How many products to answer at most.")
    filters: Filters = Filters()

    def ask(self) -> Ask:
        """The request without its wire format."""
        filters = self.filters
        return Ask(
            self.customer_id,
            tuple(self.recent_products),
            tuple(self.basket),
            self.k,
            tuple(filters.exclude),
            tuple(filters.categories),
            tuple(filters.departments),
        )


class Evidence(Wire):
    """What a reason names in the history; without it the item would score less."""

    kind: str = Field(description="own, together, category, history or popular.")
    products: list[str]


class RecommendedItem(Wire):
    """One product; scores compare only within one rung of one answer."""

    product_id: str
    title: str
    category: str | None
    score: float
    rung: str
    reason: str
    evidence: Evidence
    position: int = Field(description="Its place in the list, from 1.")
    propensity: float = Field(description="Chance with which it was put there; 1 where nothing is drawn.")


class Near(Wire):
    """A name like one that is unknown."""

    id: str
    title: str


class Problem(Wire):
    """One thing that is wrong with a request, and what to do about it."""

    field: str
    problem: str
    remedy: str
    nearest: list[Near] | None = Field(None, description="Of an unknown name (404): those most like it.")


class Refusal(Wire):
    """What a request gets that cannot be answered; `error` is the first problem as one line."""

    error: str
    problems: list[Problem]
    request_id: str | None = None


class RecommendResponse(Wire):
    """Best first."""

    model_config = ConfigDict(json_schema_extra={"example": RESPONSE})

    items: list[RecommendedItem]
    rung: str = Field(description="What answered the first item: ensemble, single, neighbours, category or popular.")
    known_customer: bool
    unknown_products: list[str] = Field(description="Products of the request that the release does not know.")
    release: str
    request_id: str


def response(answer: Answer, release: str, request_id: str) -> dict[str, Any]:
    """RecommendResponse as plain values; not validated again, because an answer is made by us."""
    items = [
        {
            "product_id": item.product_id,
            "title": item.title,
            "category": item.category,
            "score": item.score,
            "rung": item.rung,
            "reason": item.reason,
            "evidence": {"kind": item.kind, "products": item.evidence},
            "position": item.position,
            "propensity": item.propensity,
        }
        for item in answer.items
    ]
    return {
        "items": items,
        "rung": answer.rung,
        "known_customer": answer.known_customer,
        "unknown_products": answer.unknown,
        "release": release,
        "request_id": request_id,
    }
