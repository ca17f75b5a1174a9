"""The service's answers about demand, in process: forecasts, orders, and what it refuses."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import polars as pl
import pytest
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from components import releases
from components.core.artifacts import seal, verify, write_json
from components.core.bundle import FORMAT
from components.core.errors import DataError
from components.demand.answer.ask import Forecast, ForecastAsk
from components.demand.answer.drivers import Driver
from components.demand.answer.forecasts import Forecasts
from components.feedback.store import open_store
from serving.demand_requests import FORECASTS, ORDERS, ForecastRequest, OrderRequest
from serving.demand_responses import ForecastResponse, OrderResponse
from serving.pages import EXAMPLES
from serving.service import Shop

Start = Callable[[], TestClient]
Tables = tuple[pl.DataFrame, pl.DataFrame]
Predict = Callable[[pl.DataFrame], pl.DataFrame]


def started(stack: ExitStack) -> TestClient:
    """The service as it stands now: with what is live, with or without a key."""
    for collector in list(REGISTRY._collector_to_names):  # BentoML makes its meters once per process
        REGISTRY.unregister(collector)
    return stack.enter_context(TestClient(Shop.to_asgi(), raise_server_exceptions=False))


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda: started(stack)


@pytest.fixture(scope="module")
def demand_bundle(tmp_path_factory: pytest.TempPathFactory, demand_tables: Tables) -> Path:
    """A sealed bundle whose models are those that `trivial` puts in their place."""
    folder = tmp_path_factory.mktemp("demand_bundle")
    manifest = {"format": FORMAT, "application": "demand", "shipped": {"name": "trivial", "kind": "single"}}
    write_json(folder / "manifest.json", manifest | {"members": [], "as_of": datetime(2025, 6, 30, tzinfo=UTC)})
    for name, frame in zip(("queries", "categories"), demand_tables, strict=True):
        frame.write_parquet(folder / f"{name}.parquet")
    seal(folder)
    return folder


@pytest.fixture(scope="module")
def trivial(predict_demand: Predict) -> Iterator[None]:
    def load(folder: Path) -> Forecasts:
        verify(folder)
        queries, categories = (pl.read_parquet(folder / f"{name}.parquet") for name in ("queries", "categories"))
        return Forecasts(
            predict_demand,
            queries,
            categories,
            explain=lambda panel: [([Driver("season", 3.004, "a season of 3 units")],) * panel.horizon] * len(panel),
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Forecasts, "load", load)
        yield


def release(bundle: Path) -> str:
    version = releases.put(bundle, "demand", {})
    releases.point("demand", version, "test")
    return version


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, demand_bundle: Path, trivial: None
) -> Iterator[tuple[TestClient, str]]:
    """A service that only demand was released to, and the version: for tests that change neither."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("SHOP_HOME", str(tmp_path_factory.mktemp("shop")))
        patch.delenv("SHOP_API_KEY", raising=False)
        version = release(demand_bundle)
        yield started(stack), version


@pytest.fixture
def client(shop: tuple[TestClient, str]) -> TestClient:
    return shop[0]


@pytest.fixture
def version(shop: tuple[TestClient, str]) -> str:
    return shop[1]


def test_forecasts_and_orders_are_logged_by_their_medians(client: TestClient, version: str) -> None:
    asked = {
        "forecast": {"series": ["fruit-4", "fruit-2"], "horizon": 2},
        "order": {"series_id": "fruit-4", "on_hand": 3, "lead_time_days": 7},
    }
    answers = {name: client.post(f"/demand/{name}", json=body).json() for name, body in asked.items()}
    wanted = {f"{answer['request_id']}:champion": name for name, answer in answers.items()}
    store, found = open_store(), dict[str, dict[str, Any]]()
    until = time.monotonic() + 20
    while len(found) < 2 and time.monotonic() < until:
        rows = [row for frame in store.rows(kinds={"impression"}) for row in frame.iter_rows(named=True)]
        found = {wanted[row["event_id"]]: row for row in rows if row["event_id"] in wanted}
    store.close()
    shown = {name: json.loads(row["payload"]) for name, row in found.items()}
    assert [(each["key"], each["value"]) for each in shown["forecast"]["shown"]] == [
        ("fruit-4|2025-06-30", 4.0),
        ("fruit-2|2025-06-30", 2.0),
        ("fruit-4|2025-07-07", 4.0),
        ("fruit-2|2025-07-07", 2.0),
    ]
    assert {(each["release"], each["unit"]) for each in shown.values()} == {(version, "fruit-4")}
    assert {row["application"] for row in found.values()} == {"demand"}
    assert shown["order"]["facets"] == {"from": "series", "size": "1 to 10"}


