"""At the door: who may ask, and how much they may send. Pure ASGI, in front of everything else.

The page and the health checks are open (they hold no data of the shop); the rest needs the key
when SHOP_API_KEY is set. A body is counted as it is received, because a chunked one announces no length.
"""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from components.settings import settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN = frozenset({"/", "/livez", "/readyz", "/healthz", "/docs.json", "/schema.json"})
MAX_BODY = 64 * 1024  # bytes; the longest request the schema allows, with ids of usual length
MAX_BODIES = {  # paths that take more: 1,000 events, a long conversation, one long message
    "/feedback": 1024 * 1024,
    "/support/reply": 1024 * 1024,
    "/support/correction": 256 * 1024,
}


class Guard:
    """ASGI middleware: 401 without the key, 413 beyond what the path takes."""

    def __init__(self, app: App) -> None:
        self.app = app
        key = settings().api_key
        self._key = key.get_secret_value().encode() if key is not None else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        if not self._admits(scope["path"], headers):
            remedy = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            return await _refuse(send, 401, "Authorization", "expected the API key of this shop", remedy)
        if scope["method"] != "POST":
            return await self.app(scope, receive, send)
        most = MAX_BODIES.get(scope["path"], MAX_BODY)
        body = await _read(headers, receive, most)
        if body is None:
            remedy = "send less at once"
            return await _refuse(send, 413, "body", f"expected at most {most} bytes", remedy)
        return await self.app(scope, _replay(body, receive), send)

    def _admits(self, path: str, headers: dict[bytes, bytes]) -> bool:
        if self._key is None or path in OPEN:
            return True
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return hmac.compare_digest(given, self._key)


async def _read(headers: dict[bytes, bytes], receive: Receive, most: int) -> bytes | None:
    """The whole body; None where it is too long, of which no more than the limit is kept."""
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit() or int(announced) > most:
        return None
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > most:
            return None
        if not message.get("more_body"):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, field: str, problem: str, remedy: str) -> None:
    content = json.dumps(refusal(field, problem, remedy) | {"request_id": uuid.uuid4().hex}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(b"connection", b"close")] if status == 413 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def refusal(field: str, problem: str, remedy: str) -> dict[str, Any]:
    """The one shape of every error: what is wrong where, and what to do."""
    return {
        "error": f"{field}: {problem}; {remedy}",
        "problems": [{"field": field, "problem": problem, "remedy": remedy}],
    }
