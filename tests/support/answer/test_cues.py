"""What customers say about the conversation itself, in both languages; and what only sounds like it."""

from __future__ import annotations

import pytest

from components.support.answer.cues import asks_for_person, denies, not_helped
from components.support.taxonomy import Bilingual

CANCEL = Bilingual(en="Cancel my order", zh="取消订单")
REFUND = Bilingual(en="Request a refund", zh="申请退款")


@pytest.mark.parametrize(
    "text",
    [
        "Can I talk to a human please", "let me speak with your manager", "agent please!", "put me through to someone",
        "I want a real person", "转人工", "我要真人客服", "叫你们客服经理来", "请帮我转接到人工服务", "轉人工，謝謝",
    ],
)  # fmt: skip
def test_a_wish_for_a_person_is_heard(text: str) -> None:
    assert asks_for_person(text)


@pytest.mark.parametrize(
    "text",
    [
        "I don't want to talk to a human, just tell me the status", "不要转人工，直接告诉我", "你们卖人工智能音箱吗",
        "找人工智能手表", "where is my order", "the personal trainer book", "",
    ],
)  # fmt: skip
def test_no_wish_for_a_person_is_made_up(text: str) -> None:
    assert not asks_for_person(text)


@pytest.mark.parametrize(
    "text",
    ["please don't cancel it, sorry", "I do not want to cancel anything", "不要取消", "别给我取消了",
     "我不想取消订单", "I am not going to cancel"],
)  # fmt: skip
def test_what_is_not_wanted_is_heard(text: str) -> None:
    assert denies(text, CANCEL)


@pytest.mark.parametrize(
    "text",
    ["I don't want it any more, cancel it", "不想要了，取消吧", "要不要取消再下一次单", "能不能取消", "cancel my order",
     "it did not arrive, so cancel it", "我特别想取消", "是不是取消成功了"],
)  # fmt: skip
def test_a_wish_is_not_taken_for_its_opposite(text: str) -> None:
    assert not denies(text, CANCEL)


def test_a_denial_is_about_one_intent() -> None:
    assert denies("我不要退款，我要换货", REFUND) and not denies("我不要换货，我要退款", REFUND)


@pytest.mark.parametrize(
    "text", ["That doesn't help", "not what I asked", "答非所问", "你说的没用", "I already told you"]
)
def test_an_answer_that_did_not_help(text: str) -> None:
    assert not_helped(text)


@pytest.mark.parametrize("text", ["can you help me", "优惠券没用上", "thanks, that helped"])
def test_no_failure_is_made_up(text: str) -> None:
    assert not not_helped(text)


def test_long_messages_take_no_time_to_speak_of() -> None:
    for text in ("do not want to " * 70_000, "不要" * 500_000, "talk to " * 130_000, "a" * 1_000_000):
        asks_for_person(text), denies(text, CANCEL), not_helped(text)
