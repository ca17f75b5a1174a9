"""What a message tells is read as it can be looked up, and each mention stands where it says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.support.understanding.entities import entities


def told(text: str) -> list[tuple[str, str]]:
    return [(each.kind, each.value) for each in entities(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("EUR 1.299,00", [("amount", "1299 EUR")]),
        ("1.299,50 €", [("amount", "1299.50 EUR")]),
        ("$1,200.50", [("amount", "1200.50 USD")]),
        ("3件，199元", [("quantity", "3"), ("amount", "199 CNY")]),
        ("订单20488317，199元", [("order_number", "20488317"), ("amount", "199 CNY")]),
        ("1,299元", [("amount", "1299 CNY")]),
        ("order A-48213 a48213", [("order_number", "A-48213")]),
    ],
)
def test_what_a_message_tells(text: str, expected: list[tuple[str, str]]) -> None:
    assert told(text) == expected


PARTS = st.sampled_from(
    ["order A-48213 ", "订单20488317", "，", "199元", "EUR 1.299,00 ", "\u200b", "3件", "amy@example.com "]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PARTS, max_size=8).map("".join))
def test_mentions_lie_in_the_text_in_its_order(text: str) -> None:
    found = entities(text)
    assert all(0 <= each.start < each.end <= len(text) and each.value for each in found)
    assert [each.start for each in found] == sorted(each.start for each in found)


@pytest.mark.parametrize("part", ["1", "1.299,", "订单2048，", "A-48213 ", "zero ", "x dot ", "区路"])
def test_a_long_hostile_message_ends(part: str) -> None:
    assert len(entities((part * 100_000)[:100_000])) <= 1000
