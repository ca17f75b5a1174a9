"""Telling the shop's own desk of a handover, signed as the Standard Webhooks specification 1.0.0 has it.

    webhook-id          the handover's id, the same in every attempt: what was heard already can be passed over
    webhook-timestamp   seconds since 1970 of this attempt; refuse one that is minutes old, and nobody can replay it
    webhook-signature   v1,base64(HMAC-SHA256(secret, "{id}.{timestamp}.{body}"))

So the libraries of https://www.standardwebhooks.com verify it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any, Self

from components.core.errors import ParamsError, ShopError
from components.handovers.record import Handover
from components.outgoing import checked_url, post
from components.settings import settings

SECONDS = 10.0  # for one attempt
PREFIX = "whsec_"  # of a secret that is base64


class Undelivered(ShopError):
    """The desk was reached and did not accept it."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to, and the key of the signature; neither is ever logged."""

    url: str = field(repr=False)
    key: bytes = field(repr=False)
    seconds: float = SECONDS

    @classmethod
    def of_settings(cls) -> Self | None:
        """None where SHOP_HANDOVER_WEBHOOK is not set; raises ParamsError where it, or its secret, cannot be used."""
        found = settings()
        if found.handover_webhook is None:
            return None
        url = checked_url("SHOP_HANDOVER_WEBHOOK", found.handover_webhook.get_secret_value())
        secret = found.handover_secret.get_secret_value().strip() if found.handover_secret else ""
        return cls(url, _key(secret))

    def send(self, handover: Handover) -> None:
        """Raises Unreached where nobody replied, Undelivered where the reply was not 2xx."""
        content = body(handover)
        timestamp = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "user-agent": "shop-loop",
            "webhook-id": handover.handover_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(self.key, handover.handover_id, timestamp, content),
        }
        reply = post(self.url, content, headers, self.seconds, most=0)  # the status says it all
        if not 200 <= reply.status < 300:
            raise Undelivered(f"expected a status of 200 to 299, got {reply.status}")


def sign(key: bytes, message_id: str, timestamp: str, content: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + content
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def body(handover: Handover) -> bytes:
    """What is sent: the same bytes in every attempt."""
    content: dict[str, Any] = {
        "type": "support.handover",
        "timestamp": handover.at.isoformat(),
        "data": {
            "handover_id": handover.handover_id,
            "request_id": handover.request_id,
            "conversation_id": handover.conversation_id,
            "summary": dict(handover.summary),
        },
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else None
    except binascii.Error:
        key = b""
    if found := secret.encode() if key is None else key:
        return found
    raise ParamsError(
        "SHOP_HANDOVER_SECRET: expected a secret to sign what SHOP_HANDOVER_WEBHOOK is told, as in whsec_ followed by "
        "base64, got none; set it, for instance to `echo whsec_$(openssl rand -base64 32)`"
    )
