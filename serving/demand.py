"""POST /demand/forecast and /demand/order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.responses import JSONResponse

from components.demand.answer.forecasts import Forecasts
from serving.demand_requests import ForecastRequest, OrderRequest
from serving.demand_responses import forecast_response, order_response
from serving.exchange import Body, answered, misread
from serving.live import Live, Loaded
from serving.refusals import ProblemDict

# of its own, so that what waits for a forecaster leaves /recommend the threads that it has
THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="demand")


class ForecastBody(Body, ForecastRequest):
    """The body of a forecast."""


class OrderBody(Body, OrderRequest):
    """The body of an order."""


async def forecast(live: Live[Forecasts], body: ForecastBody | list[ProblemDict]) -> JSONResponse:
    """200 with forecasts, or a refusal as `answered` says."""
    if not isinstance(body, ForecastBody):
        return misread(body)
    ask = body.ask()

    def reply(loaded: Loaded[Forecasts], request_id: str) -> dict[str, Any]:
        return forecast_response(loaded.model.answer(ask), loaded.version, request_id)

    return await answered(live, reply, lambda forecasts: forecasts.is_quick(ask), THREADS)


async def order(live: Live[Forecasts], body: OrderBody | list[ProblemDict]) -> JSONResponse:
    """200 with a proposal, or a refusal as `answered` says."""
    if not isinstance(body, OrderBody):
        return misread(body)
    ask = body.ask()

    def reply(loaded: Loaded[Forecasts], request_id: str) -> dict[str, Any]:
        return order_response(*loaded.model.order(ask), loaded.version, request_id)

    return await answered(live, reply, lambda _: False, THREADS)
