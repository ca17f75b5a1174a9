"""From a body to what was asked, or to what is wrong with it; the same for every endpoint."""

from __future__ import annotations

import uuid
from typing import Any

import bentoml
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from serving.refusals import ProblemDict, invalid, refused

MOST_PROBLEMS = 20  # of one body; a batch of events may have thousands


class Body(bentoml.IODescriptor):
    """A body as BentoML reads it: what is wrong comes back as a value, to be answered with 422."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:
        """The body, or the problems with it."""
        try:
            return cls.model_validate_json(await request.body() or b"{}")
        except ValidationError as error:
            return [invalid(detail, cls) for detail in error.errors(include_url=False)[:MOST_PROBLEMS]]


def misread(problems: list[ProblemDict]) -> JSONResponse:
    """422 with what is wrong with a body."""
    return refused(422, uuid.uuid4().hex, problems)
