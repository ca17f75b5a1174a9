"""Which labels are outvoted: every source has one vote, and it is what it said last."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from components.core.tables import TABLES
from components.quality.labels import labels_of

AT = datetime(2025, 3, 1, tzinfo=UTC)


def outvoted(data: Path, *said: tuple[str, str, str]) -> list[tuple[str, ...]]:
    """(subject, label) that others outweigh, of corrections (subject, label, by) in the order of their receipt."""
    rows = [
        {
            "event_id": f"e{number}", "application": "support", "kind": "correction",
            "payload": json.dumps({"subject": subject, "label": label, "by": by}),
            "at": AT, "received_at": AT + timedelta(minutes=number),
        }
        for number, (subject, label, by) in enumerate(said)
    ]  # fmt: skip
    schema = {name: kind for name, kind in TABLES["feedback"].schema.items() if name in rows[0]}
    folder = data / "collected" / "feedback"
    folder.mkdir(parents=True)
    pl.DataFrame(rows, schema=schema).write_parquet(folder / "part-2025-03-01.parquet")
    lost = labels_of(TABLES["feedback"], data).outvoted
    assert lost is not None
    return [tuple(claim.split("\0")[1:]) for claim in lost]


@pytest.mark.parametrize("again", ["Anna", "anna ", " ANNA"])
def test_one_agent_is_one_voice_however_the_name_is_spelled(tmp_path: Path, again: str) -> None:
    said = (("m", "refund", "anna"), ("m", "refund", again), ("m", "cancel", "ben"))
    assert outvoted(tmp_path, *said) == [("m", "cancel"), ("m", "refund")], "one against one: nobody has a majority"


def test_the_majority_stands_and_others_do_not_matter(tmp_path: Path) -> None:
    said = (("m", "refund", "anna"), ("m", "refund", "carl"), ("m", "cancel", "ben"), ("n", "cancel", "ben"))
    assert outvoted(tmp_path, *said) == [("m", "cancel")]


def test_who_changes_their_mind_counts_as_they_said_last(tmp_path: Path) -> None:
    assert outvoted(tmp_path, ("m", "refund", "anna"), ("m", "cancel", "anna")) == [("m", "refund")]
