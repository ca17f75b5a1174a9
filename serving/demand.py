"""POST /demand/forecast and /demand/order: from a body to an answer or a refusal."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import bentoml
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from components.core.errors import DataError, ShopError
from components.demand.answer.ask import UnknownName
from components.demand.answer.forecasts import Forecasts
from serving.demand_schemas import ForecastRequest, OrderRequest, forecast_response, order_response
from serving.live import Live, Loaded
from serving.refusals import ProblemDict, invalid, refused, unready, wrong

log = logging.getLogger(__name__)

Reply = Callable[[Loaded[Forecasts], str], dict[str, Any]]
B = TypeVar("B", bound=BaseModel)


async def read(body: type[B], request: Request) -> B | list[ProblemDict]:
    """The body, or the problems with it."""
    try:
        return body.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        return [invalid(detail, body) for detail in error.errors(include_url=False)]


class ForecastBody(bentoml.IODescriptor, ForecastRequest):
    """The body as BentoML reads it: what is wrong comes back as a value, to be answered with 422."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:
        """A ForecastBody, or the problems with it."""
        return await read(cls, request)


class OrderBody(bentoml.IODescriptor, OrderRequest):
    """The body as BentoML reads it: what is wrong comes back as a value, to be answered with 422."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:
        """An OrderBody, or the problems with it."""
        return await read(cls, request)


async def forecast(live: Live[Forecasts], body: ForecastBody | list[ProblemDict]) -> JSONResponse:
    """200 with forecasts wholly of one release, 404 where a name is unknown, 422 or 503 as `answered` says."""
    if not isinstance(body, ForecastBody):
        return refused(422, uuid.uuid4().hex, body)
    ask = body.ask()

    def reply(loaded: Loaded[Forecasts], request_id: str) -> dict[str, Any]:
        return forecast_response(loaded.model.answer(ask), loaded.version, request_id)

    return await answered(live, reply, inline=Forecasts.is_ready(ask))


async def order(live: Live[Forecasts], body: OrderBody | list[ProblemDict]) -> JSONResponse:
    """200 with a proposal, 404 where a name is unknown, 422 or 503 as `answered` says."""
    if not isinstance(body, OrderBody):
        return refused(422, uuid.uuid4().hex, body)
    ask = body.ask()

    def reply(loaded: Loaded[Forecasts], request_id: str) -> dict[str, Any]:
        return order_response(*loaded.model.order(ask), loaded.version, request_id)

    return await answered(live, reply, inline=False)


async def answered(live: Live[Forecasts], reply: Reply, inline: bool) -> JSONResponse:
    """What `reply` makes of the live release, or a refusal.

    422 where the request asks for what the release cannot, 503 before the first release and where a model fails.
    """
    request_id, loaded = uuid.uuid4().hex, live.loaded
    if loaded is None:
        return refused(503, request_id, [unready(live)])
    try:
        # what a model must compute would hold up everybody else
        content = reply(loaded, request_id) if inline else await asyncio.to_thread(reply, loaded, request_id)
    except UnknownName as error:
        like = [{"id": key, "title": title} for key, title in error.nearest]
        return refused(404, request_id, [wrong(error) | {"nearest": like}])
    except DataError as error:
        return refused(422, request_id, [wrong(error)])
    except Exception as error:  # whatever a model does, the buyer is told what can be done
        log.exception("release %s of demand failed on a request", loaded.version)
        return refused(503, request_id, [_failed(error)])
    return JSONResponse(content)


def _failed(error: Exception) -> ProblemDict:
    problem = str(error) if isinstance(error, ShopError) else f"the released model failed ({type(error).__name__})"
    remedy = "ask without promotions, or roll back with `python -m flows.release rollback demand VERSION`"
    return {"field": "release", "problem": problem, "remedy": remedy}
