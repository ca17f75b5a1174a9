"""POST /support/reply: understood, decided and worded by a release; a handover is on disk before the reply says so."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from starlette.responses import JSONResponse

from components.clock import now
from components.core.errors import ParamsError
from components.handovers.record import Handover
from components.support.answer.ask import Answer, Ask
from components.support.rephrasing.rephraser import Endpoint as Wording
from components.support.rephrasing.rephraser import Rephraser
from serving.desk import Asked, Desk, Endpoint
from serving.exchange import Body, misread
from serving.handovers import Handovers
from serving.impressions import Seen, Shown
from serving.refusals import ProblemDict
from serving.support_requests import ReplyRequest
from serving.support_responses import reply_response

if TYPE_CHECKING:
    from components.support.answer.answerer import Answerer

log = logging.getLogger(__name__)

# of its own, so that what waits for a model leaves /recommend the threads that it has
THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="support")
GRACE_SECONDS = 0.1  # by which the endpoint's own limit comes first and says what happened
MOST_SHOWN = 3  # intents that the log keeps of one answer


@dataclass(frozen=True, slots=True)
class Release:
    """What is released, ready to answer; what it needs is imported only where there is one."""

    answerer: Answerer

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a sealed bundle; raises ArtifactError where a byte differs from what was sealed."""
        from components.support.answer.answerer import Answerer

        return cls(Answerer.load(folder))


class ReplyBody(Body, ReplyRequest):
    """The body of a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is asked, and the shop's own ids of it."""

    ask: Ask
    customer_id: str | None
    conversation_id: str | None
    message_id: str | None

    def handover_id(self, request_id: str) -> str:
        """The same for a message that is sent again, where it says which it is."""
        if self.message_id is None:
            return request_id
        # its words too: two customers without ids of their own may both call their first message "1"
        told = json.dumps([self.customer_id, self.conversation_id, self.message_id, self.ask.message])
        return hashlib.sha256(told.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as the customer is given it."""

    answer: Answer
    rephrased: bool = False
    handover_id: str | None = None


class Support:
    """The desk of customer service, with what a reply needs besides a release."""

    def __init__(self, desk: Desk[Release], handovers: Handovers) -> None:
        self.desk, self.handovers = desk, handovers
        self.trouble: str | None = None
        self._rephraser = self._made()
        # as many as may wait for somebody else's server; who finds none free keeps the shop's own words
        self._waiting = ThreadPoolExecutor(max_workers=8, thread_name_prefix="rephrase")
        self._endpoint: Endpoint[Release, Message, Given] = Endpoint(
            is_quick=lambda *_: False,
            answer=lambda release, message: Given(release.answerer.answer(message.ask)),
            content=lambda given, release, request_id: reply_response(
                given.answer, given.rephrased, given.handover_id, release, request_id
            ),
            seen=seen,
            settle=self._settled,
        )

    async def reply(self, body: ReplyBody | list[ProblemDict]) -> JSONResponse:
        """200 with a reply, or a refusal."""
        if not isinstance(body, ReplyBody):
            return misread(body)
        message = Message(body.ask(now().date()), body.customer_id, body.conversation_id, body.message_id)
        unit = body.customer_id or body.conversation_id
        return await self.desk.answer(self._endpoint, Asked(message, unit=unit, customer_id=body.customer_id))

    def status(self) -> dict[str, Any]:
        """Of this process; `rephrasing` is None where it is off."""
        rephrasing = None if self._rephraser is None else self._rephraser.status()
        return {"handovers": self.handovers.status(), "rephrasing": rephrasing, "trouble": self.trouble}

    def close(self) -> None:
        """Wait for nobody else's server any more."""
        self._waiting.shutdown(wait=False, cancel_futures=True)
        self.handovers.close()

    async def _settled(self, asked: Asked[Message], given: Given) -> Given:
        answer = given.answer
        if answer.decision == "hand_over":
            return replace(given, handover_id=await self._handed_over(asked, answer))
        # a question stays as it is: by its words the next request knows what was asked
        return await self._reworded(given) if answer.decision == "answer" and self._rephraser else given

    async def _handed_over(self, asked: Asked[Message], answer: Answer) -> str:
        found = Handover(
            asked.ask.handover_id(asked.request_id),
            asked.at,
            asked.request_id,
            answer.summary or {},
            asked.ask.conversation_id,
        )
        return (await self.handovers.keep(found)).handover_id

    async def _reworded(self, given: Given) -> Given:
        if self._rephraser is None:
            return given
        work = asyncio.get_running_loop().run_in_executor(self._waiting, self._rephraser.reworded, given.answer.reply)
        try:
            reply = await asyncio.wait_for(work, self._rephraser.seconds + GRACE_SECONDS)
        except TimeoutError:  # the address was not found in time, or all threads wait
            self._rephraser.late()
            return given
        return given if reply is None else replace(given, answer=replace(given.answer, reply=reply), rephrased=True)

    def _made(self) -> Rephraser | None:
        """Where it cannot be used, the shop's own words stay."""
        try:
            found = Wording.of_settings()
        except ParamsError as error:
            self.trouble = str(error)
            log.error("replies are not rephrased: %s", error)
            return None
        return Rephraser(found) if found else None


def seen(message: Message, given: Given) -> Seen:
    """What the log keeps of a reply: what was understood and decided, and no text."""
    answer = given.answer
    shown = [
        Shown(each.name, place, value=round(float(each.probability), 4))
        for place, each in enumerate(answer.intents[:MOST_SHOWN], start=1)
    ]
    facets = {
        "decision": answer.decision,
        "language": answer.written,
        "intent": answer.intent or "none",
        "out_of_scope": "yes" if answer.rejection is not None and answer.rejection >= 0.5 else "no",
        "urgency": answer.urgency,
        "in_conversation": "yes" if message.ask.conversation else "no",
    }
    return Seen(shown, facets)