def refused(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    body = reply.json()
    problem: dict[str, Any] = body["problems"][0]
    assert problem["field"] in body["error"] and problem["remedy"] in body["error"]
    assert problem["remedy"] and len(body["request_id"]) == 32
    return problem


def test_a_forecast_carries_weeks_quantiles_release_and_request_id(client: TestClient, version: str) -> None:
    reply = client.post("/demand/forecast", json={"series": ["fruit-4"], "horizon": 2, "quantiles": [0.5, 0.7]})
    assert reply.status_code == 200
    body = reply.json()
    ForecastResponse.model_validate(body)
    assert body["forecasts"] == [
        {
            "series_id": "fruit-4",
            "title": "Title of fruit-4",
            "from": "series",
            "category": "Fruit",
            "weeks": [
                {"week": "2025-06-30", "quantiles": {"0.5": 4.0, "0.7": 5.27}, "drivers": None},
                {"week": "2025-07-07", "quantiles": {"0.5": 4.0, "0.7": 5.27}, "drivers": None},
            ],
        }
    ]
    assert (body["release"], body["period_days"], len(body["request_id"])) == (version, 7, 32)


def test_what_if_it_were_in_the_mailer(client: TestClient) -> None:
    plan = {"series_id": "fruit-4", "week": "2025-07-07", "mailer": 0.5, "campaign": 0.1}
    asked = {"product_ids": ["fruit-4"], "promotions": [plan], "explain": True}
    (found,) = client.post("/demand/forecast", json=asked).json()["forecasts"]
    assert [week["quantiles"]["0.5"] for week in found["weeks"]] == [4, 6, 4, 4]
    season = {"group": "season", "units": 3.0, "words": "a season of 3 units"}
    assert [week["drivers"] for week in found["weeks"]] == [[season]] * 4


def test_a_new_product_is_marked(client: TestClient) -> None:
    asked = {"new_products": [{"product_id": "n1", "category": "fruit", "title": "Dragon fruit"}]}
    (found,) = client.post("/demand/forecast", json=asked).json()["forecasts"]
    assert (found["from"], found["category"], found["title"]) == ("category", "Fruit", "Dragon fruit")


def test_an_order_says_why(client: TestClient, version: str) -> None:
    asked = {"series_id": "bread-1", "on_hand": 20, "on_order": 10, "lead_time_days": 7, "pack_size": 12}
    reply = client.post("/demand/order", json=asked)
    assert reply.status_code == 200
    body = reply.json()
    OrderResponse.model_validate(body)
    assert body["order_quantity"] % 12 == 0 and body["order_quantity"] >= body["order_up_to"] - 30
    assert body["safety_stock"] == pytest.approx(body["order_up_to"] - body["expected_demand"], abs=0.02)
    assert body["reason"].startswith(f"Order {body['order_quantity']:g}: ")
    assert (body["service_level"], body["release"], body["notes"]) == (0.95, version, [])
    enough = client.post("/demand/order", json=asked | {"on_hand": 1000}).json()
    assert enough["order_quantity"] == 0 and enough["reason"].startswith("Order nothing")


def test_an_order_by_costs_of_a_new_product(client: TestClient) -> None:
    asked = {"product_id": "n1", "category": "Bread", "on_hand": 0, "lead_time_days": 2}
    body = client.post("/demand/order", json=asked | {"costs": {"too_much": 1, "too_little": 3}}).json()
    assert (body["service_level"], body["from"]) == (0.75, "category")
    assert "Bread" in body["notes"][0]


@pytest.mark.parametrize(
    ("path", "body", "field", "near"),
    [
        ("forecast", {"series": ["fruit-1", "friut-4"]}, "series.1", "fruit-4"),
        ("forecast", {"series": ["title of fruit 4"]}, "series.0", "fruit-4"),
        (
            "forecast",
            {"new_products": [{"product_id": "n", "category": "Braed"}]},
            "new_products.0.category",
            "Bread",
        ),
        ("order", {"series_id": "bred-1", "on_hand": 1, "lead_time_days": 1}, "series_id", "bread-1"),
    ],
)
def test_an_unknown_name_is_a_404_with_the_nearest(
    client: TestClient, path: str, body: dict[str, Any], field: str, near: str
) -> None:
    problem = refused(client.post(f"/demand/{path}", json=body), 404)
    assert problem["field"] == field
    assert problem["nearest"][0]["id"] == near
    assert near in problem["remedy"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "series"),
        ({"series": []}, "series"),
        ({"series": ["fruit-1"], "horizon": 0}, "horizon"),
        ({"series": ["fruit-1"], "horizon": 5}, "horizon"),
        ({"series": ["fruit-1"], "quantiles": [0.99]}, "quantiles"),
        ({"series": ["fruit-1"], "quantiles": [1.5]}, "quantiles.0"),
        ({"series": "fruit-1"}, "series"),
        ({"serie": ["fruit-1"]}, "serie"),
        ({"series": ["fruit-1"], "explain": "perhaps"}, "explain"),
        ({"new_products": [{"product_id": "n"}]}, "new_products.0.category"),
        ({"new_products": [{"product_id": "n", "category": "Fruit", "brand": "x"}]}, "new_products.0.brand"),
        ({"series": ["fruit-1"], "promotions": [{"series_id": "fruit-1"}]}, "promotions.0.week"),
        ({"series": ["fruit-1"], "promotions": [{"series_id": "fruit-1", "week": "soon"}]}, "promotions.0.week"),
        ({"series": ["fruit-1"], "promotions": [{"series_id": "fruit-1", "week": "2025-07-08"}]}, "promotions.0.week"),
        (
            {"series": ["fruit-1"], "promotions": [{"series_id": "fruit-1", "week": "2025-07-07", "mailer": 2}]},
            "promotions.0.mailer",
        ),
        (
            {"series": ["fruit-1"], "promotions": [{"series_id": "fruit-1", "week": "2025-07-07", "discount": 0.2}]},
            "promotions.0",
        ),
        (
            {"series": ["fruit-1"], "promotions": [{"series_id": "fruit-1", "week": "2025-07-07", "campaign": "x"}]},
            "promotions.0.campaign",
        ),
        ({"series": ["fruit-1"], "x" * 5000: 1}, "x" * 60 + "..."),
        ([1], "body"),
    ],
)
def test_a_wrong_forecast_request_is_a_422_with_field_and_remedy(client: TestClient, body: Any, field: str) -> None:
    assert refused(client.post("/demand/forecast", json=body), 422)["field"] == field


