"""Other people's servers beside a reply: one hears of handovers, one finds other words, neither is in the way."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving import support as support_module

Make = Callable[[str], str]
Start = Callable[[], TestClient]
Eventually = Callable[[Callable[[], object]], None]

SECRET = "Reach me at jane.doe@example.com or +49 170 1234567, order A-48213."


def say(support: TestClient, message: str, **other: Any) -> Any:
    return support.post("/support/reply", json={"message": message, **other})


def test_the_webhook_hears_of_a_handover_and_never_holds_up_a_reply(
    support_version: str, start: Start, elsewhere: Any, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setenv("SHOP_HANDOVER_WEBHOOK", elsewhere.url)
    monkeypatch.setenv("SHOP_HANDOVER_SECRET", "s3cret")
    elsewhere.answers = ["hang"]  # it accepts connections and says nothing
    support = start()
    first = say(support, f"a person {SECRET}").json()["handover_id"]
    eventually(lambda: len(elsewhere.heard) == 1)
    second = say(support, "a person").json()["handover_id"]
    assert not elsewhere.closing.is_set() and len(elsewhere.heard) == 1, "answered while the webhook still hangs"
    assert [each["handover_id"] for each in support.get("/support/handovers").json()["handovers"]] == [first, second]
    elsewhere.answers = [200]
    elsewhere.closing.set()
    eventually(
        lambda: all(each["delivery"]["delivered_at"] for each in support.get("/support/handovers").json()["handovers"])
    )
    assert {json.loads(body)["data"]["handover_id"] for _, _, body in elsewhere.heard} == {first, second}
    assert b"jane.doe" not in b"".join(body for _, _, body in elsewhere.heard)
    assert support.get("/status").json()["support"]["handovers"]["webhook"]["delivered"] == 2


def test_what_waited_is_told_after_a_restart_and_once_there_is_a_secret(
    support_version: str, start: Start, elsewhere: Any, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setenv("SHOP_HANDOVER_WEBHOOK", elsewhere.url)
    support = start()
    assert say(support, "a person").json()["handover_id"]
    assert "SHOP_HANDOVER_SECRET" in support.get("/status").json()["support"]["handovers"]["trouble"]
    assert elsewhere.heard == []
    monkeypatch.setenv("SHOP_HANDOVER_SECRET", "s3cret")
    from serving.handovers import Handovers

    later = Handovers()  # as the next process makes it
    eventually(lambda: len(elsewhere.heard) == 1)
    eventually(lambda: later.status()["webhook"]["delivered"] == 1)
    later.close()


def completion(body: bytes) -> bytes:
    words = json.loads(body)["messages"][-1]["content"].replace("is on its way", "has left us")
    return json.dumps({"choices": [{"message": {"content": words}}]}).encode()


def rephrasing(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name, value in (("URL", url), ("MODEL", "small"), ("SECONDS", "0.5")):
        monkeypatch.setenv(f"SHOP_REPHRASE_{name}", value)


def test_a_reply_in_other_words(
    support_version: str, start: Start, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.answers = [completion]
    rephrasing(monkeypatch, elsewhere.url)
    support = start()
    body = say(support, f"Where is it? {SECRET}", facts={"delivery_date": "5 June"}).json()
    assert body["rephrased"] and body["reply"] == "Your order A-48213 has left us and should arrive on 5 June."
    sent = b"".join(body for _, _, body in elsewhere.heard)
    assert not any(part in sent for part in (b"jane", b"1234567", b"48213", b"5 June", b"Where is it"))
    assert not say(support, "").json()["rephrased"], "a question stays, so that it is known again"
    assert not say(support, "a person").json()["rephrased"] and len(elsewhere.heard) == 1


@pytest.mark.parametrize("trouble", ["hang", "lie", "error", "away"])
def test_without_other_words_the_shops_own_are_said(
    support_version: str, start: Start, elsewhere: Any, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    replies: dict[str, Any] = {
        "hang": "hang", "error": 500, "away": 500,
        "lie": completion(b'{"messages": [{"content": "Your order {order_number} arrives within 2 days, free!"}]}'),
    }  # fmt: skip
    elsewhere.answers = [replies[trouble]]
    rephrasing(monkeypatch, "http://127.0.0.1:9" if trouble == "away" else elsewhere.url)
    support = start()
    body = say(support, "Where is it?", facts={"delivery_date": "5 June"}).json()
    assert not body["rephrased"] and body["reply"] == "Your order A-48213 is on its way and should arrive on 5 June."
    assert sum(support.get("/status").json()["support"]["rephrasing"]["kept"].values()) >= 1


def test_a_rephraser_that_does_not_come_back_is_not_waited_for(
    support_version: str, start: Start, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rephrasing(monkeypatch, elsewhere.url)
    support, held = start(), threading.Event()
    monkeypatch.setattr(support_module.Rephraser, "reworded", lambda *_: held.wait(30))
    assert say(support, "Where is it?", facts={"delivery_date": "5 June"}).json()["rephrased"] is False
    held.set()
    assert support.get("/status").json()["support"]["rephrasing"]["kept"] == {"late": 1}


def test_a_wrong_setting_is_told_and_answers_go_on(
    support_version: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_REPHRASE_URL", "nowhere")
    support = start()
    assert say(support, "hi").status_code == 200
    assert "SHOP_REPHRASE_URL" in support.get("/status").json()["support"]["trouble"]
