"""Personal data leaves a message however it is written, nothing else does, and only memory knows the way back."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.support.taxonomy import STARTER, messages
from components.support.understanding.masking import KINDS, PLACEHOLDER, mask

EMAILS = (
    "amy.lin@example.com", "AMY_LIN+shop@mail.example.co.uk", "amy(at)example.com", "amy [at] example [dot] com",
    "amy at example dot com", "amy @ example . com", "ａｍｙ＠ｅｘａｍｐｌｅ．ｃｏｍ", "a\u200bmy@exam\u200bple.com",
    "amy艾特example点com", "amy＠example。com", "jürgen@beispiel.de", "amy@gmail", "12345678@qq.com",
    "_amy@example.com", "a" * 80 + "@example.com", "amy@example dot com",
)  # fmt: skip
PHONES = (
    "13800138000", "138 0013 8000", "138-0013-8000", "+86 138 0013 8000", "一三八零零一三八零零零",
    "１３８００１３８０００",
    "138.0013.8000", "1 3 8 0 0 1 3 8 0 0 0", "138\u200b0013\u200b8000", "幺三八 零零幺三 八零零零", "+49 30 901820",
    "020 7946 0000", "(212) 555-0142", "555-0142", "0912-345-678", "010-88886666", "+1 (212) 555 0142", "٠٧٧٠٠٩٠٠١٢٣",
    "138–0013–8000",
)  # fmt: skip
CARDS = (
    "4111 1111 1111 1111", "4111111111111111", "4111-1111-1111-1111", "4111.1111.1111.1111",
    "３７８２ ８２２４６３ １０００５",
    "5500 0055 5555 5559", "4111 1111 1111 1112",
)  # fmt: skip


def masked(text: str) -> str:
    return mask(text).text


@pytest.mark.parametrize("sentence", ["Please write to {} today", "请发到{}谢谢", "我的邮箱是{}，麻烦了", "mail: {}"])
@pytest.mark.parametrize("written", EMAILS)
def test_email_in_any_spelling(sentence: str, written: str) -> None:
    assert masked(sentence.format(written)) == sentence.format("<EMAIL>")


def test_email_of_a_name_in_characters() -> None:
    assert masked("Please write to 张三@例子.中国 today") == "Please write to <EMAIL> today"


@pytest.mark.parametrize("sentence", ["Call me on {} please", "我的电话{}，谢谢", "手机号：{}", "tel {}"])
@pytest.mark.parametrize("written", PHONES)
def test_telephone_in_any_spelling(sentence: str, written: str) -> None:
    assert masked(sentence.format(written)) == sentence.format("<PHONE>")


@pytest.mark.parametrize("sentence", ["my card {} was refused", "卡号{}付不了", "I typed {}, twice"])
@pytest.mark.parametrize("written", CARDS)
def test_card_in_any_spelling_even_with_a_wrong_digit(sentence: str, written: str) -> None:
    assert masked(sentence.format(written)) == sentence.format("<CARD>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, my name is Martha Ellwood and I wait", "Hello, my name is <NAME> and I wait"),
        ("my name is john smith, order missing", "my name is <NAME>, order missing"),
        ("my name is john and i want", "my name is <NAME> and i want"),
        ("I'm Nora Fielding, already a customer", "I'm <NAME>, already a customer"),
        ("ask Mr. O'Brien please", "ask Mr. <NAME> please"),
        ("Where is it?\nKind regards,\nTheodora J. Quill", "Where is it?\nKind regards,\n<NAME>"),
        ("name: 王小明", "name: <NAME>"),
        ("我叫林小满，手机没电了", "我叫<NAME>，手机没电了"),
        ("我叫李明我的订单呢", "我叫<NAME>我的订单呢"),
        ("我叫欧阳娜娜，帮我查", "我叫<NAME>，帮我查"),
        ("我叫阿依古丽·买买提", "我叫<NAME>"),
        ("收件人：张伟，谢谢", "收件人：<NAME>，谢谢"),
        ("我是陈念，等了三天", "我是<NAME>，等了三天"),
        ("請轉給陳大文先生", "請轉給<NAME>先生"),
        ("我叫Amy Lin，想退货", "我叫<NAME>，想退货"),
    ],
)
def test_names_after_a_cue(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("send it to 44 Invented Street, Exeter, NW1 6XE please", "send it to <ADDRESS> please"),
        ("I moved to Flat 2, 30 Example Street, Hull.", "I moved to <ADDRESS>."),
        ("my address is 12 Sample Close, York", "my address is <ADDRESS>"),
        ("to 1600 Pennsylvania Avenue, Washington, DC 20500", "to <ADDRESS>"),
        ("Lieferung an Hauptstraße 12, danke", "Lieferung an <ADDRESS>, danke"),
        ("请把地址改成浙江省杭州市西湖区文三路123号5栋2单元601，谢谢", "请把地址改成<ADDRESS>，谢谢"),
        ("寄到长沙市虚构路44号。", "寄到<ADDRESS>。"),
        ("是5栋2单元601", "是<ADDRESS>"),
        ("收貨地址改成台北市大安區和平東路一段12號3樓，謝謝", "收貨地址改成<ADDRESS>，謝謝"),
        ("地址是成都市锦江区红星路二段７０号", "地址是<ADDRESS>"),
        ("postcode 90210", "postcode <ADDRESS>"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("where is order #A12345?", "where is order #<ORDER>?"),
        ("订单号2023110455到哪了", "订单号<ORDER>到哪了"),
        ("ORD-99812 请取消", "<ORDER> 请取消"),
        ("尾号7781那单", "尾号<ORDER>那单"),
        ("track 1Z-EX-004512", "track <ORDER>"),
        ("order 662 190 please", "order <ORDER> please"),
        ("refund to DE89 3704 0044 0532 0130 00 please", "refund to <IBAN> please"),
        ("iban gb82west12345698765432", "iban <IBAN>"),
        ("身份证11010519491231002X", "身份证<ID>"),
        ("my password is hunter2!", "my password is <SECRET>!"),
        ("验证码：839201", "验证码：<SECRET>"),
        ("用户名florabell", "用户名<ACCOUNT>"),
        ("customer number 0047712 is me", "customer number <ACCOUNT> is me"),
        ("my card ending in 4242", "my card ending in <CARD>"),
        ("call 020 7946 0000 or 020 7946 0001", "call <PHONE> or <PHONE>"),
    ],
)
def test_references_and_accounts(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "😀😀", "Where is my order?", "I paid £240 on 2024-03-05, that is 20% too much",
        "12000元的电脑", "is 180 cm and 90 kg size XL?", "the 256 GB version in 2023", "open 10:30-12:00",
        "my name is wrong on the invoice", "我叫了外卖", "帮我叫辆车", "让我付款", "3 orders on the way",
        "I'm Not Happy",
        "你们经理呢", "满200减30", "between 100-200 dollars", "error 404", "code WELCOME10", "model SM-220",
        "please ship to South Korea", "I looked at shop.example at noon", "meet at 5", "密码忘了怎么办",
        "reset my password please", "寄给顾客", "wechat pay failed", "微信支付失败", "市区街道很堵", "市区路上很堵",
        "birthday is on 3 May", "my husband, please", "my wife ordered it", "one two three", "Thanks, Great",
    ],
)  # fmt: skip
def test_what_is_not_personal_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call 1380013800O", "call <PHONE>"),
        ("138，0013，8000", "<PHONE>"),
        ("138*0013*8000", "<PHONE>"),
        ("call zero seven seven zero zero nine zero zero one two three", "call <PHONE>"),
        ("to j o h n @ g m a i l . c o m today", "to <EMAIL> today"),
        ("john%40gmail.com", "<EMAIL>"),
        ("https://shop.example/?email=a%40b.com", "https://shop.example/?email=<EMAIL>"),
        ("john dot smith at gmail dot com", "<EMAIL>"),
        ("加我VX: zhangsan88", "加我VX: <ACCOUNT>"),
        ("wechat: john_s", "wechat: <ACCOUNT>"),
        ("my line id john_s", "my line id <ACCOUNT>"),
        ("telegram @john_s please", "telegram <ACCOUNT> please"),
        ("我住在杭州市西湖区文三路", "我住在<ADDRESS>"),
        ("广东省深圳市南山区科技园", "<ADDRESS>"),
        ("我名叫李雷", "我名叫<NAME>"),
        ("请寄给李雷，谢谢", "请寄给<NAME>，谢谢"),
        ('{"name":"John Smith"}', '{"name":"<NAME>"}'),
        ("my husband, Tom Baker, ordered", "my husband, <NAME>, ordered"),
        ("Where is it? Regards, Mike", "Where is it? Regards, <NAME>"),
        ("born on 3 May 1990", "born on <ID>"),
        ("我出生于1990年5月3日", "我出生于<ID>"),
        ("my name is Nguyễn Văn An and I wait", "my name is <NAME> and I wait"),
    ],
)
def test_what_hides_in_an_unusual_spelling(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_the_same_value_has_the_same_number_and_another_one_another() -> None:
    found = mask("write to amy@example.com, AMY@example.com or bob@example.com")
    assert found.numbered == "write to <EMAIL_1>, <EMAIL_1> or <EMAIL_2>"
    assert found.text == "write to <EMAIL>, <EMAIL> or <EMAIL>"
    assert (
        found.fill("to <EMAIL_2>, not <EMAIL_1> or <EMAIL_3>") == "to bob@example.com, not amy@example.com or <EMAIL_3>"
    )


def test_placeholders_that_a_customer_types_are_not_filled() -> None:
    found = mask("<EMAIL_1> is not amy@example.com")
    assert found.fill("<EMAIL_1>") == "<EMAIL_1>"
    assert found.fill(found.numbered) == "<EMAIL_1> is not amy@example.com"
    assert found.text == "<EMAIL> is not <EMAIL>"


def test_spans_say_where_it_stood_in_the_raw_text() -> None:
    raw = "ok\u200b我叫林小满，a\u200bmy＠example.com"
    for span in mask(raw).found:
        assert raw[span.start : span.end] == span.value
    assert [span.kind for span in mask(raw).found] == ["NAME", "EMAIL"]


def test_what_is_printed_holds_nothing_personal() -> None:
    shown = repr(mask("my name is Martha Ellwood, 13800138000"))
    assert "Ellwood" not in shown
    assert "138" not in shown


def test_the_starter_corpus_is_masked_once_for_all() -> None:
    texts = messages(STARTER)["text"].to_list()
    once = [masked(text) for text in texts]
    assert [masked(text) for text in once] == once
    assert not any("@" in text for text in once)
    assert sum(a != b for a, b in zip(texts, once, strict=True)) > 300


PIECES = st.sampled_from(
    [
        *EMAILS[:12], *PHONES, *CARDS, *(f"<{kind}>" for kind in KINDS), "<EMAIL_1>", "<", ">", "my name is ", "Mr ",
        "我叫",
        "李明", "Bob Stone", "order ", "#", "A12345", "订单号", "phone ", "电话", "card ", "address is ",
        "12 High Street",
        "文三路", "12号", "5栋", "password: ", "s3cret!", "or ", "and ", "，", ". ", ", ", "\n", " ", "  ", "-", "1",
        "22",
        "333", "4444", "一二三", "七八九", "DE89", "3704", "to ", "at ", " dot ", "com", "@", "\u200b", "\ue000", "x",
        "$", "元", "年", "是",
        "regards,\n", "thanks - ", "Ann", "尾号", "ending in ", "Flat 2", "NW1 6XE", "地址是", "上海市", "小区",
        "用户名", "qq ",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
@example("phone 020 7946 0000 or 020 7946 0001")
def test_masking_again_changes_nothing(text: str) -> None:
    once = mask(text)
    assert mask(once.text).text == once.text
    assert mask(once.numbered).text == once.text


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_masked_and_stays_masked(text: str) -> None:
    once = mask(text)
    assert masked(once.text) == once.text


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=10).map("".join))
def test_the_way_back_is_exact_where_each_value_is_spelled_in_one_way(text: str) -> None:
    found = mask(text)
    spelled = {span.placeholder: span.value for span in found.found}
    if all(spelled[span.placeholder] == span.value for span in found.found):
        assert found.fill(found.numbered) == text


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([*EMAILS, *PHONES, *CARDS]),
    st.lists(st.sampled_from(["hello ", "请问", "、", "! ", "why? "]), max_size=4),
)
def test_no_value_survives_whatever_stands_around_it(value: str, around: list[str]) -> None:
    words = "".join(around)
    left = PLACEHOLDER.sub("", masked(f"{words}电话或邮箱：{value}，{words}"))
    assert value not in left
    assert not any(character.isdecimal() for character in left)


HOSTILE = (
    "a", "1", "1 ", "12-", "a@", "a.", "my name is ", "我叫", "路1号", "市区", "1234 5678 ", "+", "(", "<", "<EMAIL>",
    "A1-",
    "\u200b", "一", "一 ", " at ", "x at y dot ", "I am Bob ", "12 Aa Bb ", "Flat 1, ", "- Ab ", "thanks\n", "\n",
    "address is 1",
    "password: ", "DE89 ", "020 7946 0000 ", "number is ", "王先生", "😀",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("part", HOSTILE)
def test_a_long_hostile_message_ends(part: str) -> None:
    """A pattern that backtracks without bound would not return within the time limit of the tests."""
    text = (part * 60_000)[:60_000]
    assert masked(masked(text)[:60_000]) is not None


def test_a_message_of_a_megabyte() -> None:
    text = "Where is order #A12345? 我的电话13800138000。 " * 25_000
    found = mask(text)
    assert found.text == "Where is order #<ORDER>? 我的电话<PHONE>。 " * 25_000
