"""The language of an answer follows the words of a message, not its codes."""

import pytest

from components.support.understanding.language import language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where is my order?", "en"), ("我的订单呢", "zh"), ("我的order到哪了", "zh"), ("", "other"), ("😀", "other"),
        ("12345", "other"), ("<EMAIL>", "other"), ("Wo ist meine Bestellung, bitte?", "other"),
        ("注文はどこですか", "other"),
    ],
)  # fmt: skip
def test_language_of_a_message(text: str, expected: str) -> None:
    assert language(text) == expected


@pytest.mark.parametrize("part", ["a", "a@", "1-", "我", "_"])
def test_a_long_hostile_message_ends(part: str) -> None:
    assert language((part * 100_000)[:100_000]) in {"en", "zh", "other"}
