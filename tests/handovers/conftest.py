"""Stores of handovers in both databases, and a desk of the shop that accepts, refuses, hangs, drips or is away."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.handovers.record import Handover
from components.handovers.store import HandoverStore, open_handovers

_BESIDE = importlib.util.spec_from_file_location(
    "feedback_fixtures", Path(__file__).parents[1] / "feedback/conftest.py"
)
assert _BESIDE is not None and _BESIDE.loader is not None
_DATABASES = importlib.util.module_from_spec(_BESIDE)
_BESIDE.loader.exec_module(_DATABASES)
postgres_server, postgres_url, engine_name = (
    _DATABASES.postgres_server,
    _DATABASES.postgres_url,
    _DATABASES.engine_name,
)

AT = datetime(2025, 7, 1, 12, 30, 15, 250_001, tzinfo=UTC)
SUMMARY = {"intent": "request_refund", "probability": 0.91, "turns": ["给我退款 <ORDER>", "I want a person"]}


def make_handover(handover_id: str = "h1", **other: Any) -> Handover:
    facts = {"at": AT, "request_id": "r1", "summary": SUMMARY, "conversation_id": "c1", **other}
    return Handover(handover_id, **facts)


@pytest.fixture(scope="session")
def handover() -> Callable[..., Handover]:
    return make_handover


@pytest.fixture
def store(engine_name: str) -> Iterator[HandoverStore]:
    """An empty store, once on each engine."""
    found = open_handovers()
    yield found
    found.close()


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandoverStore]:
    """An empty store in SQLite."""
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.delenv("SHOP_FEEDBACK_URL", raising=False)
    found = open_handovers()
    yield found
    found.close()


class Desk:
    """A server on this machine; `answers` says what each next request gets, the last one for good."""

    def __init__(self) -> None:
        self.answers: list[str | int] = [200]
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.reached = threading.Semaphore(0)
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                desk.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
                answer = desk.answers.pop(0) if len(desk.answers) > 1 else desk.answers[0]
                desk.reached.release()
                with suppress(OSError):
                    self._answer(answer)

            def _answer(self, answer: str | int) -> None:
                if answer == "hang":
                    desk.closing.wait(20)
                elif answer == "drip":
                    while not desk.closing.wait(0.02):
                        self.wfile.write(b"H")
                elif answer == "drip body":
                    self.send_response(200)
                    self.end_headers()
                    while not desk.closing.wait(0.02):
                        self.wfile.write(b"x")
                elif answer == "drop":
                    self.connection.close()
                else:
                    self.send_response(int(answer))
                    if 300 <= int(answer) < 400:
                        self.send_header("location", "/elsewhere")
                    self.send_header("content-length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?shop=1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    found = Desk()
    yield found
    found.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until something holds."""

    def wait(holds: Callable[[], object], seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)

    return wait
