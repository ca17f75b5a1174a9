"""POST /recommend."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from starlette.responses import JSONResponse

from components.recommendation.answer.answerer import Answerer
from components.recommendation.answer.ask import Answer, Ask
from serving.desk import Asked, Desk, Endpoint
from serving.exchange import Body, misread
from serving.impressions import Seen, Shown
from serving.refusals import ProblemDict
from serving.schemas import RecommendRequest, response
from serving.since import Bought

SEED_DIGITS = 8  # of the request's id: what is explored is drawn anew for each request, and can be drawn again


class RecommendBody(Body, RecommendRequest):
    """The body of a recommendation."""


async def recommend(desk: Desk[Answerer], bought: Bought, body: RecommendBody | list[ProblemDict]) -> JSONResponse:
    """200 with products, or a refusal; what is prepared takes no longer than a hand-over."""
    if not isinstance(body, RecommendBody):
        return misread(body)
    asked = Asked(body.ask(), unit=body.customer_id, customer_id=body.customer_id)
    seed = int(asked.request_id[:SEED_DIGITS], 16)
    ask = replace(asked.ask, since=bought.of(body.customer_id), at=asked.at, seed=seed)
    return await desk.answer(RECOMMEND, replace(asked, ask=ask))


def seen(_: Ask, answer: Answer) -> Seen:
    """What the log keeps of an answer: the products, on which rung they were found, for whom."""
    shown = [Shown(item.product_id, item.position, item.propensity) for item in answer.items]
    categories = Counter(item.category for item in answer.items if item.category)
    facets = {
        "rung": answer.rung,
        "known_customer": "yes" if answer.known_customer else "no",
        "top_category": categories.most_common(1)[0][0] if categories else "none",
    }
    return Seen(shown, facets)


RECOMMEND: Endpoint[Answerer, Ask, Answer] = Endpoint(
    is_quick=lambda answerer, ask: answerer.is_prepared(ask),
    answer=lambda answerer, ask: answerer.answer(ask),
    content=response,
    seen=seen,
)
