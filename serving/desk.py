"""Where an application's requests are answered: by which release, with what, and what is kept of it.

The customer's answer comes first. Then, unseen, it is logged as an impression, and a challenger in the shadow
is asked the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from starlette.responses import JSONResponse

from components.clock import now
from components.core.errors import DataError, FeedbackError, ShopError, UnknownName
from components.feedback.events import Role
from serving.impressions import Seen, impression
from serving.journal import Journal
from serving.live import Live, Loadable, Loaded
from serving.refusals import ProblemDict, refused, unkept, unready, wrong
from serving.shadows import Shadows

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Loadable)
Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[T, Q, A]):
    """How one endpoint of an application answers.

    is_quick  whether an answer takes no longer than to hand it over to another thread
    content   what goes over the wire: answer, release, request id
    seen      what the log keeps of a question and its answer
    settle    what must be done before an answer is given, such as putting it on disk, and the answer as it is given
              then; raises FeedbackError where that cannot be done. A shadow's answer, which nobody sees, is not settled
    """

    is_quick: Callable[[T, Q], bool]
    answer: Callable[[T, Q], A]
    content: Callable[[A, str, str], dict[str, Any]]
    seen: Callable[[Q, A], Seen]
    settle: Callable[[Asked[Q], A], Awaitable[A]] | None = None


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q]):
    """One request, the same for whoever answers it. `unit` decides on which side of a canary it is."""

    ask: Q
    unit: str | None = None
    customer_id: str | None = None
    request_id: str = field(default_factory=_new_id)
    at: datetime = field(default_factory=now)


class Desk(Generic[T]):
    """Of one application. What is not quick would hold up everybody else, and so is made in one of `threads`."""

    def __init__(self, live: Live[T], journal: Journal, shadows: Shadows, threads: Executor | None = None) -> None:
        self.live, self.stepped_in = live, 0
        self._journal, self._shadows, self._threads = journal, shadows, threads

    async def answer(self, endpoint: Endpoint[T, Q, A], asked: Asked[Q]) -> JSONResponse:
        """200 wholly of one release, or a refusal.

        404 where a name is unknown, 422 where the request asks for what the release cannot, 503 before the first
        release and where a model fails. A challenger refuses nobody: there the champion steps in.
        """
        standing = self.live.standing
        refusal = refused(503, asked.request_id, [unready(self.live)])
        chosen = standing.choose(asked.unit)
        for loaded, role in chosen:
            try:
                reply = await self._reply(endpoint, asked, loaded, chosen[0][1], role)
            except FeedbackError as error:  # what must be on disk first is not: no other release could help
                log.error("request %s of %s: %s", asked.request_id, self.live.application, error)
                return refused(503, asked.request_id, [unkept("store")])
            except Exception as error:  # whatever a model does, who asks is told what can be done
                refusal = self._refusal(error, asked.request_id, loaded, role)
            else:
                self._ask_shadow(endpoint, asked, standing.shadow(asked.unit or asked.request_id))
                return reply
        return refusal

    async def _reply(
        self, endpoint: Endpoint[T, Q, A], asked: Asked[Q], loaded: Loaded[T], arm: Role, role: Role
    ) -> JSONResponse:
        """`arm`: to whom the unit belongs, by which the log keeps it also where another release answers."""
        began, loop = time.perf_counter(), asyncio.get_running_loop()

        def sent(answer: A) -> JSONResponse:
            return JSONResponse(endpoint.content(answer, loaded.version, asked.request_id))

        def made() -> tuple[A, JSONResponse | None]:
            answer = endpoint.answer(loaded.model, asked.ask)
            return answer, sent(answer) if endpoint.settle is None else None

        quick = endpoint.is_quick(loaded.model, asked.ask)
        answer, reply = made() if quick else await loop.run_in_executor(self._threads, made)
        milliseconds = 1000 * (time.perf_counter() - began)
        if endpoint.settle is not None:
            answer = await endpoint.settle(asked, answer)
        log_it = partial(self._log, endpoint, asked, loaded, arm, answer, milliseconds, arm != role)
        if quick or self._threads is None:  # once the loop is free again, which is when the answer is on its way
            loop.call_soon(log_it)
        else:  # thousands of forecasts take as long to log as others take to answer
            loop.run_in_executor(self._threads, log_it)
        return reply or sent(answer)

    def _ask_shadow(self, endpoint: Endpoint[T, Q, A], asked: Asked[Q], loaded: Loaded[T] | None) -> None:
        if loaded is None:
            return

        def answer() -> None:
            began = time.perf_counter()
            found = endpoint.answer(loaded.model, asked.ask)
            self._log(endpoint, asked, loaded, "shadow", found, 1000 * (time.perf_counter() - began))

        self._shadows.ask(answer)

    def _log(
        self,
        endpoint: Endpoint[T, Q, A],
        asked: Asked[Q],
        loaded: Loaded[T],
        role: Role,
        answer: A,
        milliseconds: float,
        stepped_in: bool = False,
    ) -> None:
        about = (self.live.application, asked.request_id, asked.at, asked.unit, asked.customer_id)
        self._journal.log(
            lambda: impression(*about, loaded.version, role, endpoint.seen(asked.ask, answer), milliseconds, stepped_in)
        )

    def _refusal(self, error: Exception, request_id: str, loaded: Loaded[T], role: Role) -> JSONResponse:
        if isinstance(error, UnknownName):
            like = [{"id": key, "title": title} for key, title in error.nearest]
            return refused(404, request_id, [wrong(error) | {"nearest": like}])
        if isinstance(error, DataError):
            return refused(422, request_id, [wrong(error)])
        if role == "challenger":
            self.stepped_in += 1
        log.error("release %s of %s failed on a request", loaded.version, self.live.application, exc_info=error)
        return refused(503, request_id, [self._failed(error)])

    def _failed(self, error: Exception) -> ProblemDict:
        problem = str(error) if isinstance(error, ShopError) else f"the released model failed ({type(error).__name__})"
        command = f"python -m flows.release rollback {self.live.application} VERSION"
        return {"field": "release", "problem": problem, "remedy": f"look into the log, or roll back with `{command}`"}
