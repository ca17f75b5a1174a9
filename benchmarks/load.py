"""An open loop: requests leave on schedule whether or not earlier ones were answered.

A closed loop would wait for a slow answer and so leave out the requests that suffer from it. Plain
sockets, because a full HTTP client takes longer than the answers it is to time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

CONNECTIONS = 32


def timed(port: int, bodies: Sequence[dict[str, Any]], per_second: float, path: str = "/recommend") -> np.ndarray:
    """Milliseconds from each request's scheduled moment to its whole answer; raises where one is no 200."""
    return asyncio.run(_timed(port, [_request(path, body) for body in bodies], per_second))


async def _timed(port: int, requests: Sequence[bytes], per_second: float) -> np.ndarray:
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    began = time.perf_counter() + 0.1
    asked = [
        asyncio.create_task(_ask(idle, request, began + number / per_second)) for number, request in enumerate(requests)
    ]
    found = await asyncio.gather(*asked)
    while not idle.empty():
        idle.get_nowait()[1].close()
    return np.array(found) * 1e3


async def _ask(
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]], request: bytes, due: float
) -> float:
    await asyncio.sleep(due - time.perf_counter())
    reader, writer = await idle.get()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(f"expected 200, got {head!r}")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    if b"content-length" in headers:
        await reader.readexactly(int(headers[b"content-length"]))
    else:
        await reader.readuntil(b"\r\n0\r\n\r\n")
    took = time.perf_counter() - due
    idle.put_nowait((reader, writer))
    return took


def _request(path: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    lines = (f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json")
    return "\r\n".join((*lines, f"content-length: {len(content)}", "", "")).encode() + content
