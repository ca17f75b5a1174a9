"""From a body to what was asked, or to what is wrong with it; the same for every endpoint."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import bentoml
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from serving.refusals import ProblemDict, invalid, refused

LONG = 64 * 1024  # bytes; parsing more takes longer than a hand-over, and answers must get in between
MOST_PROBLEMS = 20  # of one body; a batch of events may have thousands


class Body(bentoml.IODescriptor):
    """A body as BentoML reads it: what is wrong comes back as a value, to be answered with 422."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:
        """The body, or the problems with it."""
        content = await request.body() or b"{}"
        return await asyncio.to_thread(cls._read, content) if len(content) > LONG else cls._read(content)

    @classmethod
    def _read(cls, content: bytes) -> Any:
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            return [invalid(detail, cls) for detail in error.errors(include_url=False)[:MOST_PROBLEMS]]


def misread(problems: list[ProblemDict]) -> JSONResponse:
    """422 with what is wrong with a body."""
    return refused(422, uuid.uuid4().hex, problems)
