"""What agents do: corrections, kept once and masked; handovers, listed and taken by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from components.core.errors import FeedbackError
from components.feedback.store import Store, open_store
from components.support.understanding.masking import mask
from serving.support_requests import CORRECTIONS, LONGEST
from serving.support_responses import CorrectionResponse, HandoverList, HandoverResponse

Make = Callable[[str], str]
Start = Callable[[], TestClient]
Eventually = Callable[[Callable[[], object]], None]

SECRET = "Reach me at jane.doe@example.com or +49 170 1234567, order A-48213."


def refused(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    problem: dict[str, Any] = reply.json()["problems"][0]
    assert problem["field"] in reply.json()["error"] and problem["remedy"] and len(reply.json()["request_id"]) == 32
    return problem


def say(support: TestClient, message: str, **other: Any) -> Any:
    return support.post("/support/reply", json={"message": message, **other})


def corrected(support: TestClient, **other: Any) -> Any:
    return support.post("/support/correction", json=CORRECTIONS["another intent"] | other)


def events(*kinds: str) -> list[dict[str, Any]]:
    store = open_store()
    frames = list(store.rows(kinds=kinds))
    store.close()
    return pl.concat(frames).to_dicts() if frames else []


def on_disk(home: Path) -> bytes:
    """Everything that the shop's folders hold, write-ahead logs included."""
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_handovers_are_listed_and_taken_once(support: TestClient) -> None:
    ids = [say(support, "a person").json()["handover_id"] for _ in range(3)]
    page = support.get("/support/handovers", params={"most": 2}).json()
    HandoverList.model_validate(page)
    assert [each["handover_id"] for each in page["handovers"]] == ids[:2]
    rest = support.get("/support/handovers", params={"after": page["next_after"]}).json()
    assert [each["handover_id"] for each in rest["handovers"]] == ids[2:]
    taken = support.post("/support/handovers/take", json={"handover_id": ids[0], "by": "anna"})
    HandoverResponse.model_validate(taken.json())
    assert taken.status_code == 200 and taken.json()["taken_by"] == "anna"
    assert support.post("/support/handovers/take", json={"handover_id": ids[0], "by": "anna"}).status_code == 200
    assert (
        "anna"
        in refused(support.post("/support/handovers/take", json={"handover_id": ids[0], "by": "bo"}), 409)["problem"]
    )
    refused(support.post("/support/handovers/take", json={"handover_id": "none", "by": "bo"}), 404)
    states = {
        state: support.get("/support/handovers", params={"state": state}).json()["handovers"]
        for state in ("open", "taken", "all")
    }
    assert {state: len(found) for state, found in states.items()} == {"open": 2, "taken": 1, "all": 3}


@pytest.mark.parametrize(
    "query", ["state=done", "after=-1", "after=x", "most=0", "most=501", "limit=5", f"after={10**30}"]
)
def test_a_list_that_cannot_be_asked_for_is_refused(support: TestClient, query: str) -> None:
    assert refused(support.get(f"/support/handovers?{query}"), 422)["field"] == query.split("=")[0]


def test_a_correction_is_on_disk_and_masked(support: TestClient) -> None:
    reply = corrected(support, message=f"Paid twice. {SECRET}", request_id="r1")
    assert reply.status_code == 200, reply.text
    body = reply.json()
    CorrectionResponse.model_validate(body)
    assert (body["accepted"], body["repeated"]) == (1, 0)
    assert body["kept"] == "Paid twice. Reach me at <EMAIL> or <PHONE>, order <ORDER>."
    (row,) = events("correction")
    assert (row["event_id"], row["application"], row["request_id"]) == ("ticket-9-anna", "support", "r1")
    assert json.loads(row["payload"]) == {"subject": body["kept"], "label": "charged_twice", "by": "anna"}


def test_the_same_correction_counts_once(support: TestClient) -> None:
    assert [corrected(support, intent=intent).json()["accepted"] for intent in ("charged_twice", "complaint")] == [1, 0]
    (row,) = events("correction")
    assert json.loads(row["payload"])["label"] == "charged_twice", "the first one stands"


def test_a_correction_among_feedback_is_masked_too(support: TestClient, home: Path) -> None:
    event = {
        "event_id": "e1", "kind": "correction", "application": "support", "subject": SECRET, "label": "complaint",
    }  # fmt: skip
    reply = support.post("/feedback", json={"events": [event]})
    if reply.status_code == 422 and "application" in reply.text:
        pytest.skip("the application is not there yet")
    assert reply.status_code == 200, reply.text
    assert json.loads(events("correction")[0]["payload"])["subject"] == mask(SECRET).text
    assert b"jane.doe" not in on_disk(home)


def test_what_is_not_kept_is_not_acknowledged(support: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def append_rows(*_: Any) -> Any:
        raise FeedbackError("the disk is full")

    monkeypatch.setattr(Store, "append_rows", append_rows)
    assert refused(corrected(support), 503)["field"] == "store"
    monkeypatch.undo()
    assert corrected(support).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"message": "  "}, "message"),
        ({"message": "x" * (LONGEST + 1)}, "message"),
        ({"correction_id": "a:champion"}, "correction_id"),
        ({"correction_id": ""}, "correction_id"),
        ({"by": None}, "by"),
        ({"intent": ""}, "intent"),
        ({"intents": ["a"]}, "intents"),
    ],
)
def test_a_correction_that_cannot_be_read_is_refused(support: TestClient, wrong: dict[str, Any], field: str) -> None:
    assert refused(corrected(support, **wrong), 422)["field"] == field
