"""POST /feedback: taken once and whole, acknowledged on disk, refused with a reason; answers go on whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from components.core.errors import FeedbackError
from components.feedback.events import KINDS
from components.feedback.store import Store, open_store
from serving import journal
from serving.feedback_schemas import EVENTS, FeedbackRequest, FeedbackResponse, applications
from serving.guard import MAX_BODIES, MAX_BODY

Start = Callable[[], TestClient]
Eventually = Callable[[Callable[[], object]], None]

LATE = "2025-07-02T10:00:00+02:00"
BY_KIND: dict[str, dict[str, Any]] = {
    "click": {"product_id": "p1", "position": 3},
    "cart": {"product_id": "p1", "position": None},
    "dismiss": {"product_id": "p1", "position": 1},
    "purchase": {
        "order_id": "o1",
        "items": [{"product_id": "p1", "quantity": 2.0, "amount": 3.5}],
        "store_id": None,
    },
    "sales": {"series_id": "s1", "period": "2025-07-07", "units": 12.5},
    "correction": {"subject": "m1", "label": "refund", "by": "anna"},
    "impression": {
        "shown": [{"key": "p1", "position": 1, "propensity": 0.25, "value": None}],
        "facets": {"page": "home"},
    },
}


def event(event_id: str = "e1", kind: str = "click", /, **other: Any) -> dict[str, Any]:
    facts = {"event_id": event_id, "kind": kind, "application": "recommendation", "at": LATE}
    return {name: value for name, value in (facts | BY_KIND[kind] | other).items() if value is not ...}


def send(client: TestClient, *events: dict[str, Any]) -> Any:
    return client.post("/feedback", json={"events": list(events)})


def kept() -> pl.DataFrame:
    """What is on disk but the service's own impressions."""
    store = open_store()
    frames = list(store.rows())
    store.close()
    return pl.concat(frames).filter(~pl.col("event_id").str.contains(":champion")) if frames else pl.DataFrame()


def refused(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    problem: dict[str, Any] = reply.json()["problems"][0]
    assert problem["field"] in reply.json()["error"] and problem["remedy"]
    return problem


def test_every_kind_is_kept_as_it_was_sent(client: TestClient) -> None:
    sent = [event(kind, kind, customer_id="c1", request_id="r1") for kind in KINDS]
    reply = send(client, *sent)
    assert reply.status_code == 200, reply.text
    answer = FeedbackResponse.model_validate(reply.json())
    assert (answer.accepted, answer.repeated, len(answer.request_id)) == (7, 0, 32)
    rows = {row["kind"]: row for row in kept().iter_rows(named=True)}
    assert set(rows) == set(KINDS)
    for kind, row in rows.items():
        payload = json.loads(row["payload"])
        assert (row["customer_id"], row["request_id"], row["application"]) == ("c1", "r1", "recommendation")
        assert row["at"] == datetime(2025, 7, 2, 8, tzinfo=UTC), "late events are taken, in UTC"
        assert row["order_id"] == ("o1" if kind == "purchase" else None)
        expected = {name: value for name, value in BY_KIND[kind].items() if name != "order_id"}
        if kind == "impression":
            expected |= {"release": None, "role": "shop", "unit": "c1", "ms": None}
        assert payload == expected


def test_the_same_event_counts_once(client: TestClient) -> None:
    assert send(client, event("a"), event("b"), event("a")).json()["accepted"] == 2
    answer = send(client, event("b", product_id="p9"), event("c")).json()
    assert (answer["accepted"], answer["repeated"]) == (1, 1)
    rows = kept()
    assert rows["event_id"].to_list() == ["a", "b", "c"]
    assert json.loads(rows["payload"][1])["product_id"] == "p1", "the first one stands"


def test_without_a_time_an_event_happened_when_it_was_received(client: TestClient) -> None:
    before = datetime.now(UTC)
    assert send(client, event(at=...)).status_code == 200
    assert before <= kept()["at"][0] <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"product": "p1"}, "events.1.product"),
        ({"kind": "sold"}, "events.1.kind"),
        ({"kind": ...}, "events.1.kind"),
        ({"kind": ["click"]}, "events.1.kind"),
        ({"event_id": ...}, "events.1.event_id"),
        ({"event_id": ""}, "events.1.event_id"),
        ({"event_id": "x" * 201}, "events.1.event_id"),
        ({"event_id": "a\0b"}, "events.1.event_id"),
        ({"event_id": "r1:champion"}, "events.1.event_id"),
        ({"event_id": "r1:challenger"}, "events.1.event_id"),
        ({"event_id": "r1:shadow"}, "events.1.event_id"),
        ({"application": "recomendation"}, "events.1.application"),
        ({"at": "2025-07-02T10:00:00"}, "events.1.at"),
        ({"at": "yesterday"}, "events.1.at"),
        ({"at": 1751443200}, "events.1.at"),
        ({"at": "0001-01-01T00:00:00+05:00"}, "events.1.at"),
        ({"position": 0}, "events.1.position"),
        ({"product_id": 7}, "events.1.product_id"),
    ],
)
def test_what_is_wrong_is_named_by_event_and_field(client: TestClient, wrong: dict[str, Any], field: str) -> None:
    problem = refused(send(client, event("good"), event("bad", **wrong)), 422)
    assert problem["field"] == field
    assert kept().is_empty(), "a batch is taken as a whole or not at all"


