"""Every answer is logged as it was given, after it was given, and never in its way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from components.demand.answer.ask import Forecast, ForecastAsk, Planned
from components.feedback.store import Store, open_store
from components.recommendation.answer.answerer import Answerer
from serving import desk, recommendation
from serving.demand import MOST_SHOWN, seen
from serving.service import Shop

Start = Callable[[], TestClient]
Eventually = Callable[[Callable[[], object]], None]


def impressions() -> list[dict[str, Any]]:
    store = open_store()
    rows = [row for frame in store.rows(kinds={"impression"}) for row in frame.iter_rows(named=True)]
    store.close()
    return [row | {"payload": json.loads(row["payload"])} for row in rows]


def test_an_answer_is_logged_as_it_was_given(client: TestClient, released: str, eventually: Eventually) -> None:
    before = datetime.now(UTC)
    answer = client.post("/recommend", json={"customer_id": "c0", "k": 4}).json()
    eventually(impressions)
    (row,) = impressions()
    assert (row["event_id"], row["request_id"]) == (f"{answer['request_id']}:champion", answer["request_id"])
    assert (row["application"], row["kind"], row["customer_id"]) == ("recommendation", "impression", "c0")
    assert before <= row["at"] <= row["received_at"] <= datetime.now(UTC)
    payload = row["payload"]
    assert (payload["release"], payload["role"], payload["unit"]) == (released, "champion", "c0")
    assert payload["ms"] > 0
    assert payload["shown"] == [
        {"key": item["product_id"], "position": place, "propensity": 1.0, "value": None}
        for place, item in enumerate(answer["items"], start=1)
    ]
    categories = [item["category"] for item in answer["items"]]
    assert payload["facets"].pop("top_category") in categories
    assert payload["facets"] == {"rung": "ensemble", "known_customer": "yes"}


def test_each_answer_is_logged_once_and_a_refusal_is_not(client: TestClient, eventually: Eventually) -> None:
    bodies = [{}, {"customer_id": "nobody"}, {"recent_products": ["p1"]}, {"filters": {"categories": ["none such"]}}]
    answers = [client.post("/recommend", json=body) for body in bodies * 3]
    asked = {answer.json()["request_id"] for answer in answers if answer.status_code == 200}
    assert len(asked) == 9
    eventually(lambda: len(impressions()) >= 9)
    assert {row["request_id"] for row in impressions()} == asked
    assert {row["payload"]["unit"] for row in impressions()} == {None, "nobody"}


def test_what_is_explored_is_logged_with_its_chance(
    released: str, start: Start, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Propensities are the answer's own, and each request is drawn anew."""
    from components.recommendation.answer.exploration import Exploration

    load = Answerer.load.__func__  # type: ignore[attr-defined]

    def exploring(cls: type[Answerer], folder: Any) -> Answerer:
        answerer: Answerer = load(cls, folder)
        answerer.exploration = Exploration(share=0.3, depth=5)
        return answerer

    monkeypatch.setattr(Answerer, "load", classmethod(exploring))
    client = start()
    answers = [client.post("/recommend", json={"customer_id": "c0", "k": 5}).json() for _ in range(20)]
    eventually(lambda: len(impressions()) == 20)
    logged = {row["request_id"]: row["payload"]["shown"] for row in impressions()}
    for answer in answers:
        shown = [(item["product_id"], item["position"], item["propensity"]) for item in answer["items"]]
        assert [(each["key"], each["position"], each["propensity"]) for each in logged[answer["request_id"]]] == shown
    assert {round(item["propensity"], 6) for answer in answers for item in answer["items"]} == {0.7, 0.06}
    assert len({tuple(item["product_id"] for item in answer["items"]) for answer in answers}) > 1


