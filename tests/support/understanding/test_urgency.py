"""How pressing a message is follows from words that can be shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.support.understanding.urgency import urgency


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("", "normal"), ("Where is my order?", "normal"), ("This is urgent", "high"), ("This is not urgent", "low"),
        ("no rush", "low"), ("我的卡被盗刷了", "high"), ("不急，有空再看", "low"), ("急诊", "normal"),
    ],
)  # fmt: skip
def test_how_pressing_a_message_is(text: str, level: str) -> None:
    assert urgency(text).level == level


def test_mood_has_a_sign_and_not_turns_it() -> None:
    assert urgency("great, I love it").sentiment > 0 > urgency("你们是骗子").sentiment
    assert urgency("I am not happy").sentiment < 0 == urgency("").sentiment


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_sentiment_lies_between_the_extremes(text: str) -> None:
    assert -1 <= urgency(text).sentiment <= 1
