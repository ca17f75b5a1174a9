"""The shop's desk is told: signed so that it can be verified, again until it accepts, and never in the way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.errors import FeedbackError, ParamsError
from components.handovers import courier as courier_module
from components.handovers.courier import FIRST_SECONDS, LONGEST_SECONDS, Courier, backoff
from components.handovers.record import Handover
from components.handovers.store import HandoverStore
from components.handovers.webhook import Undelivered, Webhook, body, sign
from components.outgoing import Unreached

Make = Callable[..., Handover]
Eventually = Callable[..., None]
KEY = b"a secret of the shop"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are shortened, their order is not."""
    monkeypatch.setattr(courier_module, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(courier_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(courier_module, "STORE_SECONDS", 0.05)


@pytest.fixture
def courier(embedded: HandoverStore, elsewhere: Any) -> Iterator[Courier]:
    found = Courier(embedded, Webhook(elsewhere.url, KEY, seconds=0.3))
    yield found
    found.close()


def all_told(store: HandoverStore) -> Callable[[], bool]:
    return lambda: store.undelivered() == 0


def test_the_reference_example_of_standard_webhooks_is_signed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vector by which its libraries are tested; the secret as an operator would set it."""
    monkeypatch.setenv("SHOP_HANDOVER_WEBHOOK", "https://desk.example.com/hook")
    monkeypatch.setenv("SHOP_HANDOVER_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    webhook = Webhook.of_settings()
    assert webhook is not None
    signed = sign(webhook.key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_desk_can_verify_what_it_hears(elsewhere: Any, handover: Make) -> None:
    before = int(time.time())
    Webhook(elsewhere.url + "/hook?shop=1", KEY).send(handover())
    ((path, headers, content),) = elsewhere.heard
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert (path, headers["webhook-signature"]) == ("/hook?shop=1", f"v1,{expected}")
    assert before <= int(headers["webhook-timestamp"]) <= time.time()
    assert headers["webhook-id"] == "h1" and headers["content-type"] == "application/json"
    said = json.loads(content)
    assert said["type"] == "support.handover" and said["timestamp"] == handover().at.isoformat()
    assert said["data"] == {
        "handover_id": "h1", "request_id": "r1", "conversation_id": "c1", "summary": dict(handover().summary),
    }  # fmt: skip


@given(st.binary(min_size=1), st.text(max_size=20), st.binary())
def test_another_body_time_or_key_has_another_signature(key: bytes, name: str, content: bytes) -> None:
    signed = sign(b"k" + key, "id", "1", content)
    assert signed != sign(b"k" + key, "id", "2", content)
    assert signed != sign(b"k" + key, "id", "1", content + b"x")
    assert signed != sign(b"K" + key, "id", "1", content)


def test_any_summary_can_be_sent(handover: Make) -> None:
    assert json.loads(body(handover(summary={"turns": ["😀 \ud800 \0"]})))["data"]["summary"]["turns"] == ["😀 ? \0"]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 410, 429, 500, 503])
def test_only_2xx_is_acceptance(elsewhere: Any, handover: Make, status: int) -> None:
    elsewhere.answers = [status]
    with pytest.raises(Undelivered, match=f"got {status}"):
        Webhook(elsewhere.url, KEY).send(handover())
    assert len(elsewhere.heard) == 1, "a redirect is not followed: what is signed is meant for one address"


@pytest.mark.parametrize("trouble", ["hang", "drip", "drop"])
def test_a_desk_that_gives_no_whole_answer_is_not_waited_for(elsewhere: Any, handover: Make, trouble: str) -> None:
    elsewhere.answers = [trouble]
    with pytest.raises(Unreached, match=r"expected a reply within 0\.2 s"):
        Webhook(elsewhere.url, KEY, seconds=0.2).send(handover())


def test_a_desk_that_accepts_and_goes_on_talking_has_accepted(elsewhere: Any, handover: Make) -> None:
    elsewhere.answers = ["drip body"]
    Webhook(elsewhere.url, KEY, seconds=5).send(handover())


def test_told_again_until_accepted_under_the_same_id(
    courier: Courier, embedded: HandoverStore, elsewhere: Any, handover: Make, eventually: Eventually
) -> None:
    elsewhere.answers = [500, "drop", "hang", 404, 200]
    embedded.add(handover(), is_to_be_told=True)
    courier.start()
    eventually(all_told(embedded))
    assert len(elsewhere.heard) == 5
    assert {headers["webhook-id"] for _, headers, _ in elsewhere.heard} == {"h1"}
    assert len({content for _, _, content in elsewhere.heard}) == 1
    eventually(lambda: courier.status() == {"delivered": 1, "failed_attempts": 4, "trouble": None})
    found = embedded.find("h1")
    assert found is not None and found.delivery is not None
    assert found.delivery.attempts == 5 and found.delivery.delivered_at is not None


def test_one_that_is_always_refused_holds_up_no_other(
    courier: Courier, embedded: HandoverStore, elsewhere: Any, handover: Make
) -> None:
    for name in "ab":
        embedded.add(handover(name), is_to_be_told=True)
    elsewhere.answers = [400, 200, 200]
    assert courier.deliver() == 0.0 and courier.deliver() == 0.0
    assert [headers["webhook-id"] for _, headers, _ in elsewhere.heard] == ["a", "b"]
    assert embedded.undelivered() == 1


def test_a_desk_that_is_away_is_asked_less_and_less_often(
    embedded: HandoverStore, handover: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "FIRST_SECONDS", 1.0)
    monkeypatch.setattr(courier_module, "backoff", lambda attempt, longest=300.0: min(2.0 ** (attempt - 1), longest))
    away = Courier(embedded, Webhook("http://127.0.0.1:9/", KEY, seconds=0.2))
    for name in "abcdefgh":
        embedded.add(handover(name), is_to_be_told=True)
    assert [away.deliver() for _ in range(8)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert embedded.undelivered() == 8, "nothing is lost"


@given(st.integers(1, 10_000))
def test_backoff_grows_to_a_limit_and_scatters(attempt: int) -> None:
    courier_first = 0.01  # as `at_once` has it
    most = min(courier_first * 2.0 ** min(attempt - 1, 30), LONGEST_SECONDS)
    assert most / 2 <= backoff(attempt) <= most
    assert FIRST_SECONDS <= LONGEST_SECONDS


def test_a_store_that_fails_is_tried_again(
    courier: Courier,
    embedded: HandoverStore,
    elsewhere: Any,
    handover: Make,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, failures = embedded.has_due, iter([FeedbackError("disk"), RuntimeError("a defect")])

    def has_due() -> bool:
        for error in failures:
            raise error
        return real()

    monkeypatch.setattr(embedded, "has_due", has_due)
    embedded.add(handover(), is_to_be_told=True)
    courier.start()
    eventually(all_told(embedded))


WORKER = """
import sys, time
from components.handovers.courier import Courier
from components.handovers.store import open_handovers
from components.handovers.webhook import Webhook
Courier(open_handovers(), Webhook(sys.argv[1], b"a secret of the shop")).start()
time.sleep(60)
"""


def test_what_a_killed_worker_had_in_hand_is_told_by_the_next(
    embedded: HandoverStore,
    elsewhere: Any,
    handover: Make,
    tmp_path: Path,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere.answers = ["hang", 200]
    for name in "ab":
        embedded.add(handover(name), is_to_be_told=True)
    env = os.environ | {"SHOP_HOME": str(tmp_path / "shop")}
    worker = subprocess.Popen([sys.executable, "-c", WORKER, elsewhere.url], cwd=ROOT, env=env)
    try:
        eventually(lambda: elsewhere.heard, 60)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(30)
    assert embedded.undelivered() == 2
    the_next = Courier(embedded, Webhook(elsewhere.url, KEY))
    the_next.start()
    eventually(lambda: embedded.undelivered() == 1)  # the other one is its worker's until the lease ends
    ahead = time.time() + 120
    monkeypatch.setattr("components.handovers.store.time.time", lambda: ahead)
    eventually(all_told(embedded))
    the_next.close()
    assert sorted(headers["webhook-id"] for _, headers, _ in elsewhere.heard) == ["a", "a", "b"]


def test_without_an_address_there_is_no_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_HANDOVER_WEBHOOK", raising=False)
    assert Webhook.of_settings() is None


@pytest.mark.parametrize("secret", [None, "", "  ", "whsec_", "whsec_no base64!"])
def test_without_a_secret_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, secret: str | None) -> None:
    monkeypatch.setenv("SHOP_HANDOVER_WEBHOOK", "https://desk.example.com/hook")
    monkeypatch.delenv("SHOP_HANDOVER_SECRET", raising=False)
    if secret is not None:
        monkeypatch.setenv("SHOP_HANDOVER_SECRET", secret)
    with pytest.raises(ParamsError, match="SHOP_HANDOVER_SECRET: expected a secret"):
        Webhook.of_settings()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "desk.example.com",
        "ftp://desk/",
        "http://",
        "http://u:hunter2@desk/",
        "http://a b/",
        "http://[::1",
        "http://h:99999/",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SHOP_HANDOVER_WEBHOOK", url)
    monkeypatch.setenv("SHOP_HANDOVER_SECRET", "s3cret")
    with pytest.raises(ParamsError, match="SHOP_HANDOVER_WEBHOOK: expected http") as refused:
        Webhook.of_settings()
    assert "hunter2" not in str(refused.value)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_HANDOVER_WEBHOOK", "https://desk.example.com/token")
    monkeypatch.setenv("SHOP_HANDOVER_SECRET", "whsec_" + base64.b64encode(b"0123456789").decode())
    found = Webhook.of_settings()
    assert found is not None and found.key == b"0123456789"
    assert "token" not in repr(found) and "0123" not in repr(found)