@pytest.mark.parametrize(
    ("kind", "wrong", "field"),
    [
        ("purchase", {"order_id": ...}, "events.0.order_id"),
        ("purchase", {"items": []}, "events.0.items"),
        ("purchase", {"items": [{"product_id": "p", "qty": 1}]}, "events.0.items.0.qty"),
        ("purchase", {"items": [{"product_id": "p", "quantity": 1e12}]}, "events.0.items.0.quantity"),
        ("sales", {"units": "many"}, "events.0.units"),
        ("sales", {"period": "2025-13-01"}, "events.0.period"),
        ("impression", {"shown": [{"key": "p", "position": 1, "propensity": 0}]}, "events.0.shown.0.propensity"),
        ("impression", {"shown": [{"key": "p", "position": 1}]}, "events.0.shown.0.propensity"),
        ("impression", {"role": "champion"}, "events.0.role"),
        ("correction", {"label": "a\0"}, "events.0.label"),
    ],
)
def test_each_kind_has_its_own_fields(client: TestClient, kind: str, wrong: dict[str, Any], field: str) -> None:
    problem = refused(send(client, event("bad", kind, **wrong)), 422)
    assert problem["field"] == field


def test_an_unknown_field_is_answered_with_those_of_its_kind(client: TestClient) -> None:
    remedy = refused(send(client, event("bad", "sales", product_id="p1")), 422)["remedy"]
    assert "series_id" in remedy and "order_id" not in remedy
    assert "purchase" in refused(send(client, event(kind="sold")), 422)["remedy"]


def test_a_batch_that_is_wrong_throughout_is_not_repeated_throughout(client: TestClient) -> None:
    reply = send(client, *(event(str(number), position=0) for number in range(1000)))
    assert len(reply.json()["problems"]) == 20


@pytest.mark.parametrize("content", [b"{}", b'{"events": []}', b'{"events": {}}', b"[", b'{"events": [NaN]}', b"null"])
def test_what_is_no_batch_is_refused(client: TestClient, content: bytes) -> None:
    refused(client.post("/feedback", content=content), 422)


def test_what_has_not_happened_yet_is_refused(client: TestClient) -> None:
    now = datetime.now(UTC)
    fast, future = now + timedelta(minutes=4), now + timedelta(minutes=6)
    assert send(client, event("fast", at=fast.isoformat())).status_code == 200
    problem = refused(send(client, event("good"), event("early", at=future.isoformat())), 422)
    assert problem["field"] == "events.1.at"
    assert kept()["event_id"].to_list() == ["fast"]


def test_a_thousand_events_are_a_batch_and_more_are_none(client: TestClient) -> None:
    events = [event(f"e{number}", "purchase") for number in range(1001)]
    assert refused(send(client, *events), 422)["field"] == "events"
    assert send(client, *events[:1000]).json()["accepted"] == 1000
    assert kept().height == 1000