@pytest.mark.parametrize("place", ["impression", "seen", "writer"])
def test_an_answer_that_cannot_be_logged_is_given_and_counted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, place: str
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("no log today")

    if place == "impression":
        monkeypatch.setattr(desk, "impression", fail)
    elif place == "writer":
        monkeypatch.setattr("components.feedback.writer.Writer.log", fail)
    else:
        monkeypatch.setattr(recommendation, "Shown", fail)
    for _ in range(3):
        assert client.post("/recommend", json={"customer_id": "c0"}).status_code == 200
    eventually(lambda: client.get("/status").json()["impressions"]["dropped"] == 3)
    assert impressions() == []


def test_the_status_says_what_was_logged_and_by_whom_it_was_answered(
    client: TestClient, released: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    from threading import Event as Flag

    may, append = Flag(), Store.append_rows
    monkeypatch.setattr(Store, "append_rows", lambda *given: may.wait(20) and append(*given))
    for _ in range(5):
        client.post("/recommend", json={"customer_id": "c0"})
    said = client.get("/status").json()
    assert (said["impressions"]["logged"], said["impressions"]["pending"]) == (5, 5)
    may.set()
    eventually(lambda: client.get("/status").json()["impressions"]["pending"] == 0)
    said = client.get("/status").json()
    assert said["impressions"] == {
        "logged": 5, "written": 5, "pending": 0, "dropped": 0, "lost_before": 0, "trouble": None,
    }  # fmt: skip
    assert said["releases"] == {
        "recommendation": {"live": released, "trouble": None, "challenger": None},
        "demand": {"live": None, "trouble": None, "challenger": None},
        "support": {"live": None, "trouble": None, "challenger": None},
    }


def test_what_waits_is_written_when_the_service_ends(released: str, meters: None) -> None:
    with TestClient(Shop.to_asgi()) as client:
        asked = {client.post("/recommend", json={}).json()["request_id"] for _ in range(10)}
    assert {row["request_id"] for row in impressions()} == asked


def forecast_of(name: str, n_weeks: int, levels: tuple[float, ...] = (0.1, 0.5, 0.9)) -> Forecast:
    weeks = tuple(date.fromordinal(date(2025, 6, 30).toordinal() + 7 * step) for step in range(n_weeks))
    values = np.outer(np.arange(1, n_weeks + 1), np.array(levels) * 20)
    return Forecast(name, name, "series", None, 7, weeks, levels, values)


def test_a_forecast_is_logged_by_its_medians_the_nearest_first() -> None:
    found = seen(ForecastAsk(("a", "b")), [forecast_of("a", 2), forecast_of("b", 3)])
    assert [(each.key, each.position, each.value) for each in found.shown] == [
        ("a|2025-06-30", 1, 10.0),
        ("b|2025-06-30", 2, 10.0),
        ("a|2025-07-07", 3, 20.0),
        ("b|2025-07-07", 4, 20.0),
        ("b|2025-07-14", 5, 30.0),
    ]
    assert found.facets == {"from": "series", "size": "10 to 100"}


def test_of_a_long_forecast_every_series_is_logged() -> None:
    found = seen(ForecastAsk(), [forecast_of(f"s{number}", 13) for number in range(1000)])
    assert len(found.shown) == MOST_SHOWN
    assert len({each.key.partition("|")[0] for each in found.shown}) == 1000


def test_what_is_no_forecast_of_what_will_be_has_no_value() -> None:
    what_if = ForecastAsk(("a",), promotions=(Planned("a", date(2025, 6, 30), (("mailer", 1.0),)),))
    assert {each.value for each in seen(what_if, [forecast_of("a", 3)]).shown} == {None}
    assert {each.value for each in seen(ForecastAsk(("a",)), [forecast_of("a", 3, (0.7, 0.9))]).shown} == {None}


@pytest.mark.parametrize(
    ("units", "size"), [(0.0, "below 1"), (0.99, "below 1"), (1.0, "1 to 10"), (999.9, "100 to 1000")]
)
def test_sizes_are_orders_of_magnitude(units: float, size: str) -> None:
    one = forecast_of("a", 1)
    one.values[:] = units
    assert seen(ForecastAsk(("a",)), [one]).facets["size"] == size
