"""An answer to the shop's question is no new wish: what of a conversation bears on the message at hand."""

from __future__ import annotations

import pytest

from components.support.answer.ask import Turn
from components.support.answer.follow_up import Questions, answered, chosen, n_words
from components.support.answer.reply import worded
from components.support.answer.wording import OPEN, WHICH
from components.support.taxonomy import STARTER, Taxonomy

TAXONOMY = Taxonomy.load(STARTER)
QUESTIONS = Questions(TAXONOMY)
CANCEL, STATUS = TAXONOMY["cancel_order"], TAXONOMY["order_status"]
WHICH_ONE = worded(WHICH, "en", first=CANCEL.title.en, second=STATUS.title.en).text
TITLES = [CANCEL.title, STATUS.title]


def shop(text: str, **more: object) -> Turn:
    return Turn("shop", text, **more)  # type: ignore[arg-type]


def test_a_question_between_two_intents_is_recognised_by_their_titles() -> None:
    found = QUESTIONS.context([Turn("customer", "my order"), shop(WHICH_ONE)])
    assert found.between == ("cancel_order", "order_status") and found.earlier == ("my order",)


@pytest.mark.parametrize(
    ("message", "picked"),
    [
        ("the first", "cancel_order"), ("2", "order_status"), ("第二个", "order_status"), ("前者。", "cancel_order"),
        ("Where is my order please", "order_status"), ("取消订单", "cancel_order"), ("both", None), ("yes", None),
        ("2 of them are broken", None), ("cancel my order. where is my order", None),
    ],
)  # fmt: skip
def test_a_choice_is_read_by_place_or_title(message: str, picked: str | None) -> None:
    assert chosen(message, ("cancel_order", "order_status"), TITLES) == picked


def test_a_question_for_a_need_is_recognised_by_its_words() -> None:
    found = QUESTIONS.context([shop("Of course! " + STATUS.questions["order_number"].en)])
    assert ("order_status", "order_number") in found.asked and found.needs == {"order_number"}


def test_only_the_last_words_are_a_question_to_be_answered() -> None:
    question = STATUS.questions["order_number"].zh
    assert not QUESTIONS.context([shop(question), Turn("customer", "算了")]).asked


def test_questions_count_as_long_as_nothing_else_was_said() -> None:
    asks = [shop(OPEN.en), Turn("customer", "?"), shop(WHICH_ONE), shop("Which colour?", decision="clarify")]
    assert QUESTIONS.context(asks).questions == 3
    assert QUESTIONS.context([*asks[:3], shop("Thanks."), shop(OPEN.en)]).questions == 1


@pytest.mark.parametrize(
    ("message", "need", "value"),
    [
        ("88213", "order_number", "88213"), ("it's KX-5520, thanks", "order_number", "KX-5520"),
        ("订单号是20488317", "order_number", "20488317"), ("A1111 or B2222", "order_number", None),
        ("I don't know", "order_number", None), ("It's the Blue Harbor mug.", "product", "Blue Harbor mug"),
        ("是蓝色的马克杯", "product", "蓝色的马克杯"), ("mug " * 50, "product", None), ("", "product", None),
        ("tomorrow", "date", None), ("where is it? I paid in 2023 for 3 items", "order_number", None),
        ("give me 5min please", "order_number", None), ("it is room 301", "order_number", None),
        ("it's 2023, thanks", "order_number", None), ("2023", "order_number", "2023"),
        ("my order number is 9981, thank you", "order_number", "9981"),
        ("好的，单号是9981，谢谢", "order_number", "9981"),
    ],
)  # fmt: skip
def test_what_a_bare_answer_gives(message: str, need: str, value: str | None) -> None:
    assert answered(message, need) == value


def test_placeholders_and_numbers_are_no_words() -> None:
    assert n_words("<ORDER> 123 <EMAIL>!") == 0 and n_words("order <ORDER>") == 1 and n_words("订单<ORDER>") == 2
