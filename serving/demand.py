"""POST /demand/forecast and /demand/order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import floor, log10

from starlette.responses import JSONResponse

from components.demand.answer.ask import Forecast, ForecastAsk, OrderAsk
from components.demand.answer.forecasts import Forecasts
from components.demand.answer.order import Proposal
from serving.demand_requests import ForecastRequest, OrderRequest
from serving.demand_responses import forecast_response, order_response
from serving.desk import Asked, Desk, Endpoint
from serving.exchange import Body, misread
from serving.impressions import Seen, Shown
from serving.refusals import ProblemDict

# of its own, so that what waits for a forecaster leaves /recommend the threads that it has
THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="demand")
MOST_SHOWN = 5000  # periods that the log keeps of one answer, the nearest of every series first
MEDIAN = 0.5

Proposed = tuple[Forecast, Proposal, list[str]]


class ForecastBody(Body, ForecastRequest):
    """The body of a forecast."""


class OrderBody(Body, OrderRequest):
    """The body of an order."""


async def forecast(desk: Desk[Forecasts], body: ForecastBody | list[ProblemDict]) -> JSONResponse:
    """200 with forecasts, or a refusal."""
    if not isinstance(body, ForecastBody):
        return misread(body)
    ask = body.ask()
    named = [*ask.series, *(product.product_id for product in ask.new_products)]
    return await desk.answer(FORECAST, Asked(ask, unit=next(iter(named), None)))


async def order(desk: Desk[Forecasts], body: OrderBody | list[ProblemDict]) -> JSONResponse:
    """200 with a proposal, or a refusal."""
    if not isinstance(body, OrderBody):
        return misread(body)
    return await desk.answer(ORDER, Asked(body.ask(), unit=body.series_id))


def seen(ask: ForecastAsk | OrderAsk, found: Sequence[Forecast]) -> Seen:
    """What the log keeps of forecasts: the median of each period, to be held against what sells.

    A what-if has no value: it does not say what is expected, so nothing that sells makes it right or wrong.
    """
    steps = sorted((step, each) for each, forecast in enumerate(found) for step in range(len(forecast.weeks)))
    shown = [
        Shown(
            f"{found[each].series_id}|{found[each].weeks[step].isoformat()}",
            place,
            value=None if ask.promotions else _median(found[each], step),
        )
        for place, (step, each) in enumerate(steps[:MOST_SHOWN], start=1)
    ]
    return Seen(shown, {"from": found[0].source, "size": _size(_median(found[0], 0))})


def _median(forecast: Forecast, step: int) -> float | None:
    """Units; None where the median was not asked for."""
    if MEDIAN not in forecast.quantiles:
        return None
    return round(float(forecast.values[step, forecast.quantiles.index(MEDIAN)]), 3)


def _size(units: float | None) -> str:
    """The order of magnitude: "below 1", "1 to 10", "10 to 100", ..."""
    if units is None:
        return "unknown"
    if units < 1:
        return "below 1"
    power = 10 ** floor(log10(units))
    return f"{power} to {10 * power}"


FORECAST: Endpoint[Forecasts, ForecastAsk, list[Forecast]] = Endpoint(
    is_quick=lambda forecasts, ask: forecasts.is_quick(ask),
    answer=lambda forecasts, ask: forecasts.answer(ask),
    content=forecast_response,
    seen=seen,
)
ORDER: Endpoint[Forecasts, OrderAsk, Proposed] = Endpoint(
    is_quick=lambda *_: False,
    answer=lambda forecasts, ask: forecasts.order(ask),
    content=lambda proposed, release, request_id: order_response(*proposed, release, request_id),
    seen=lambda ask, proposed: seen(ask, [proposed[0]]),
)
