"""Replies are filled with what was stated, once, and with nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.support.answer.reply import LONGEST, draft, fill, filled, plain
from components.support.taxonomy import STARTER, Intent, Taxonomy

FACTS = {"order_status": "on its way", "delivery_date": "Friday"}

INTENT = Taxonomy.load(STARTER)["order_status"]


@pytest.fixture
def order_status() -> Intent:
    return INTENT


def test_a_reply_says_what_customer_and_shop_stated(order_status: Intent) -> None:
    found = draft(order_status, "en", {"order_number": ["A-1"]}, FACTS)
    assert found.is_complete
    assert filled(found).text == (
        "Thank you for your patience. Your order A-1 is currently on its way, and it should arrive on Friday."
    )


def test_what_nobody_stated_is_missing_and_not_made_up(order_status: Intent) -> None:
    found = draft(order_status, "zh", {}, {"order_status": "已发货", "delivery_date": "  "})
    assert (found.needs, found.facts) == (("order_number",), ("delivery_date",))
    with pytest.raises(KeyError):
        filled(found)


def test_facts_that_no_slot_asks_for_are_left_out(order_status: Intent) -> None:
    found = draft(order_status, "en", {"order_number": ["1"]}, {**FACTS, "secret": "x", "refund_amount": "9"})
    assert set(found.slots) == {"order_number", "order_status", "delivery_date"}


def test_several_orders_leave_open_which_is_meant_unless_the_shop_knows(order_status: Intent) -> None:
    told = {"order_number": ["A-1", "B-2"]}
    assert draft(order_status, "en", told, FACTS).needs == ("order_number",)
    known = draft(order_status, "en", told, {**FACTS, "order_number": "b2"})
    assert known.is_complete and known.slots["order_number"] == "b2"


def test_one_order_written_twice_is_one(order_status: Intent) -> None:
    assert draft(order_status, "en", {"order_number": ["#A-12 345", "a12345"]}, FACTS).is_complete


def test_facts_about_another_order_are_not_told(order_status: Intent) -> None:
    found = draft(order_status, "en", {"order_number": ["A-1"]}, {**FACTS, "order_number": "A-2"})
    assert found.against == ("order_number",) and not found.is_complete


def test_braces_in_values_are_text() -> None:
    slots = {"order_number": "{delivery_date}{0}{order_number.__class__}", "delivery_date": "{order_number}"}
    assert fill("{order_number} on {delivery_date}", slots) == (
        "{delivery_date}{0}{order_number.__class__} on {order_number}"
    )


@settings(deadline=None)  # other work on the machine may stop any of them for a while
@given(
    st.dictionaries(st.sampled_from(["order_number", *FACTS]), st.text(max_size=50), max_size=3), st.text(max_size=30)
)
def test_a_reply_is_its_template_and_the_values_in_order(facts: dict[str, str], number: str) -> None:
    found = draft(INTENT, "en", {"order_number": [number]}, facts)
    values = {plain(value) for value in (number, *facts.values())}
    assert all(value in values and value for value in found.slots.values())
    if found.is_complete:
        rest = filled(found).text
        for part in ("Your order ", found.slots["order_number"], " is currently ", found.slots["order_status"]):
            _, sign, rest = rest.partition(part)
            assert sign == part
        assert found.slots["delivery_date"] in rest


@settings(deadline=None)  # other work on the machine may stop any of them for a while
@given(st.text(max_size=3000))
def test_a_value_is_one_line_of_visible_text(value: str) -> None:
    shown = plain(value)
    assert len(shown) <= LONGEST and shown == plain(shown)
    assert "\n" not in shown and "\u202e" not in shown and "\x00" not in shown
    shown.encode()
