"""POST /feedback: acknowledged once it is on disk."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from starlette.responses import JSONResponse

from components.clock import now
from components.core.errors import DataError, FeedbackError
from components.feedback.events import Event
from serving.exchange import Body, misread
from serving.feedback_schemas import FeedbackRequest
from serving.journal import Journal, aside
from serving.refusals import ProblemDict, refused, unkept, wrong
from serving.since import Bought

log = logging.getLogger(__name__)

SKEW = timedelta(minutes=5)  # by which the clock of who sends may be ahead of ours


class FeedbackBody(Body, FeedbackRequest):
    """The body of feedback."""


async def feedback(journal: Journal, bought: Bought, body: FeedbackBody | list[ProblemDict]) -> JSONResponse:
    """200 with how many were new, or a refusal of the whole batch: 422 names the event, 503 says that none is kept."""
    if not isinstance(body, FeedbackBody):
        return misread(body)
    request_id, received = uuid.uuid4().hex, now()
    events = await aside(len(body.events), lambda: [each.event(each.kind, received) for each in body.events])
    if early := _too_early(events, received):
        return refused(422, request_id, early)
    try:
        new = await journal.keep(events)
    except FeedbackError as error:
        log.error("request %s: feedback was not kept: %s", request_id, error)
        return refused(503, request_id, [unkept("feedback")])
    except DataError as error:
        return refused(422, request_id, [wrong(error)])
    if new == len(events):  # else only the store knows which of them it has kept; the tail reads them from there
        bought.add(events)
    return JSONResponse({"accepted": new, "repeated": len(events) - new, "request_id": request_id})


def _too_early(events: Sequence[Event], received: datetime) -> list[ProblemDict]:
    """Events from the future, of which a model would learn what has not happened."""
    return [
        {
            "field": f"events.{number}.at",
            "problem": f"expected a time until now ({received:%Y-%m-%dT%H:%M:%SZ}), got {event.at.isoformat()}",
            "remedy": "set the clock that stamps events, or leave `at` out",
        }
        for number, event in enumerate(events)
        if event.at > received + SKEW
    ]
