"""POST /recommend."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from components.recommendation.answer.answerer import Answerer
from serving.exchange import Body, answered, misread
from serving.live import Live, Loaded
from serving.refusals import ProblemDict
from serving.schemas import RecommendRequest, response


class RecommendBody(Body, RecommendRequest):
    """The body of a recommendation."""


async def recommend(live: Live[Answerer], body: RecommendBody | list[ProblemDict]) -> JSONResponse:
    """200 with products, or a refusal as `answered` says; what is prepared takes no longer than a hand-over."""
    if not isinstance(body, RecommendBody):
        return misread(body)
    ask = body.ask()

    def reply(loaded: Loaded[Answerer], request_id: str) -> dict[str, Any]:
        return response(loaded.model.answer(ask), loaded.version, request_id)

    return await answered(live, reply, lambda answerer: answerer.is_prepared(ask))
