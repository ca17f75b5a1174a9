"""What was bought a moment ago is in the next answer, whoever took the purchase in; memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from components.core.errors import FeedbackError
from components.feedback.events import Event
from components.feedback.store import Store, open_store
from serving import since
from serving.since import Bought, Tail

Start = Callable[[], TestClient]
Eventually = Callable[[Callable[[], object]], None]

AT = datetime(2026, 7, 2, tzinfo=UTC)


def purchase(order: str, customer: str | None, *products: str, at: datetime | None = None, **line: Any) -> Event:
    items = [{"product_id": product, "quantity": 1.0, "amount": None, **line} for product in products]
    payload = {"items": items, "store_id": None}
    when = at or datetime.now(UTC)
    return Event(f"e-{order}", "recommendation", "purchase", when, payload, order_id=order, customer_id=customer)


def wire(event: Event) -> dict[str, Any]:
    names = ("event_id", "application", "kind", "order_id", "customer_id")
    return {name: getattr(event, name) for name in names} | {"items": event.payload["items"]}


def reasons(client: TestClient, customer: str) -> dict[str, str]:
    items = client.post("/recommend", json={"customer_id": customer, "k": 20}).json()["items"]
    return {item["product_id"]: item["reason"] for item in items}


def unbought(client: TestClient, customer: str) -> list[str]:
    """What is answered and was never bought, the best first."""
    found = reasons(client, customer)
    assert not any("today" in reason for reason in found.values())
    return [product for product, reason in found.items() if not reason.startswith("bought")]


def test_the_next_answer_knows_what_this_service_took_in(client: TestClient) -> None:
    bought, others = unbought(client, "c0")[0], reasons(client, "c1")
    reply = client.post("/feedback", json={"events": [wire(purchase("o1", "c0", bought))]})
    assert reply.status_code == 200, reply.text
    assert reasons(client, "c0")[bought] == "bought today"
    assert reasons(client, "c1") == others
    assert client.get("/status").json()["lines_bought_lately"] == 1


def test_the_next_answer_knows_what_another_process_took_in(client: TestClient, eventually: Eventually) -> None:
    first, second, *_ = unbought(client, "c0")
    store = open_store()
    store.append([purchase("o1", "c0", first)])
    eventually(lambda: reasons(client, "c0").get(first) == "bought today")
    store.append([purchase("o2", "c0", second)])
    eventually(lambda: reasons(client, "c0").get(second) == "bought today")
    store.close()


def test_a_new_customer_is_no_stranger_after_a_purchase(client: TestClient) -> None:
    ask = {"customer_id": "somebody new", "k": 5}
    assert client.post("/recommend", json=ask).json()["rung"] == "popular"
    client.post("/feedback", json={"events": [wire(purchase("o1", "somebody new", "p3", "p33"))]})
    answer = client.post("/recommend", json=ask).json()
    assert answer["rung"] == "ensemble"
    assert {product for item in answer["items"] for product in item["evidence"]["products"]} & {"p3", "p33"}


def test_a_service_that_starts_reads_what_was_bought_before(
    released: str, start: Start, eventually: Eventually
) -> None:
    store = open_store()
    old = datetime.now(UTC) - timedelta(days=400)
    store.append([purchase("o1", "c0", "p7"), purchase("o2", None, "p8"), purchase("o3", "c1", "p9", at=old)])
    store.close()
    client = start()
    eventually(lambda: client.get("/status").json()["lines_bought_lately"] == 1)
    named = client.post("/recommend", json={"customer_id": "c0", "k": 100}).json()["items"]
    assert {item["product_id"]: item["reason"] for item in named}["p7"] == "bought today"


def test_a_repeated_batch_leaves_it_to_the_store(client: TestClient, eventually: Eventually) -> None:
    """What a sender changes under an old event_id was not kept, and so must not be answered from."""
    first, second, third, *_ = unbought(client, "c0")
    client.post("/feedback", json={"events": [wire(purchase("o1", "c0", first))]})
    changed = [wire(purchase("o1", "c0", second)), wire(purchase("o2", "c0", third))]
    assert client.post("/feedback", json={"events": changed}).json()["repeated"] == 1
    eventually(lambda: client.get("/status").json()["lines_bought_lately"] == 2)
    today = {product for product, reason in reasons(client, "c0").items() if "today" in reason}
    assert today == {first, third}


def test_what_came_back_was_not_bought() -> None:
    bought = Bought()
    bought.add([purchase("o1", "c0", "p1", quantity=-1.0), purchase("o2", "c0", "p2", quantity=None)])
    assert [line.product_id for line in bought.of("c0")] == ["p2"]


def test_an_order_that_two_events_tell_counts_once() -> None:
    bought, first = Bought(), purchase("o1", "c0", "p1", "p2", at=AT)
    again = purchase("o1", "c0", "p1", "p3", at=AT + timedelta(hours=1))
    bought.add([first, replace(again, event_id="told by the till"), first])
    assert [(line.product_id, line.at) for line in bought.of("c0")] == [("p1", AT), ("p2", AT)]
    assert len(bought) == 2


PURCHASES = st.lists(
    st.builds(
        lambda order, customer, products, hours: purchase(
            f"o{order}", f"c{customer}", *products, at=AT + timedelta(hours=hours)
        ),
        st.integers(0, 30),
        st.integers(0, 5),
        st.lists(st.sampled_from(["p1", "p2", "p3", "p4"]), min_size=1, max_size=4),
        st.integers(0, 100),
    ),
    max_size=60,
    unique_by=lambda event: event.event_id,
)


@given(events=PURCHASES, data=st.data())
def test_order_and_repetition_do_not_matter(events: list[Event], data: st.DataObject) -> None:
    first, second = Bought(), Bought()
    first.add(events)
    second.add(data.draw(st.permutations([*events, *events[:5]])))
    for number in range(6):
        lines = first.of(f"c{number}")
        assert lines == second.of(f"c{number}")
        assert [line.at for line in lines] == sorted(line.at for line in lines)
        assert {line.product_id for line in lines} == {
            item["product_id"]
            for event in events
            if event.customer_id == f"c{number}"
            for item in event.payload["items"]
        }
    assert len(first) == len(second) == sum(len(first.of(f"c{number}")) for number in range(6))


@given(events=PURCHASES)
def test_memory_is_bounded_and_forgets_the_oldest(events: list[Event]) -> None:
    bought, everything = Bought(most_lines=12, most_of_one=4), Bought()
    bought.add(events)
    everything.add(events)
    assert len(bought) == sum(len(bought.of(f"c{number}")) for number in range(6)) <= 12
    for number in range(6):
        lines = bought.of(f"c{number}")
        assert len(lines) <= 4 and set(lines) <= set(everything.of(f"c{number}"))
    if events:
        assert bought.of(events[-1].customer_id)
    assert bought.of(None) == ()


def test_a_store_that_cannot_be_read_is_tried_again(
    home: Any, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(since, "FAILED_SECONDS", 0.05)
    monkeypatch.setattr(since, "POLL_SECONDS", 0.05)
    failed: list[int] = []

    def fail(_: Store) -> int:
        failed.append(1)
        raise FeedbackError("events.sqlite: expected to read, got: locked; end the other process")

    bought = Bought()
    tail = Tail(bought)
    with monkeypatch.context() as away:
        away.setattr(Store, "through", fail)
        tail.start()
        eventually(lambda: len(failed) >= 2)
    store = open_store()
    store.append([purchase("o1", "c0", "p1")])
    eventually(lambda: len(bought) == 1)
    tail.close()
    store.close()
