"""The shop's service: `bentoml serve serving.service:Shop` answers from what is live, and follows the pointer.

Only this machine is listened to unless told otherwise (`bentoml serve --host 0.0.0.0 ...`); then set SHOP_API_KEY.
"""

from __future__ import annotations

import logging
from typing import Any

import bentoml
from starlette.exceptions import HTTPException

from components.demand.answer.forecasts import Forecasts
from components.logs import set_up_logs
from components.recommendation.answer.answerer import Answerer
from components.settings import settings
from serving.demand import THREADS, ForecastBody, OrderBody, forecast, order
from serving.demand_responses import ForecastResponse, OrderResponse
from serving.desk import Desk
from serving.feedback import FeedbackBody, feedback
from serving.feedback_schemas import FeedbackResponse
from serving.guard import Guard
from serving.handovers import Handovers
from serving.journal import Journal
from serving.live import Live
from serving.pages import pages
from serving.recommendation import RecommendBody, recommend
from serving.refusals import unready
from serving.schemas import RecommendResponse
from serving.shadows import Shadows
from serving.since import Bought, Tail
from serving.status import status
from serving.support import THREADS as SUPPORT_THREADS
from serving.support import Release, ReplyBody, Support
from serving.support_desk import CorrectionBody, TakeBody, correction, take
from serving.support_responses import CorrectionResponse, HandoverResponse, ReplyResponse


@bentoml.asgi_app(pages, path="/")
@bentoml.service(
    http={"host": "127.0.0.1", "port": 3000},
    workers=settings().workers,
    traffic={"timeout": 30},
    logging={"access": {"enabled": False}},  # a third of the time of a small answer
)
class Shop:
    """Answers of every released application."""

    def __init__(self) -> None:
        set_up_logs(settings().log_level, settings().log_json)
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # it would come back as a line per request
        self.journal, self.shadows, self.bought = Journal(), Shadows(), Bought()
        self.tail = Tail(self.bought)
        kept = (self.journal, self.shadows)
        self.recommendation: Desk[Answerer] = Desk(Live("recommendation", Answerer), *kept)
        self.demand: Desk[Forecasts] = Desk(Live("demand", Forecasts), *kept, THREADS)
        self.support = Support(Desk(Live("support", Release), *kept, SUPPORT_THREADS), Handovers())
        for live in self._lives():
            live.watch()
        self.tail.start()

    def _lives(self) -> tuple[Live[Any], ...]:
        return self.recommendation.live, self.demand.live, self.support.desk.live

    def status(self) -> dict[str, Any]:
        """What this process answers from, and what became of what it logged."""
        desks: list[Desk[Any]] = [self.recommendation, self.demand, self.support.desk]
        return status(desks, self.journal, self.shadows, self.bought) | {"support": self.support.status()}

    @bentoml.api(route="/recommend", output_spec=RecommendResponse)
    async def recommend(self, body: RecommendBody, /) -> Any:
        """Products for a customer or a session, best first, each with a reason and the rung that found it.

        With neither customer nor session, bestsellers answer. A request that cannot be answered gets a
        `Refusal`: 422 names the field that is wrong and what to do, 401 asks for the API key, 413
        refuses a body that is too long, 503 says that nothing is released yet.
        """
        return await recommend(self.recommendation, self.bought, body)

    @bentoml.api(route="/demand/forecast", output_spec=ForecastResponse)
    async def forecast(self, body: ForecastBody, /) -> Any:
        """What is expected to sell, in quantiles per week; as planned, or as it would be under other promotions.

        A product without a history is forecast from its category, and `from` says so. A request that cannot be
        answered gets a `Refusal`: 404 names what is like an unknown series, 422 the field that is wrong and what
        to do, 503 says that no release of demand is live yet.
        """
        return await forecast(self.demand, body)

    @bentoml.api(route="/demand/order", output_spec=OrderResponse)
    async def order(self, body: OrderBody, /) -> Any:
        """How much to order now, so that stock lasts until the next order arrives, with the reason in words.

        Refusals as for `/demand/forecast`.
        """
        return await order(self.demand, body)

    @bentoml.api(route="/support/reply", output_spec=ReplyResponse)
    async def reply(self, body: ReplyBody, /) -> Any:
        """What to say to a customer's message: an answer, one question, or that a person takes over, and why.

        A handover is on disk before the reply says so. A `Refusal`: 413 a body beyond 1 MiB, 422 names the field,
        503 says that no release of support is live yet, or that a handover could not be kept: send it again.
        """
        return await self.support.reply(body)

    @bentoml.api(route="/support/correction", output_spec=CorrectionResponse)
    async def correction(self, body: CorrectionBody, /) -> Any:
        """What an agent says that a message meant. Answered once it is on disk, without the personal data in it.

        It counts once by its `correction_id`, so what was not answered with 200 can be sent again. Refusals as for
        `/feedback`.
        """
        return await correction(self.journal, body)

    @bentoml.api(route="/support/handovers/take", output_spec=HandoverResponse)
    async def take(self, body: TakeBody, /) -> Any:
        """Take a handover that GET /support/handovers lists. A `Refusal`: 404 unknown, 409 somebody else has it."""
        return await take(self.support.handovers, body)

    @bentoml.api(route="/feedback", output_spec=FeedbackResponse)
    async def feedback(self, body: FeedbackBody, /) -> Any:
        """What customers did: purchases, clicks, sales, corrections. Answered once all of it is on disk.

        An event counts once by its `event_id`, so a batch that was not answered with 200 can be sent again. A
        `Refusal` means that none of the batch is kept: 422 names the event and the field, 413 a body beyond 1 MiB,
        503 says that the store cannot be written now.
        """
        return await feedback(self.journal, self.bought, body)

    async def __is_ready__(self) -> bool:
        released = [live for live in self._lives() if live.is_pointed()]
        missing = [live for live in released or self._lives() if live.loaded is None]
        if missing:
            why = unready(missing[0])
            raise HTTPException(503, f"{why['problem']}; {why['remedy']}\n")
        return True

    @bentoml.on_shutdown
    def close(self) -> None:
        """Stop watching the pointers, and write what is logged."""
        for live in self._lives():
            live.close()
        self.support.close()
        self.tail.close()
        self.shadows.close()
        self.journal.close()


Shop.add_asgi_middleware(Guard)  # type: ignore[attr-defined]  # the decorator made a bentoml.Service of it
