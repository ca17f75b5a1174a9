"""What past retrains tell of the next one's gain and price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows import worth
from flows.ledger import UNCHANGED
from flows.worth import expectation


def line(**more: Any) -> dict[str, Any]:
    return {
        "refit": True,
        "outcome": "refused",
        "champions": {"demand": "first"},
        "versions": {"demand": "second"},
        "n_before": {"demand": 1000.0},
        "n_rows": {"demand": 1200.0},
        "rows_per_day": {"demand": 10.0},
        "as_of": {"demand": "2025-07-01T00:00:00+00:00"},
        "cost_share": {"demand": 1.0},
        "seconds": 50.0,
        "cpu_seconds": 100.0,
        **more,
    }


@pytest.fixture(autouse=True)
def first_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worth.releases, "live", lambda name: "first")
    monkeypatch.setattr(worth.releases, "release_path", lambda name, version: Path())
    monkeypatch.setattr(worth, "_error", lambda *_: 0.3)


def test_a_challenger_that_was_refused_leaves_the_gain_to_be_had() -> None:
    assert expectation("demand", [line()], [], least=0.0).before == 1000


def test_a_retrain_that_computed_nothing_does_not_make_the_next_one_cheap() -> None:
    idle = line(outcome=UNCHANGED, cpu_seconds=1.0, seconds=1.0)
    found = expectation("demand", [line(), idle, idle, idle], [], least=0.0)
    assert (found.cpu_seconds, found.seconds) == (100, 50)
