"""POST /recommend: from a body to an answer or a refusal; knows nothing of how the service runs."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, cast

import bentoml
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import JSONResponse

from components.core.errors import DataError
from components.recommendation.answer import Answerer
from serving.guard import refusal
from serving.live import Live
from serving.schemas import Filters, RecommendRequest, response

SHOWN = 60  # characters of a wrong value that a refusal repeats


class RecommendBody(bentoml.IODescriptor, RecommendRequest):
    """The body as BentoML reads it: what is wrong comes back as a value, to be answered with 422."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:
        """A RecommendBody, or the problems with it."""
        try:
            return cls.model_validate_json(await request.body() or b"{}")
        except ValidationError as error:
            return [_problem(detail) for detail in error.errors(include_url=False)]


async def recommend(live: Live[Answerer], body: RecommendBody | list[dict[str, str]]) -> JSONResponse:
    """200 with an answer wholly of one release, 422 where the request is wrong, 503 before the first release."""
    request_id = uuid.uuid4().hex
    if not isinstance(body, RecommendBody):
        return _refused(422, request_id, body)
    loaded = live.loaded
    if loaded is None:
        return _refused(503, request_id, [unready(live)])
    ask = body.ask()
    try:
        # what must be computed would hold up everybody else; what is prepared takes no longer than the hand-over
        quick = loaded.model.is_prepared(ask)
        answer = loaded.model.answer(ask) if quick else await asyncio.to_thread(loaded.model.answer, ask)
    except DataError as error:
        field, problem, remedy = _parts(str(error))
        return _refused(422, request_id, [{"field": field, "problem": problem, "remedy": remedy}])
    return JSONResponse(response(answer, loaded.version, request_id))


def unready(live: Live[Answerer]) -> dict[str, str]:
    """Why nothing answers, and what to do."""
    problem = live.trouble or f"no release of {live.application} is live"
    return {"field": "release", "problem": problem, "remedy": "run `make loop`; this service picks it up by itself"}


def _refused(status: int, request_id: str, problems: list[dict[str, str]]) -> JSONResponse:
    first = refusal(**problems[0])
    return JSONResponse(first | {"problems": problems, "request_id": request_id}, status_code=status)


def _problem(detail: ErrorDetails) -> dict[str, str]:
    field = ".".join(str(part) for part in detail["loc"]) or "body"
    if detail["type"] == "json_invalid":
        return {"field": "body", "problem": detail["msg"], "remedy": "send one JSON object"}
    if detail["type"] == "extra_forbidden":
        known = ", ".join(Filters.model_fields if len(detail["loc"]) > 1 else RecommendRequest.model_fields)
        return {"field": field, "problem": "no such field", "remedy": f"leave it out; known are {known}"}
    given = repr(cast(object, detail["input"]))[:SHOWN]
    return {
        "field": field,
        "problem": f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {given}",
        "remedy": "correct it; GET /docs.json describes every field with examples",
    }


def _parts(message: str) -> tuple[str, str, str]:
    """Field, problem and remedy of an error worded "field: problem; remedy"."""
    field, _, rest = message.partition(": ")
    problem, _, remedy = rest.partition("; ")
    return field, problem, remedy
