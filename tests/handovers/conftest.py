"""Stores of handovers, in both databases."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
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


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until something holds."""

    def wait(holds: Callable[[], object], seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)

    return wait