ORDER = {"series_id": "bread-1", "on_hand": 5, "lead_time_days": 3}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"lead_time_days": -1}, "lead_time_days"),
        ({"lead_time_days": 1e9}, "lead_time_days"),
        ({"review_days": 0}, "review_days"),
        ({"service_level": 1}, "service_level"),
        ({"service_level": 0}, "service_level"),
        ({"pack_size": 1e-300}, "pack_size"),
        ({"on_order": -1}, "on_order"),
        ({"on_hand": "some"}, "on_hand"),
        ({"costs": {"too_much": 0, "too_little": 1}}, "costs.too_much"),
        ({"costs": {"too_much": 1}}, "costs.too_little"),
        ({"costs": {"too_much": 1, "too_little": 1, "tax": 1}}, "costs.tax"),
        ({"costs": {"too_much": 1, "too_little": 1}, "service_level": 0.9}, "body"),
        ({"day": "2024-01-01"}, "day"),
        ({"lead_tme_days": 3}, "lead_tme_days"),
        ({"promotions": [{"series_id": "fruit-1", "week": "2025-07-07"}]}, "promotions.0.series_id"),
    ],
)
def test_a_wrong_order_request_is_a_422_with_field_and_remedy(
    client: TestClient, more: dict[str, Any], field: str
) -> None:
    assert refused(client.post("/demand/order", json=ORDER | more), 422)["field"] == field


@pytest.mark.parametrize("path", ["forecast", "order"])
@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"null", b'{"on_hand": NaN}', b'{"on_hand": 1e999}'])
def test_what_is_no_json_object_is_a_422(client: TestClient, path: str, content: bytes) -> None:
    refused(client.post(f"/demand/{path}", content=content), 422)


def test_a_model_that_fails_is_a_503_that_says_what_to_do(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forecasts, "answer", lambda *_: 1 / 0)
    problem = refused(client.post("/demand/forecast", json={"series": ["fruit-1"]}), 503)
    assert "ZeroDivisionError" in problem["problem"] and "roll back" in problem["remedy"]


