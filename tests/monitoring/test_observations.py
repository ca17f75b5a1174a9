"""From events to observations: one for each unit and window, a forecast once, orders and answers as facts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from components.monitoring import observations, orders, shown
from components.monitoring.observations import opened, settled

START = datetime(2026, 3, 2, tzinfo=UTC)
NOBODY = pl.lit("")


def event(number: int, kind: str, hours: float, payload: dict[str, Any], **ids: str | None) -> dict[str, Any]:
    at = START + timedelta(hours=hours)
    ids = {"application": "a", "request_id": None, "order_id": None, "customer_id": None} | ids
    return {"event_id": f"e{number}", "kind": kind, "at": at, "received_at": at, "payload": json.dumps(payload), **ids}


def answer(number: int, hours: float, keys: Sequence[Any], who: str | None = "c1", role: str = "champion") -> Any:
    """Keys as words, or as (key, value) where they are forecasts."""
    pairs = [key if isinstance(key, tuple) else (key, None) for key in keys]
    rows = [{"key": key, "position": n, "propensity": 0.5, "value": value} for n, (key, value) in enumerate(pairs, 1)]
    payload = {"release": "v1", "role": role, "unit": who, "shown": rows, "facets": {"rung": "known"}}
    return event(number, "impression", hours, payload, request_id=f"r{number}", customer_id=who)


def table(*events: dict[str, Any]) -> pl.DataFrame:
    schema = dict.fromkeys(("event_id", "application", "kind", "request_id", "order_id", "customer_id"), pl.String)
    times = {name: pl.Datetime("us", "UTC") for name in ("at", "received_at")}
    return pl.DataFrame(list(events), schema={**schema, **times, "payload": pl.String})


def buy(number: int, hours: float, lines: Sequence[tuple[str, float | None]], who: str | None = "c1") -> Any:
    items = [{"product_id": product, "quantity": 1.0, "amount": amount} for product, amount in lines]
    return event(number, "purchase", hours, {"items": items, "store_id": None}, order_id=f"o{number}", customer_id=who)


def none_asked() -> pl.DataFrame:
    return pl.DataFrame(schema=observations.ASKED)


def test_pages_before_one_purchase_are_one_observation() -> None:
    """Five answers within a day, the last of them credited with the purchase: a fifth of a hit, once."""
    answers, _ = opened(table(*(answer(n, n, ["p1", "p2"]) for n in range(1, 6))), none_asked(), NOBODY)
    told = table(buy(9, 5.5, [("p1", 2.0)]))
    observed, waiting = settled(answers, told, START + timedelta(days=2), 24)
    assert observed.select("measure", "unit").rows() == [("hit", "c1")]
    assert observed["good"].to_list() == pytest.approx([0.2]) and waiting.is_empty()


def test_an_answer_waits_until_its_window_can_hold_no_more() -> None:
    answers, _ = opened(table(answer(1, 1, ["p1"])), none_asked(), NOBODY)
    told = table(buy(9, 20, [("p1", 2.0)]))
    observed, waiting = settled(answers, told, START + timedelta(hours=47), 24)
    assert observed.is_empty() and waiting.equals(answers)
    observed, waiting = settled(waiting, told, START + timedelta(hours=48), 24)
    assert observed["good"].to_list() == [1.0] and waiting.is_empty()


def test_of_a_forecast_the_next_period_counts_and_once() -> None:
    keys = [("s1|2026-03-02", 10.0), ("s1|2026-03-09", 10.0), ("s2|2026-03-09", 5.0)]
    first, asked = opened(table(answer(1, 1, keys)), none_asked(), NOBODY)
    assert first["keys"].to_list() == [2] and str(first["period"][0]) == "2026-03-09"
    again, asked = opened(table(answer(2, 2, keys)), asked, NOBODY)
    assert again.is_empty() and asked.height == 2
    later, asked = opened(table(answer(3, 24 * 7, keys[1:])), asked, NOBODY)
    assert json.loads(later["payload"][0])["shown"][0]["key"] == "s1|2026-03-09" and later["keys"].to_list() == [1]


def test_a_forecast_waits_for_all_its_sales_or_until_they_are_late() -> None:
    answers, _ = opened(table(answer(1, 1, [("s1|2026-03-02", 10.0), ("s2|2026-03-02", 5.0)])), none_asked(), NOBODY)
    one = event(8, "sales", 24 * 7, {"series_id": "s1", "period": "2026-03-02", "units": 30.0})
    other = event(9, "sales", 24 * 8, {"series_id": "s2", "period": "2026-03-02", "units": 5.0})
    soon = START + timedelta(days=9)
    assert settled(answers, table(one), soon, 24)[0].is_empty()
    both, waiting = settled(answers, table(one, other), soon, 24)
    assert both["good"].to_list() == pytest.approx([1 - (0.5 + 0) / 2]) and waiting.is_empty()
    late, waiting = settled(answers, table(one), START + timedelta(days=observations.LATE_DAYS + 1), 24)
    assert late["good"].to_list() == pytest.approx([0.5]) and waiting.is_empty()
    none, waiting = settled(answers, table(), START + timedelta(days=observations.LOST_DAYS + 1), 24)
    assert none.is_empty() and waiting.is_empty()


def test_where_the_champion_stepped_in_the_challenger_gets_nothing_for_it() -> None:
    """However good the champion's answer was: the customer was the challenger's, which failed."""
    gave, failed = answer(1, 1, ["p1"], "c1", "challenger"), answer(2, 1, ["p1"], "c2", "challenger")
    failed["payload"] = json.dumps(json.loads(failed["payload"]) | {"stepped_in": True})
    answers, _ = opened(table(gave, failed), none_asked(), NOBODY)
    told = table(buy(8, 2, [("p1", 2.0)], "c1"), buy(9, 2, [("p1", 2.0)], "c2"))
    observed, _ = settled(answers, told, START + timedelta(days=2), 24)
    assert observed.select("role", "unit", "good").rows() == [("challenger", "c1", 1.0), ("challenger", "c2", 0.0)]


def test_answers_that_no_release_gave_are_left_out() -> None:
    front_end = answer(1, 1, ["p1"], role="shop")
    empty = answer(2, 1, [])
    assert opened(table(front_end, empty), none_asked(), NOBODY)[0].is_empty()


def test_orders_are_counted_once_with_what_cost_most() -> None:
    bought = table(
        buy(1, 1, [("p1", 2.0), ("p2", 5.0), ("p2", 1.0)]), buy(2, 2, [("p3", None)], None), answer(3, 3, [])
    )
    found = orders.orders(bought)
    assert found.select("order_id", "items", "amount", "product_id").rows() == [
        ("o1", 2.0, 8.0, "p2"),
        ("o2", 1.0, None, "p3"),
    ]


def test_customers_are_new_until_they_come_back_and_unknown_at_first() -> None:
    days = {1: ("c1", 0), 2: ("c1", 20), 3: ("c2", 30), 4: ("c1", 40), 5: ("c1", 75), 6: (None, 80)}
    found = orders.orders(table(*(buy(n, 24 * day, [("p1", 1.0)], who) for n, (who, day) in days.items())))
    newness = orders.with_newness(found)["customer"].to_list()
    assert newness == [None, None, "new", "returning", "new", "anonymous"]


def test_features_are_cut_in_the_shop_s_time_and_by_the_release_s_catalogue() -> None:
    every = orders.with_newness(orders.orders(table(buy(1, 3, [("p1", 1.0)]), buy(2, 3, [("p9", 4.0)]))))
    found = orders.features(every, "America/New_York", {"p1": "fruit"})
    assert found["hour"] == {"22": 2.0} and found["weekday"] == {"7": 2.0}  # a Sunday evening there
    assert found["category"] == {"fruit": 1.0, "not in the catalogue": 1.0}
    assert "category" not in orders.features(every, "UTC", {})


def test_what_is_shown_weighs_by_its_propensity_and_a_forecast_by_its_series() -> None:
    found = shown.shown(
        table(answer(1, 1, ["p1", "p2"]), answer(2, 2, [("s1|2026-03-02", 1.0), ("s1|2026-03-09", 1.0)]))
    )
    rows = {(what, word): weight for _, _, what, word, weight in found.iter_rows()}
    assert rows == {
        ("answers", ""): 2.0,
        ("rung", "known"): 2.0,
        ("shown", "p1"): 0.25,
        ("shown", "p2"): 0.25,
        ("shown", "s1"): 0.5,
    }
    assert shown.shown(table(answer(1, 1, ["p1"], role="challenger"))).is_empty()
