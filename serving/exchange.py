"""From a body to an answer or a refusal, the same for every application; knows nothing of how the service runs."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

import bentoml
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from components.core.errors import DataError, ShopError, UnknownName
from serving.live import Live, Loadable, Loaded
from serving.refusals import ProblemDict, invalid, refused, unready, wrong

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Loadable)
Reply = Callable[[Loaded[T], str], dict[str, Any]]  # the release and the request's id -> content


class Body(bentoml.IODescriptor):
    """A body as BentoML reads it: what is wrong comes back as a value, to be answered with 422."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:
        """The body, or the problems with it."""
        try:
            return cls.model_validate_json(await request.body() or b"{}")
        except ValidationError as error:
            return [invalid(detail, cls) for detail in error.errors(include_url=False)]


async def answered(
    live: Live[T], reply: Reply[T], is_quick: Callable[[T], bool], threads: Executor | None = None
) -> JSONResponse:
    """What `reply` makes of the live release, wholly of that release, or a refusal.

    What is not quick would hold up everybody else, and so is made in one of `threads`. 404 where a name is unknown,
    422 where the request asks for what the release cannot, 503 before the first release and where a model fails.
    """
    request_id, loaded = uuid.uuid4().hex, live.loaded
    if loaded is None:
        return refused(503, request_id, [unready(live)])

    def rendered() -> JSONResponse:
        return JSONResponse(reply(loaded, request_id))

    try:
        if is_quick(loaded.model):
            return rendered()
        return await asyncio.get_running_loop().run_in_executor(threads, rendered)
    except UnknownName as error:
        like = [{"id": key, "title": title} for key, title in error.nearest]
        return refused(404, request_id, [wrong(error) | {"nearest": like}])
    except DataError as error:
        return refused(422, request_id, [wrong(error)])
    except Exception as error:  # whatever a model does, who asks is told what can be done
        log.exception("release %s of %s failed on a request", loaded.version, live.application)
        return refused(503, request_id, [_failed(error, live.application)])


def _failed(error: Exception, application: str) -> ProblemDict:
    problem = str(error) if isinstance(error, ShopError) else f"the released model failed ({type(error).__name__})"
    remedy = f"look into the log, or roll back with `python -m flows.release rollback {application} VERSION`"
    return {"field": "release", "problem": problem, "remedy": remedy}


def misread(problems: list[ProblemDict]) -> JSONResponse:
    """422 with what is wrong with a body."""
    return refused(422, uuid.uuid4().hex, problems)