def test_an_answer_that_cannot_be_written_is_no_500(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Forecasts.answer

    def nan(forecasts: Forecasts, ask: ForecastAsk) -> list[Forecast]:
        return [replace(each, values=each.values * math.nan) for each in answer(forecasts, ask)]

    monkeypatch.setattr(Forecasts, "answer", nan)
    problem = refused(client.post("/demand/forecast", json={"series": ["fruit-1"]}), 503)
    assert "ValueError" in problem["problem"]


def test_more_series_than_can_be_explained_are_a_422(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.demand.answer.scope.MOST_EXPLAINED", 1)
    asked = {"series": ["fruit-1", "fruit-2"], "explain": True}
    problem = refused(client.post("/demand/forecast", json=asked), 422)
    assert (problem["field"], "at most 1 series" in problem["problem"]) == ("explain", True)


def test_demand_alone_makes_the_service_ready(client: TestClient) -> None:
    assert client.get("/readyz").status_code == 200
    assert "APPS=recommendation" in refused(client.post("/recommend", json={}), 503)["remedy"]


def test_recommendation_goes_on_without_demand(released: str, start: Start) -> None:
    client = start()
    assert client.get("/readyz").status_code == 200
    assert client.post("/recommend", json={}).status_code == 200
    for path, body in (("forecast", {"series": ["fruit-1"]}), ("order", ORDER)):
        problem = refused(client.post(f"/demand/{path}", json=body), 503)
        assert problem["problem"] == "no release of demand is live" and "APPS=demand" in problem["remedy"]


def test_a_release_that_cannot_be_loaded_is_not_ready_but_the_other_answers(
    released: str, home: Path, demand_bundle: Path, trivial: None, start: Start
) -> None:
    version = release(demand_bundle)
    (releases.release_path("demand", version) / "queries.parquet").write_bytes(b"")
    client = start()
    assert client.post("/recommend", json={}).status_code == 200
    assert client.get("/readyz").status_code == 503
    assert "queries.parquet" in refused(client.post("/demand/order", json=ORDER), 503)["problem"]
    release(demand_bundle)  # repairs it
    until = time.monotonic() + 10
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    assert client.post("/demand/order", json=ORDER).status_code == 200


def test_who_waits_for_a_forecaster_leaves_recommend_its_threads(
    released: str, demand_bundle: Path, trivial: None, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More orders wait for a slow model than the service's common threads are."""
    release(demand_bundle)
    go_on, begun = Event(), []

    def slow(*_: object) -> None:
        begun.append(1)
        go_on.wait(20)
        raise DataError("series_id: expected patience; wait")

    monkeypatch.setattr(Forecasts, "order", slow)
    client = start()
    with ThreadPoolExecutor(40) as crowd:
        orders = [crowd.submit(client.post, "/demand/order", json=ORDER) for _ in range(40)]
        until = time.monotonic() + 10
        while not begun:
            assert time.monotonic() < until, "no order came through"
            time.sleep(0.01)
        session = client.post("/recommend", json={"recent_products": ["p1", "p2"]})
        go_on.set()
        assert session.status_code == 200
        assert {order.result().status_code for order in orders} == {422}


def test_the_key_is_asked_for(
    home: Path, demand_bundle: Path, trivial: None, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(demand_bundle)
    monkeypatch.setenv("SHOP_API_KEY", "open sesame")
    client = start()
    assert client.post("/demand/order", json=ORDER).status_code == 401
    assert client.post("/demand/order", json=ORDER, headers={"x-api-key": "open sesame"}).status_code == 200


def test_the_page_asks_what_the_service_answers(client: TestClient) -> None:
    page = client.get("/").text
    asked = set(re.findall(r'ask\("([^"]+)"', page))
    assert {"demand/forecast", "demand/order"} <= asked <= {path[1:] for path in EXAMPLES}
    form = page[page.index('<form id="order">') :].partition("</form>")[0]
    assert set(re.findall(r'name="(\w+)"', form)) < set(OrderRequest.model_fields)


def test_the_description_has_examples_that_are_valid(client: TestClient) -> None:
    described = client.get("/docs.json").json()
    for path, examples, request in (
        ("/demand/forecast", FORECASTS, ForecastRequest),
        ("/demand/order", ORDERS, OrderRequest),
    ):
        post = described["paths"][path]["post"]
        shown = post["requestBody"]["content"]["application/json"]["examples"]
        assert set(shown) == set(examples)
        for example in shown.values():
            request.model_validate(example["value"])
        assert {"200", "401", "404", "413", "422", "503"} <= set(post["responses"])
    schemas = described["components"]["schemas"]
    ForecastResponse.model_validate(schemas["ForecastResponseIODescriptor"]["example"])
    OrderResponse.model_validate(schemas["OrderResponseIODescriptor"]["example"])
    assert "Near" in schemas
