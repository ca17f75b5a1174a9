"""What agents do: POST /support/correction, GET /support/handovers, POST /support/handovers/take."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import datetime

from pydantic import Field, ValidationError
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse

from components.clock import now
from components.core.errors import DataError, FeedbackError
from components.feedback.events import Event
from serving.exchange import Body, misread
from serving.handovers import Handovers
from serving.journal import Journal
from serving.refusals import ProblemDict, invalid, refused, unkept, wrong
from serving.schemas import Wire
from serving.support_requests import CorrectionRequest, TakeRequest
from serving.support_responses import handover_response, listing

log = logging.getLogger(__name__)

QUICK = 4096  # characters that are masked while nobody waits for long


class CorrectionBody(Body, CorrectionRequest):
    """The body of a correction."""


class TakeBody(Body, TakeRequest):
    """The body of a taking."""


class Page(Wire):
    """The query of a list."""

    state: str = Field("open", pattern="^(open|taken|all)$")
    after: int = Field(0, ge=0, le=2**62)
    most: int = Field(50, ge=1, le=500)


async def correction(journal: Journal, body: CorrectionBody | list[ProblemDict]) -> JSONResponse:
    """200 once it is on disk, or a refusal: 422 names the field, 503 says that it is not kept."""
    if not isinstance(body, CorrectionBody):
        return misread(body)
    request_id, long = uuid.uuid4().hex, len(body.message) > QUICK
    masked = await asyncio.to_thread(_masked, body.message) if long else _masked(body.message)
    try:
        new = await journal.keep([_event(body, masked, now())])
    except FeedbackError as error:
        log.error("request %s: a correction was not kept: %s", request_id, error)
        return refused(503, request_id, [unkept("store")])
    except DataError as error:
        return refused(422, request_id, [wrong(error)])
    return JSONResponse({"accepted": new, "repeated": 1 - new, "kept": masked, "request_id": request_id})


async def handovers(kept: Handovers, query: QueryParams) -> JSONResponse:
    """200 with those that wait for a person, the oldest first; 422 names a parameter that is wrong."""
    request_id = uuid.uuid4().hex
    try:
        page = Page.model_validate(dict(query))
    except ValidationError as error:
        return refused(422, request_id, [invalid(each, Page) for each in error.errors(include_url=False)])
    state = {"open": "open", "taken": "taken"}.get(page.state)
    try:
        found = await kept.listed(state, page.after, page.most)  # type: ignore[arg-type]
    except FeedbackError as error:
        return _unread(request_id, error)
    return JSONResponse(listing(found, page.after) | {"request_id": request_id})


async def take(kept: Handovers, body: TakeBody | list[ProblemDict]) -> JSONResponse:
    """200 with the handover, 404 where there is none, 409 where somebody else has taken it."""
    if not isinstance(body, TakeBody):
        return misread(body)
    request_id = uuid.uuid4().hex
    try:
        found = await kept.take(body.handover_id, body.by)
    except FeedbackError as error:
        return _unread(request_id, error)
    if found is None:
        return refused(404, request_id, [_UNKNOWN])
    if found.taken_by != body.by:
        return refused(409, request_id, [_taken(str(found.taken_by))])
    return JSONResponse(handover_response(found))


def _masked(message: str) -> str:
    from components.support.understanding.masking import mask  # most services take in no messages

    return mask(message).text


def _event(body: CorrectionBody, masked: str, received: datetime) -> Event:
    said = {"subject": masked, "label": body.intent, "by": body.by}
    return Event(body.correction_id, "support", "correction", received, said, body.request_id)


def _unread(request_id: str, error: FeedbackError) -> JSONResponse:
    log.error("request %s: handovers: %s", request_id, error)
    return refused(503, request_id, [unkept("store")])


_UNKNOWN: ProblemDict = {
    "field": "handover_id",
    "problem": "expected a handover of this shop, there is none of that id",
    "remedy": "GET /support/handovers lists them",
}


def _taken(by: str) -> ProblemDict:
    return {"field": "handover_id", "problem": f"{by[:60]} has taken it", "remedy": "take another one"}
