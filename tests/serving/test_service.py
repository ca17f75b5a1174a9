"""The service in process: what it answers, refuses and admits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from components import releases
from components.core.artifacts import seal
from components.recommendation.answer.answerer import Answerer
from serving.guard import MAX_BODY
from serving.live import Live
from serving.schemas import REQUESTS, RecommendRequest, RecommendResponse

Start = Callable[[], TestClient]
Eventually = Callable[[Callable[[], object]], None]


def refused(reply: Any, status: int) -> dict[str, str]:
    assert reply.status_code == status, reply.text
    body = reply.json()
    problem: dict[str, str] = body["problems"][0]
    assert problem["field"] in body["error"] and problem["remedy"] in body["error"]
    return problem


def test_a_known_customer_gets_reasons_rung_release_and_request_id(client: TestClient, released: str) -> None:
    reply = client.post("/recommend", json={"customer_id": "c0", "k": 5})
    assert reply.status_code == 200
    answer = RecommendResponse.model_validate(reply.json())
    assert len(answer.items) == 5
    assert (answer.release, answer.rung, answer.known_customer) == (released, "ensemble", True)
    assert len(answer.request_id) == 32
    assert any(item.reason.startswith("bought ") for item in answer.items)
    again = client.post("/recommend", json={"customer_id": "c0", "k": 5}).json()
    assert again["items"] == reply.json()["items"]
    assert again["request_id"] != answer.request_id


@pytest.mark.parametrize(
    "body", [{"customer_id": "nobody"}, {"customer_id": "'; drop table"}, {}, {"recent_products": ["no such thing"]}]
)
def test_whoever_asks_gets_an_answer(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/recommend", json=body).json()
    assert (answer["rung"], answer["known_customer"], len(answer["items"])) == ("popular", False, 10)


def test_an_empty_body_is_an_empty_request(client: TestClient) -> None:
    assert client.post("/recommend").json()["rung"] == "popular"


def test_an_anonymous_session_is_answered_from_its_products(client: TestClient) -> None:
    answer = client.post("/recommend", json={"recent_products": ["p3", "p33"]}).json()
    assert answer["rung"] == "ensemble"
    assert not {"p3", "p33"} & {item["product_id"] for item in answer["items"]}
    assert {product for item in answer["items"] for product in item["evidence"]["products"]} <= {"p3", "p33"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"k": 0}, "k"),
        ({"k": 101}, "k"),
        ({"k": "many"}, "k"),
        ({"customer_id": 7}, "customer_id"),
        ({"customer_id": "x" * 201}, "customer_id"),
        ({"custmer_id": "c0"}, "custmer_id"),
        ({"filters": {"categry": ["x"]}}, "filters.categry"),
        ({"filters": {"categories": ["no such"]}}, "filters.categories"),
        ({"filters": {"categories": ["Category 0"], "departments": ["Department 1"]}}, "filters"),
        ({"basket": ["p1"] * 501}, "basket"),
        ({"recent_products": "p1"}, "recent_products"),
        ([1], "body"),
    ],
)
def test_bad_input_is_a_422_with_field_and_remedy(client: TestClient, body: Any, field: str) -> None:
    problem = refused(client.post("/recommend", json=body), 422)
    assert problem["field"] == field
    assert problem["remedy"]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"null", b'{"k": NaN}'])
def test_what_is_no_json_object_is_a_422(client: TestClient, content: bytes) -> None:
    refused(client.post("/recommend", content=content), 422)


def test_a_pickle_is_not_read(client: TestClient) -> None:
    reply = client.post("/recommend", content=b"x", headers={"content-type": "application/vnd.bentoml+pickle"})
    assert 400 <= reply.status_code < 500


def test_a_body_is_counted_as_it_is_received(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY // 1024 + 1):
            yield b" " * 1024

    refused(client.post("/recommend", content=chunks()), 413)
    refused(client.post("/recommend", content=b" " * (MAX_BODY + 1)), 413)
    refused(client.post("/recommend", content=b"{}", headers={"content-length": "nonsense"}), 413)
    longest = json.dumps({"customer_id": "c0", "k": 1}).encode().ljust(MAX_BODY)
    assert client.post("/recommend", content=longest).status_code == 200


def test_without_a_release_it_says_what_to_do(start: Start) -> None:
    client = start()
    problem = refused(client.post("/recommend", json={}), 503)
    assert "make loop" in problem["remedy"]
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "make loop" in ready.text


def test_a_release_makes_it_ready(start: Start, home: Path, bundle: Path, eventually: Eventually) -> None:
    client = start()
    releases.point("recommendation", releases.put(bundle, "recommendation", {}), "first")
    eventually(lambda: client.get("/readyz").status_code == 200)
    assert client.post("/recommend", json={}).status_code == 200


def test_the_key_is_asked_for_when_there_is_one(released: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "open sesame")
    client = start()
    refused(client.post("/recommend", json={}), 401)
    refused(client.post("/recommend", json={}, headers={"x-api-key": "open sesam"}), 401)
    refused(client.post("/recommend", json={}, headers={"authorization": "Bearer ", "x-api-key": ""}), 401)
    refused(client.get("/metrics"), 401)
    assert client.post("/recommend", json={}, headers={"x-api-key": "open sesame"}).status_code == 200
    assert client.post("/recommend", json={}, headers={"authorization": "Bearer open sesame"}).status_code == 200
    for path in ("/livez", "/healthz", "/readyz", "/", "/docs.json"):
        assert client.get(path).status_code == 200, path


def test_an_empty_key_is_no_open_door(released: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "")
    assert start().post("/recommend", json={}).status_code == 200, "an empty variable is an unset one"


def test_the_description_has_examples_that_work(client: TestClient) -> None:
    described = client.get("/docs.json").json()
    post = described["paths"]["/recommend"]["post"]
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    assert set(examples) == set(REQUESTS)
    assert {"200", "401", "413", "422", "503"} <= set(post["responses"])
    for example in examples.values():
        RecommendRequest.model_validate(example["value"])
    RecommendResponse.model_validate(described["components"]["schemas"]["RecommendResponseIODescriptor"]["example"])


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    text = page.text.replace('"http://www.w3.org/2000/svg"', "")  # which names a kind of element
    assert "//" not in text.replace("// ", ""), "no address of another host"
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_release_sealed_anew_under_its_old_version_is_refused(released: str) -> None:
    """Whoever can write a file can also write its checksum; the version vouches for the checksums."""
    folder = releases.release_path("recommendation", released)
    (folder / "manifest.json").write_text((folder / "manifest.json").read_text() + " ")
    seal(folder)
    live: Live[Answerer] = Live("recommendation", Answerer)
    live.refresh()
    assert live.loaded is None
    assert live.trouble is not None and "checksums.json differ" in live.trouble


def test_a_swap_is_refused_where_the_new_release_is_damaged(
    home: Path, bundle: Path, other_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (releases.put(each, "recommendation", {}) for each in (bundle, other_bundle))
    releases.point("recommendation", old, "first")
    live: Live[Answerer] = Live("recommendation", Answerer)
    live.refresh()
    releases.point("recommendation", new, "second")
    (releases.release_path("recommendation", new) / "members" / "personal" / "gaps.npy").write_bytes(b"")
    live.refresh()
    assert live.loaded is not None and live.loaded.version == old
    assert live.trouble is not None and "gaps.npy" in live.trouble
    releases.put(other_bundle, "recommendation", {})  # repairs it
    releases.point("recommendation", new, "repaired")
    live.refresh()
    assert live.loaded.version == new
    assert live.trouble is None