def test_a_batch_may_be_longer_than_other_bodies(client: TestClient) -> None:
    most = MAX_BODIES["/feedback"]
    body = json.dumps({"events": [event()]}).encode()
    assert client.post("/feedback", content=body.ljust(most)).status_code == 200
    refused(client.post("/feedback", content=body.ljust(most + 1)), 413)
    refused(client.post("/recommend", content=b"{}".ljust(MAX_BODY + 1)), 413)


def test_the_key_is_asked_for(released: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "open sesame")
    client = start()
    reply = send(client, event())
    assert reply.status_code == 401 and len(reply.json()["request_id"]) == 32
    assert client.get("/status").status_code == 401
    assert kept().is_empty()
    reply = client.post("/feedback", json={"events": [event()]}, headers={"x-api-key": "open sesame"})
    assert reply.json()["accepted"] == 1


def test_feedback_needs_no_release(start: Start) -> None:
    assert send(start(), event()).json()["accepted"] == 1


def test_nothing_is_acknowledged_before_it_is_on_disk_and_nobody_else_waits(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    may, tried, append = Flag(), Flag(), Store.append_rows

    def held(self: Store, groups: Any) -> list[int]:
        tried.set()
        assert may.wait(20)
        return append(self, groups)

    monkeypatch.setattr(Store, "append_rows", held)
    with ThreadPoolExecutor(1) as sender:
        sent = sender.submit(send, client, event())
        assert tried.wait(20)
        assert client.post("/recommend", json={"customer_id": "c0"}).status_code == 200, "the loop is free"
        assert not sent.done() and kept().is_empty()
        may.set()
        assert sent.result(20).json()["accepted"] == 1
    assert kept().height == 1


def test_a_store_that_fails_acknowledges_nothing_until_it_works_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise FeedbackError("events.sqlite: expected to write, got: disk is full; free space")

    with monkeypatch.context() as full:
        full.setattr(Store, "append_rows", fail)
        reply = send(client, event())
        assert "again" in refused(reply, 503)["remedy"]
        assert "sqlite" not in reply.text, "where the store is, is for the log"
        assert "disk is full" in caplog.text
        assert client.post("/recommend", json={}).status_code == 200
    assert send(client, event()).json()["accepted"] == 1


def test_a_store_that_does_not_answer_is_not_waited_for_for_ever(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    may, append = Flag(), Store.append_rows
    monkeypatch.setattr(journal, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(Store, "append_rows", lambda *given: may.wait(20) and append(*given))
    refused(send(client, event()), 503)
    assert "within 0 s" in caplog.text
    may.set()
    assert send(client, event()).status_code in (200, 503)


def test_without_a_store_the_shop_answers_and_says_what_is_lost(
    home: Path, released: str, start: Start, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(journal, "REOPEN_SECONDS", 0.05)
    (home / "feedback").write_text("in the way")
    client = start()
    assert client.post("/recommend", json={"customer_id": "c0"}).status_code == 200
    assert str(home) not in str(refused(send(client, event()), 503))
    eventually(lambda: client.get("/status").json()["impressions"]["dropped"] == 1)
    assert client.get("/status").json()["impressions"]["trouble"]
    (home / "feedback").unlink()
    eventually(lambda: send(client, event()).status_code == 200)
    assert client.get("/status").json()["impressions"]["trouble"] is None


def test_the_description_has_examples_that_work(client: TestClient) -> None:
    post = client.get("/docs.json").json()["paths"]["/feedback"]["post"]
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    assert set(examples) == set(EVENTS)
    for example in examples.values():
        assert client.post("/feedback", json=example["value"]).status_code == 200
    assert {"200", "401", "413", "422", "503"} <= set(post["responses"])
    assert {"recommendation", "demand"} <= set(applications()) and "core" not in applications()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(kind=st.sampled_from(KINDS), changes=st.dictionaries(st.sampled_from(["at", "items", "facets", "x"]), JSON))
def test_whatever_is_sent_is_either_kept_as_json_or_refused(kind: str, changes: dict[str, Any]) -> None:
    """Nothing that the schema lets through can break the store: its row can be made."""
    from pydantic import ValidationError

    from components.feedback.rows import row

    try:
        request = FeedbackRequest.model_validate_json(json.dumps({"events": [event("e1", kind) | changes]}))
    except ValidationError:
        return
    (one,) = request.events
    assert row(one.event(one.kind, datetime.now(UTC)))["event_id"] == "e1"
