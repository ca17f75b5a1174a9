"""What came of each answer: who gets the credit for a purchase, and that neither order nor repetition matters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from components.feedback.events import Event
from components.feedback.rewards import rewards, shown_rows
from components.feedback.rows import table_schema

NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)


def frame(events: Sequence[Event]) -> pl.DataFrame:
    """Events as the store gives them."""
    rows = [
        {name: getattr(event, name) for name in ("event_id", "application", "kind", "at", "request_id", "order_id",
                                                 "customer_id")}
        | {"seq": number, "received_at": event.at, "payload": json.dumps(dict(event.payload))}
        for number, event in enumerate(events)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=table_schema())


def answer(request: str, keys: Sequence[str], hours: float = 0, customer: str | None = "c1", **more: Any) -> Event:
    """What was shown at `hours` after noon, best first."""
    role, values = more.get("role", "champion"), more.get("values", [None] * len(keys))
    shown = [
        {"key": key, "position": place, "propensity": 1 / place, "value": value}
        for place, (key, value) in enumerate(zip(keys, values, strict=True), 1)
    ]
    payload = {"release": "v1", "role": role, "unit": customer, "shown": shown, "facets": {"rung": "single"}, "ms": 2.0}
    application = more.get("application", "recommendation")
    at = NOON + timedelta(hours=hours)
    return Event(f"{request}:{role}", application, "impression", at, payload, request, None, customer)


def told(name: str, kind: Any, payload: dict[str, Any], hours: float = 1, **links: str | None) -> Event:
    return Event(name, links.pop("application", None) or "recommendation", kind, NOON + timedelta(hours=hours), payload,
                 links.get("request"), links.get("order"), links.get("customer"))  # fmt: skip


def bought(name: str, products: Sequence[str], hours: float = 1, quantity: float = 1, **links: str | None) -> Event:
    items = [{"product_id": product, "quantity": quantity, "amount": None} for product in products]
    return told(name, "purchase", {"items": items, "store_id": None}, hours, order=name, **links)


def values(impressions: Sequence[Event], feedback: Sequence[Event], **asked: float) -> dict[str, float]:
    found = rewards(frame(impressions), frame(feedback), **asked)
    return dict(found.select("event_id", "value").iter_rows())


def test_a_click_a_cart_and_a_purchase_of_what_was_shown_are_hits_and_a_dismissal_is_none() -> None:
    shown = [answer(request, ["a", "b"]) for request in ("r1", "r2", "r3", "r4", "r5")]
    heard = [
        told("e1", "click", {"product_id": "b", "position": 2}, request="r1"),
        told("e2", "cart", {"product_id": "a", "position": None}, request="r2"),
        bought("e3", ["z", "a"], hours=1000, request="r3"),
        told("e4", "dismiss", {"product_id": "a", "position": 1}, request="r4"),
        told("e5", "click", {"product_id": "not shown", "position": None}, request="r5"),
    ]
    found = rewards(frame(shown), frame(heard))
    assert found["value"].to_list() == [1, 1, 1, 0, 0] and set(found["measure"]) == {"hit"}
    assert found["n"].to_list() == [2] * 5 and found["release"].to_list() == ["v1"] * 5
    assert set(found["unit"]) == {"c1"} and set(found["role"]) == {"champion"}


def test_a_purchase_without_a_request_counts_for_the_last_answer_before_it_within_the_window() -> None:
    shown = [answer("early", ["a"], 0), answer("late", ["a"], 5), answer("after", ["a"], 9)]
    assert values(shown, [bought("o", ["a"], 6, customer="c1")]) == {
        "early:champion": 0, "late:champion": 1, "after:champion": 0,
    }  # fmt: skip
    assert set(values(shown, [bought("o", ["a"], 6, customer="c2")]).values()) == {0}
    assert values(shown, [bought("o", ["a"], 9 + 23, customer="c1")])["after:champion"] == 1
    assert set(values(shown, [bought("o", ["a"], 9 + 25, customer="c1")]).values()) == {0}
    assert values(shown, [bought("o", ["a"], 9 + 25, customer="c1")], window_hours=26)["after:champion"] == 1


def test_the_last_answer_gets_no_credit_for_what_an_earlier_one_showed() -> None:
    """Else one purchase would count for several answers, or for those that had nothing to do with it."""
    shown = [answer("early", ["a"], 0), answer("late", ["b"], 5)]
    assert set(values(shown, [bought("o", ["a"], 6, customer="c1")]).values()) == {0}


def test_an_event_that_names_its_request_counts_for_no_other() -> None:
    shown = [answer("r1", ["a"], 0), answer("r2", ["a"], 1)]
    assert values(shown, [bought("o", ["a"], 2, request="r1", customer="c1")]) == {"r1:champion": 1, "r2:champion": 0}
    assert set(values(shown, [bought("o", ["a"], 2, request="elsewhere", customer="c1")]).values()) == {0}


def test_champion_and_shadow_answer_one_request_and_are_both_judged() -> None:
    shown = [answer("r", ["a"], 0), answer("r", ["b"], 0.001, role="shadow")]
    for links in ({"request": "r"}, {"customer": "c1"}):
        assert values(shown, [bought("o", ["b"], 1, **links)]) == {"r:champion": 0, "r:shadow": 1}
        assert values(shown, [bought("o", ["a", "b"], 1, **links)]) == {"r:champion": 1, "r:shadow": 1}


def test_each_application_has_its_own_last_answer() -> None:
    shown = [answer("r1", ["a"], 0), answer("r2", ["a"], 1, application="promotions")]
    heard = [bought("o", ["a"], 2, customer="c1"), bought("p", ["z"], 2, application="promotions", customer="c2")]
    assert values(shown, heard) == {"r1:champion": 1, "r2:champion": 1}


def test_what_was_returned_is_no_hit() -> None:
    assert values([answer("r", ["a"])], [bought("o", ["a"], quantity=-1, request="r")]) == {"r:champion": 0}


def test_an_application_that_nobody_hears_of_is_not_judged() -> None:
    """A label is no product that nobody bought, and silence of the whole feed is no bad answer."""
    labels = answer("r", ["refund"], application="support")
    assert values([labels, answer("s", ["a"])], [bought("o", ["b"], request="s")]) == {"s:champion": 0}
    assert values([answer("s", ["a"])], []) == {}


def test_a_forecast_is_judged_by_the_sales_that_came_in() -> None:
    keys = ["s|2025-06-02", "s|2025-06-09", "t|x|2025-06-02", "t|x|2025-06-09"]
    shown = [answer("r", keys, customer=None, application="demand", values=[10.0, 20.0, 0.0, 5.0])]
    sold = [("s", "2025-06-02", 30.0), ("t|x", "2025-06-02", 0.0), ("t|x", "2025-06-09", 0.0), ("u", "2025-06-02", 1.0)]
    heard = [
        told(f"e{number}", "sales", {"series_id": series, "period": period, "units": units}, application="demand")
        for number, (series, period, units) in enumerate(sold)
    ]
    (row,) = rewards(frame(shown), frame(heard)).iter_rows(named=True)
    assert (row["measure"], row["n"]) == ("error", 3)
    assert row["value"] == pytest.approx((20 / 40 + 0 + 1) / 3)
    later = told("e9", "sales", {"series_id": "s", "period": "2025-06-02", "units": 10.0}, 9, application="demand")
    (row,) = rewards(frame(shown), frame([later, *heard])).iter_rows(named=True)
    assert row["value"] == pytest.approx(1 / 3), "a figure that was put right holds"
    assert rewards(frame(shown), frame([])).is_empty(), "nothing is known yet"


def test_a_correction_tells_of_every_answer_of_its_application() -> None:
    shown = [answer(request, ["refund"], application="support") for request in ("r1", "r2")]
    shown.append(answer("r3", ["a"]))
    correction = {"subject": "m1", "label": "complaint", "by": None}
    found = rewards(frame(shown), frame([told("e", "correction", correction, request="r2", application="support")]))
    assert found.select("event_id", "measure", "value", "n").rows() == [
        ("r1:champion", "corrected", 0.0, 1), ("r2:champion", "corrected", 1.0, 1),
    ]  # fmt: skip


def test_shown_rows_say_which_product_was_taken() -> None:
    shown = [answer("r", ["a", "b", "c"]), answer("f", ["s|2025-06-02"], values=[1.0], application="demand")]
    found = shown_rows(frame(shown), frame([bought("o", ["c", "a"], customer="c1")]))
    assert found.select("key", "position", "propensity", "reward").rows() == [
        ("a", 1, 1.0, 1.0), ("b", 2, 0.5, 0.0), ("c", 3, 1 / 3, 1.0),
    ]  # fmt: skip
    assert found["customer_id"].to_list() == ["c1"] * 3


def test_nothing_at_all_is_no_rows() -> None:
    assert rewards(frame([]), frame([])).is_empty() and shown_rows(frame([]), frame([])).is_empty()


PRODUCTS, CUSTOMERS, HOURS = st.sampled_from("abcd"), st.sampled_from(["c1", "c2", None]), st.floats(0, 48)
REQUESTS = st.sampled_from(["r0", "r1", "r2", "r3", None])


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """Answers with products or forecasts, and whatever may be told of them."""
    shown = []
    for number in range(draw(st.integers(0, 5))):
        role = draw(st.sampled_from(["champion", "shadow"]))
        if draw(st.booleans()):
            keys, figures = draw(st.lists(PRODUCTS, min_size=1, unique=True)), None
        else:
            keys = ["s|2025-06-02", "s|2025-06-09"]
            figures = draw(st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
        more = {"role": role} | ({"values": figures, "application": "demand"} if figures else {})
        shown.append(answer(f"r{number}", keys, draw(HOURS), draw(CUSTOMERS), **more))
    heard = []
    for number in range(draw(st.integers(0, 6))):
        links = {"request": draw(REQUESTS), "customer": draw(CUSTOMERS)}
        kind = draw(st.sampled_from(["click", "purchase", "sales", "correction"]))
        if kind == "purchase":
            heard.append(bought(f"e{number}", draw(st.lists(PRODUCTS, max_size=3)), draw(HOURS), **links))
            continue
        payload = {
            "click": {"product_id": draw(PRODUCTS), "position": None},
            "sales": {"series_id": "s", "period": "2025-06-09", "units": draw(st.floats(0, 1e6))},
            "correction": {"subject": "m", "label": "l", "by": None},
        }[kind]
        heard.append(told(f"e{number}", kind, payload, draw(HOURS), **links))
    return shown, heard


@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters_and_values_are_shares(
    history: tuple[list[Event], list[Event]], random: Any
) -> None:
    shown, heard = history
    mixed = [[*events, *(event for event in events if random.random() < 0.5)] for events in history]
    for events in mixed:
        random.shuffle(events)
    for judge in (rewards, shown_rows):
        assert_frame_equal(judge(frame(mixed[0]), frame(mixed[1])), judge(frame(shown), frame(heard)))
    found = rewards(frame(shown), frame(heard))
    assert found["value"].is_between(0, 1).all() and found["n"].ge(1).all()
    assert not found.select("event_id", "measure").is_duplicated().any()


@settings(max_examples=60, deadline=None)
@given(histories())
def test_a_purchase_without_a_request_is_credited_to_one_request_at_most(
    history: tuple[list[Event], list[Event]],
) -> None:
    shown, heard = history
    orders = [event for event in heard if event.kind == "purchase" and event.request_id is None]
    for order in orders:
        found = shown_rows(frame(shown), frame([order])).filter(pl.col("reward") > 0)
        assert found["request_id"].n_unique() <= 1
        assert set(found["customer_id"]) <= {order.customer_id}
        assert (found["at"] <= order.at).all()


def test_of_one_event_told_twice_the_first_that_was_received_holds() -> None:
    first, second = bought("o", ["a"], customer="c1"), bought("o", ["b"], customer="c1")
    received = pl.Series([NOON, NOON + timedelta(hours=1)], dtype=pl.Datetime("us", "UTC"))
    both = frame([first, second]).with_columns(received_at=received)
    for feedback in (both, both.reverse()):
        assert rewards(frame([answer("r", ["a"])]), feedback)["value"].to_list() == [1.0]
