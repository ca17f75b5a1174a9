"""Prefect is asked for a retrain: once for each cause, by plain HTTP, never while one is under way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flows.triggers import emit, under_way

NAME = "recommendation"


def test_each_cause_is_told_to_prefect_once(shop: Any, events: Any) -> None:
    version = shop.live()
    shop.set(min_new_events=100, cool_down_hours=24)
    shop.weeks(0, 2, version)
    decision = shop.look(2)
    assert decision["asked"] == "asked for by event shop.retrain"
    ((event,),) = events
    assert event["event"] == "shop.retrain"
    assert event["resource"] == {"prefect.resource.id": f"shop.application.{NAME}"}
    asked = event["payload"]
    assert (asked["applications"], asked["trigger"], asked["refit"]) == ([NAME], "amount", True)
    assert asked["reason"].startswith("amount: 840 events")
    assert "already" in shop.look(2 + 1 / 70)["asked"] and len(events) == 1
    shop.look(2 + 2 / 7)
    assert len(events) == 2, "after the cool-down the cause is still there"


def test_another_release_may_ask_at_once(shop: Any, events: Any) -> None:
    version = shop.live()
    shop.set(min_new_events=100)
    shop.weeks(0, 2, version)
    shop.look(2)
    shop.live(weights="two")
    shop.look(2)
    assert len(events) == 2


def test_a_refresh_does_not_make_the_same_cause_ask_at_once(shop: Any, events: Any) -> None:
    version = shop.live()
    shop.set(min_new_events=100)
    shop.weeks(0, 2, version)
    shop.look(2)
    shop.live(as_of=shop.monday + timedelta(weeks=2), fitted=shop.monday)
    assert "already" in shop.look(2.01)["asked"] and len(events) == 1


def test_nobody_is_asked_while_a_retrain_of_this_application_is_under_way(shop: Any, events: Any) -> None:
    version = shop.live()
    shop.set(min_new_events=100)
    shop.weeks(0, 2, version)
    events.runs.append({"parameters": {"applications": [NAME]}})
    assert shop.look(2)["asked"] == "a retrain runs or waits already" and not events
    events.runs[0]["parameters"]["applications"] = ["demand"]
    assert shop.look(2)["asked"] == "asked for by event shop.retrain" and len(events) == 1


def test_a_refresh_is_asked_for_without_refitting(shop: Any, events: Any) -> None:
    version = shop.live()
    shop.set(refresh_days=7)
    shop.weeks(0, 1, version)
    shop.look(1)
    assert events[0][0]["payload"]["refit"] is False


def test_a_retrain_that_came_to_nothing_does_not_keep_histories_from_being_renewed(shop: Any, events: Any) -> None:
    version = shop.live()
    shop.set(refresh_days=7, min_new_events=100)
    shop.weeks(0, 1, version)
    assert shop.look(1)["decision"] == "retrain"
    events.runs.append({"parameters": {"applications": [NAME]}})
    assert shop.look(1 + 1 / 1000)["asked"] == "a retrain runs or waits already" and len(events) == 1
    events.runs.clear()
    decision = shop.look(1 + 2 / 1000)
    assert (decision["decision"], decision["trigger"]) == ("refresh", "refresh")
    assert [event["payload"]["refit"] for (event,) in events] == [True, False]
    assert "already" in shop.look(1 + 3 / 1000)["asked"] and len(events) == 2


def test_without_a_server_the_decision_says_so(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = shop.live()
    shop.set(min_new_events=100)
    shop.weeks(0, 2, version)
    assert "no PREFECT_API_URL" in shop.look(2)["asked"]
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert "the next look asks again" in shop.look(2)["asked"]


def test_a_real_server_takes_the_event_and_says_what_is_under_way(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL
    from prefect.states import Pending

    @flow(name="retrain")
    def stand_in(applications: list[str]) -> None:
        """Never runs."""

    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    assert emit(NAME, "a test", "drift", {"psi": 0.3}).sent
    assert not under_way(NAME)
    with get_client(sync_client=True) as client:
        client.create_flow_run(stand_in, parameters={"applications": [NAME]}, state=Pending())
    assert under_way(NAME) and not under_way("demand")
