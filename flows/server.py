"""A Prefect server for the length of one run, for shops that keep none of their own.

Prefect would start one itself, but a killed run would leave that one behind; this one is on a leash.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.errors import ShopError
from flows.leash import Leashed

STARTUP_SECONDS = 90.0  # the first start writes the database's tables; a busy machine takes its time


@contextmanager
def some_server() -> Iterator[None]:
    """The server that PREFECT_API_URL names, or one of our own until the block ends."""
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    server, url = _start()
    try:
        _await_health(url, server)
        with temporary_settings({PREFECT_API_URL: url}):
            yield
            APILogWorker.drain_all(timeout=5)  # what was said last is still on its way to the server
    finally:
        server.stop()
        server.wait()


def quieten() -> None:
    """Leave the terminal to the board: Prefect's and httpx's own lines go to the server alone."""
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).propagate = False
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _start() -> tuple[Leashed, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--log-level",
        "critical",
        "--timeout-graceful-shutdown",
        "1",
    ]
    # PREFECT__SERVER_EPHEMERAL is what Prefect sets for its own: no schedulers, which one run does not need
    quiet = {"PREFECT_SERVER_UI_ENABLED": "false", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    return Leashed(command, Path.cwd(), {**os.environ, **quiet}), f"http://127.0.0.1:{port}/api"


def _await_health(url: str, server: Leashed) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and server.running():
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310 - our own loopback
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    server.stop()
    said = "".join(server.output).strip().splitlines()
    raise ShopError(
        f"expected Prefect's server at {url} within {STARTUP_SECONDS:.0f} s, but it did not answer"
        f" ({said[-1] if said else 'it said nothing'}); set PREFECT_API_URL to one that runs"
    )
