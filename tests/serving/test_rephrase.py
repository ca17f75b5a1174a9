"""Other words for a reply: only where they claim the same, from a stand-in of an OpenAI-compatible server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.errors import ParamsError
from components.support.answer.ask import Reply
from components.support.answer.reply import fill
from components.support.rephrasing import rephraser as rephraser_module
from components.support.rephrasing.claims import changed
from components.support.rephrasing.rephraser import Endpoint, Rephraser
from components.support.taxonomy import STARTER, Taxonomy

TEMPLATES = [
    words.within(language)
    for intent in Taxonomy.load(STARTER).intents
    for words in (intent.replies, *intent.questions.values())
    for language in ("en", "zh")
]
EN = "Your order {order_number} is currently {order_status}, and it should arrive on {delivery_date}."
ZH = "您的订单 {order_number} 目前状态为：{order_status}，预计 {delivery_date} 送达。"


@pytest.mark.parametrize(
    ("template", "other"),
    [
        (EN, "Good news about your order {order_number}: it is {order_status} and should arrive on {delivery_date}."),
        (EN, "We expect order {order_number} (currently {order_status}) to arrive on {delivery_date}. Thank you!"),
        (
            ZH,
            "您好，您的订单 {order_number} 现在的进度是 {order_status}，大约 {delivery_date} 可以送达。".replace(
                "现在", "目前"
            ),
        ),
        ("We cannot change it any more.", "Unfortunately it can not be changed any more."),
        ("Could you tell me the order number?", "Would you let me know the order number, please?"),
        ("Refunds take 5 working days.", "It takes 5 working days until you have your refund."),
        ("请问您的订单号是多少？", "麻烦告诉我您的订单号好吗？"),
        ("我们不能修改地址。", "不好意思，地址没法修改了。"),
    ],
)
def test_the_same_in_other_words_is_accepted(template: str, other: str) -> None:
    assert changed(template, other) is None


@pytest.mark.parametrize(
    ("template", "other", "why"),
    [
        (EN, EN.replace("{delivery_date}", "Friday"), "slots"),
        (EN, EN + " {delivery_date}", "slots"),
        (EN, EN.replace("{order_status}", "{order_statu}"), "slots"),
        (EN, EN + " {{x}}", "slots"),
        ("{refund_amount} is {refund_status}.", "{refund_status} is {refund_amount}.", "slots"),
        (EN, EN + " You may keep the item.", "claims"),
        (EN, EN + " It comes at noon.", "claims"),
        (EN, EN + " It comes to your door.", "claims"),
        (EN, EN + " It is made of organic cotton.", "claims"),
        (ZH, ZH.replace("送达", "上午送达门口，由张师傅负责"), "claims"),
        (EN, EN + " It takes 2 days.", "numbers"),
        (EN, EN + " It takes two days.", "numbers"),
        (EN, EN + " It comes on friday.", "numbers"),
        (EN, EN + " It costs ¥20.", "characters"),
        (EN, EN + " It costs 20 yuan.", "numbers"),
        (EN, EN + " Ask for order A-17.", "numbers"),
        (EN, EN + " See example.com/track.", "characters"),
        (EN, EN + " See example.com.", "links"),
        (EN, EN + " Write to desk@example.com.", "characters"),
        (EN, EN + " Ask Peter.", "names"),
        (EN, EN + " Petersen knows more.", "names"),
        (EN, EN + " It comes with dhl.", "claims"),
        (EN, EN + " It arrives tomorrow.", "claims"),
        (EN, EN + " Shipping was free.", "claims"),
        (EN, EN + " You get a refund.", "claims"),
        (EN, EN + " We guarantee it.", "claims"),
        (EN, EN.replace("should", "should not"), "negations"),
        (EN, EN.replace("should", "shouldn't"), "negations"),
        (EN, EN + " Is that right?", "questions"),
        (EN, ZH, "language"),
        (EN, EN + " 😀", "characters"),
        (EN, EN + " <b>now</b>", "characters"),
        (EN, EN + " ordеr", "characters"),  # a Cyrillic letter
        (EN, EN + " a\u202eb", "characters"),
        (EN, EN + " Let us know if there is more that we can do for you." * 5, "length"),
        (EN, "{order_number}", "length"),
        (EN, "", "length"),
        ("Refunds take 5 working days.", "Refunds take 7 working days.", "numbers"),
        ("Refunds take 5 working days.", "Refunds take some working days.", "numbers"),
        ("Refunds take 5 working days.", "Refunds take 5 working weeks.", "claims"),
        ("Please write to desk@example.com for it.", "Please write to us for it, whenever.", "links"),
        ("Please ask our partner Hermann.", "Please ask our partner about it.", "names"),
        ("It cannot be changed any more.", "It can be changed any time more.", "negations"),
        (ZH, ZH + "三天内送达。", "numbers"),
        (ZH, ZH + "全场包邮哦。", "claims"),
        (ZH, ZH + "明天就到。", "claims"),
        (ZH, ZH + "不会再晚。", "negations"),
        (ZH, ZH + "由顺丰承运。", "claims"),
        (ZH, ZH + "请联系 Peter。", "names"),
        (ZH, ZH + "对吗？", "questions"),
        (ZH, EN, "language"),
    ],
)  # fmt: skip
def test_what_adds_or_loses_a_fact_is_refused(template: str, other: str, why: str) -> None:
    assert (changed(template, other) or "").startswith(f"{why}:")


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_reply_of_the_starter_claims_what_it_claims(template: str) -> None:
    assert changed(template, template) is None
    assert changed(template, f"  {template}\n") is None
    assert changed(template, template + " 7") is not None
    assert changed(template, template + " {extra}") is not None
    for slot in ("{order_number}", "{refund_amount}"):
        if slot in template:
            assert changed(template, template.replace(slot, "A-17")) is not None


@given(st.sampled_from(TEMPLATES), st.text(max_size=30))
def test_nothing_that_is_added_brings_a_number_a_link_or_a_slot(template: str, added: str) -> None:
    if changed(template, template + added) is None:
        assert not any(character.isnumeric() and character.isdigit() for character in added)
        assert not {"{", "}", "@", "/", "<", "$"} & set(added)


def saying(words: Callable[[str], Any]) -> Callable[[bytes], bytes]:
    """The answer of a chat completion, with what `words` makes of the template."""

    def answer(body: bytes) -> bytes:
        content = words(json.loads(body)["messages"][-1]["content"])
        return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()

    return answer


@pytest.fixture
def rephraser(elsewhere: Any, monkeypatch: pytest.MonkeyPatch) -> Rephraser:
    for name, value in (("URL", f"{elsewhere.url}/v1"), ("MODEL", "small"), ("KEY", "k3y"), ("SECONDS", "0.5")):
        monkeypatch.setenv(f"SHOP_REPHRASE_{name}", value)
    endpoint = Endpoint.of_settings()
    assert endpoint is not None and "k3y" not in repr(endpoint) and "127" not in repr(endpoint)
    return Rephraser(endpoint)


SLOTS = {"order_number": "A-12345", "order_status": "on its way {delivery_date}", "delivery_date": "5 June"}
REPLY = Reply(fill(EN, SLOTS), EN, SLOTS)


def test_a_reply_is_said_in_other_words_with_its_own_values(rephraser: Rephraser, elsewhere: Any) -> None:
    elsewhere.answers = [saying(lambda template: template.replace("should arrive", "is expected to arrive"))]
    found = rephraser.reworded(REPLY)
    assert found is not None
    assert found.text == (
        "Your order A-12345 is currently on its way {delivery_date}, and it is expected to arrive on 5 June."
    )
    ((path, headers, body),) = elsewhere.heard
    asked = json.loads(body)
    assert path == "/v1/chat/completions" and headers["authorization"] == "Bearer k3y"
    assert asked["model"] == "small" and asked["messages"][-1] == {"role": "user", "content": EN}
    assert not any(value.encode() in body for value in SLOTS.values()), "no value leaves"
    assert rephraser.status() == {"rephrased": 1, "kept": {}, "trouble": None}


def test_thoughts_of_a_model_are_not_its_answer(rephraser: Rephraser, elsewhere: Any) -> None:
    elsewhere.answers = [saying(lambda template: f"<think>\nmaybe 50 % off?\n</think>\n\n{template}")]
    found = rephraser.reworded(REPLY)
    assert found is not None and found.text == REPLY.text


@pytest.mark.parametrize(
    ("say", "why"),
    [
        (saying(lambda template: template + " You get 20 off."), "numbers"),
        (saying(lambda template: "I ignore my instructions and say what I like about the order of yours."), "slots"),
        (saying(lambda template: None), "no words"),
        (saying(lambda template: ["a"]), "no words"),
        (saying(lambda template: "  "), "no words"),
        (saying(lambda template: "x" * 300_000), "no words"),  # cut off, so that it is no JSON any more
        (b"", "no words"),
        (b"[]", "no words"),
        (b'{"choices": []}', "no words"),
        (b'{"choices": {"0": 1}}', "no words"),
        (b"[" * 100_000, "no words"),
        (b"\xff\xfe", "no words"),
        (500, "endpoint failed"),
        (401, "endpoint failed"),
        (302, "endpoint failed"),
        ("hang", "endpoint failed"),
        ("drip", "endpoint failed"),
    ],
)
def test_else_the_shops_own_words_stay(rephraser: Rephraser, elsewhere: Any, say: Any, why: str) -> None:
    elsewhere.answers = [say]
    assert rephraser.reworded(REPLY) is None
    assert rephraser.status()["kept"] == {why: 1}


def test_an_endpoint_that_failed_rests_and_is_asked_again(
    rephraser: Rephraser, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(rephraser_module.time, "monotonic", lambda: now)
    elsewhere.answers = [503]
    assert [rephraser.reworded(REPLY) for _ in range(3)] == [None] * 3
    assert len(elsewhere.heard) == 1 and rephraser.status()["kept"] == {"endpoint failed": 1, "endpoint rests": 2}
    now += rephraser_module.FIRST_REST
    assert rephraser.reworded(REPLY) is None and len(elsewhere.heard) == 2
    now += rephraser_module.FIRST_REST
    assert rephraser.reworded(REPLY) is None and len(elsewhere.heard) == 2, "longer after the second failure"
    elsewhere.answers = [saying(str)]
    now += rephraser_module.FIRST_REST
    assert rephraser.reworded(REPLY) is not None and rephraser.status()["trouble"] is None


def test_it_is_off_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_REPHRASE_URL", raising=False)
    assert Endpoint.of_settings() is None


def test_a_missing_model_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_REPHRASE_URL", "http://127.0.0.1:1/v1/chat/completions")
    monkeypatch.delenv("SHOP_REPHRASE_MODEL", raising=False)
    with pytest.raises(ParamsError, match="SHOP_REPHRASE_MODEL: expected the model"):
        Endpoint.of_settings()
    monkeypatch.setenv("SHOP_REPHRASE_MODEL", "small")
    found = Endpoint.of_settings()
    assert found is not None and found.url == "http://127.0.0.1:1/v1/chat/completions"
