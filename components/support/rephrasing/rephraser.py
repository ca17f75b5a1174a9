"""A reply in other words, by an OpenAI-compatible endpoint that the shop names; the shop's own words where that fails.

What leaves is the reply's template alone: neither the customer's message nor any value that fills a slot. What comes
back is used only if it claims the same (`claims.changed`), and within SHOP_REPHRASE_SECONDS.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

from components.core.errors import ParamsError, ShopError
from components.outgoing import Unreached, checked_url, post
from components.settings import settings
from components.support.answer.ask import Reply
from components.support.answer.reply import fill
from components.support.rephrasing.claims import changed

log = logging.getLogger(__name__)

PATH = "/chat/completions"
FIRST_REST, LONGEST_REST = 5.0, 120.0  # seconds in which an endpoint that failed is not asked
THOUGHTS = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)  # of models that put them into the answer
TASK = (
    "You put a shop's reply to a customer into other, friendly words. Answer with the reworded reply alone, in the "
    "same language and at about the same length. Keep everything in braces, such as {order_number}, exactly as it "
    "is, each once. Say exactly the same: add no fact, number, date, amount, name, link, condition or promise, and "
    "leave none out. If the reply asks something, ask the same. Plain text, no emoji."
)


class Refused(ShopError):
    """The endpoint answered, but not with words that can be used."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask; neither address nor key is ever logged."""

    url: str = field(repr=False)
    model: str
    key: str | None = field(default=None, repr=False)
    seconds: float = 2.0

    @classmethod
    def of_settings(cls) -> Self | None:
        """None where SHOP_REPHRASE_URL is not set; raises ParamsError where it, or the model, cannot be used."""
        found = settings()
        if found.rephrase_url is None:
            return None
        url = checked_url("SHOP_REPHRASE_URL", found.rephrase_url.get_secret_value()).rstrip("/")
        if not found.rephrase_model:
            raise ParamsError(
                "SHOP_REPHRASE_MODEL: expected the model that SHOP_REPHRASE_URL is to use, got none; name it, "
                "or unset SHOP_REPHRASE_URL"
            )
        key = found.rephrase_key.get_secret_value() if found.rephrase_key else None
        return cls(url if url.endswith(PATH) else url + PATH, found.rephrase_model, key, found.rephrase_seconds)

    def reworded(self, template: str) -> str:
        """Raises Unreached where nobody answered in time, Refused where the answer holds no words."""
        messages = [{"role": "system", "content": TASK}, {"role": "user", "content": template}]
        headers = {"content-type": "application/json", "user-agent": "shop-loop"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        content = json.dumps({"model": self.model, "messages": messages}).encode()
        reply = post(self.url, content, headers, self.seconds)
        if reply.status != 200:
            raise Unreached(f"expected status 200, got {reply.status}")
        return _words(reply.content)


class Rephraser:
    """Safe for several threads. `reworded` never raises, and asks nobody while the endpoint rests."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.seconds = endpoint.seconds
        self.rephrased = 0
        self.trouble: str | None = None
        self.kept: Counter[str] = Counter()
        self._endpoint, self._lock = endpoint, threading.Lock()
        self._rest_until, self._failures = 0.0, 0

    def reworded(self, reply: Reply) -> Reply | None:
        """The same in other words; None where the shop's own words stay."""
        try:
            return self._reworded(reply)
        except Exception:  # whatever it is, the customer has an answer
            log.exception("a defect in rephrasing; the shop's own words are used")
            self._kept("defect")
            return None

    def _reworded(self, reply: Reply) -> Reply | None:
        template = self._asked(reply.template) if time.monotonic() >= self._rest_until else self._kept("endpoint rests")
        if template is None:
            return None
        if why := changed(reply.template, template):
            log.info("words were refused, for they change what is claimed: %s", why)
            self._kept(why.partition(":")[0])
            return None
        with self._lock:
            self.rephrased += 1
        return Reply(fill(template, reply.slots), template, reply.slots)

    def _asked(self, template: str) -> str | None:
        try:
            found = self._endpoint.reworded(template)
        except Unreached as error:
            return self._failed(error)
        except Refused:
            return self._kept("no words")
        self._failures, self.trouble = 0, None
        return found

    def late(self) -> None:
        """Count a reply that was not waited for."""
        self._kept("late")

    def status(self) -> dict[str, Any]:
        """Of this process: replies reworded, and why others were not."""
        return {"rephrased": self.rephrased, "kept": dict(self.kept), "trouble": self.trouble}

    def _kept(self, why: str) -> str | None:
        """Count a reply that stays as it is: None."""
        with self._lock:
            self.kept[why] += 1
        return None

    def _failed(self, error: Unreached) -> str | None:
        with self._lock:
            self._failures += 1
            rest = min(FIRST_REST * 2.0 ** min(self._failures - 1, 30), LONGEST_REST)
            self._rest_until = time.monotonic() + rest
        if self.trouble is None:
            log.warning("replies are not rephrased for %.0f s: %s", rest, error)
        self.trouble = str(error)
        return self._kept("endpoint failed")


def _words(content: bytes) -> str:
    try:
        text = json.loads(content)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise Refused("expected choices[0].message.content, got another answer") from None
    if not isinstance(text, str) or not (found := " ".join(THOUGHTS.sub("", text).split())):
        raise Refused("expected a text, got none")
    return found
