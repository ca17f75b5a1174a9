"""POST /recommend: from a body to an answer or a refusal; knows nothing of how the service runs."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import bentoml
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from components.core.errors import DataError
from components.recommendation.answer.answerer import Answerer
from serving.live import Live
from serving.refusals import ProblemDict, invalid, refused, unready, wrong
from serving.schemas import RecommendRequest, response


class RecommendBody(bentoml.IODescriptor, RecommendRequest):
    """The body as BentoML reads it: what is wrong comes back as a value, to be answered with 422."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:
        """A RecommendBody, or the problems with it."""
        try:
            return cls.model_validate_json(await request.body() or b"{}")
        except ValidationError as error:
            return [invalid(detail, cls) for detail in error.errors(include_url=False)]


async def recommend(live: Live[Answerer], body: RecommendBody | list[ProblemDict]) -> JSONResponse:
    """200 with an answer wholly of one release, 422 where the request is wrong, 503 before the first release."""
    request_id = uuid.uuid4().hex
    if not isinstance(body, RecommendBody):
        return refused(422, request_id, body)
    loaded = live.loaded
    if loaded is None:
        return refused(503, request_id, [unready(live)])
    ask = body.ask()
    try:
        # what must be computed would hold up everybody else; what is prepared takes no longer than the hand-over
        quick = loaded.model.is_prepared(ask)
        answer = loaded.model.answer(ask) if quick else await asyncio.to_thread(loaded.model.answer, ask)
    except DataError as error:
        return refused(422, request_id, [wrong(error)])
    return JSONResponse(response(answer, loaded.version, request_id))
