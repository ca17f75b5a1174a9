"""Details that are nobody's secret: coupon codes, sizes, ways of paying, numbers and links of articles."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.support.understanding.numbers import ORDER_CUE, before

COUPON = re.compile(
    r"(?:(?<![a-z])(?:coupon|voucher|promo(?:tion)?(?:al)?|discount)(?: code)?|(?<![a-z])(?<!post )(?<!zip )code"
    r"|优惠码|優惠碼|折扣码|优惠券码?|券码|口令)"
    r"(?:\s?(?:is|was|called|:|是|为)){0,2}\s?[\"'“「:]?(?P<code>[A-Za-z0-9][A-Za-z0-9\-]{3,19})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
CAPITAL_CODE = re.compile(r"(?<![A-Za-z0-9\-])[A-Z]{4,12}-?\d{1,3}(?![A-Za-z0-9\-])")
LETTERED = "XXS|XS|S|M|L|XL|XXL|XXXL|[2-6]XL"
SIZES = (
    re.compile(
        r"(?i:\bsizes?|尺码|尺碼|尺寸|码数)(?i:\s?(?:is|of|in|a|an|:|是|为)){0,2}\s?"
        rf"(?P<size>{LETTERED}|\d{{1,3}}(?:\.5)?[A-H]?)(?![\w.])"
    ),
    re.compile(rf"(?<![A-Za-z0-9'’.&\-])(?P<size>{LETTERED})(?![A-Za-z0-9'’&\-]|\.\w)"),
    re.compile(r"(?<![A-Za-z0-9])(?P<size>(?:EU|UK|US) ?\d{1,2}(?:\.5)?)(?![\w.])"),
    re.compile(r"(?<![\d.])(?P<size>\d{2,3}(?:\.5)?)(?:码|碼)"),
)
MEANS = {
    "Visa": r"visa",
    "Mastercard": r"master ?card|万事达",
    "American Express": r"amex|american express|运通卡",
    "PayPal": r"pay ?pal|贝宝",
    "Apple Pay": r"apple ?pay",
    "Google Pay": r"google ?pay|gpay",
    "Klarna": r"klarna",
    "Alipay": r"ali ?pay|支付宝|支付寶|花呗",
    "WeChat Pay": r"we ?chat pay|微信支付|微信付款|微信付|微信钱包|微信錢包",
    "UnionPay": r"union ?pay|银联|銀聯|云闪付",
    "credit card": r"credit card|信用卡",
    "debit card": r"debit card|借记卡|储蓄卡",
    "bank card": r"银行卡|銀行卡",
    "bank transfer": r"bank transfer|wire transfer|direct debit|银行转账|转账|匯款|轉帳",
    "cash on delivery": r"cash on delivery|货到付款|貨到付款",
    "gift card": r"(?:with|by|using) (?:a |my |your )?gift card",
}
PAYMENT = re.compile(
    "|".join(f"(?P<m{place}>(?<![a-z])(?:{words})(?![a-z]))" for place, words in enumerate(MEANS.values())),
    re.IGNORECASE,
)
ITEM = re.compile(
    r"(?:(?<![a-z])(?:item|article|art|product|model|sku)(?: (?:number|no|nr|code|id))?\.?"
    r"|货号|貨號|款号|商品编号|型号|型號)[\s:#]{0,3}(?:is |是)?"
    r"(?P<code>(?=[A-Za-z\-]{0,8}\d)[A-Za-z0-9][A-Za-z0-9\-]{2,20})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
LINK = re.compile(r"https?://[!-~]{4,300}", re.IGNORECASE)
Piece = tuple[int, int, str]


def coupons(text: str) -> Iterator[Piece]:
    """Codes after their cue, with a digit or in capitals; without one in capitals with a few digits."""
    last = -1
    for found in COUPON.finditer(text):
        code = found["code"]
        if any(one.isdigit() for one in code) or (code.isupper() and not found[0].isupper()):
            last = found.end("code")
            yield found.start("code"), last, code
    for found in CAPITAL_CODE.finditer(text):
        if found.end() != last and not ORDER_CUE.search(before(text, found.start())):
            yield found.start(), found.end(), found[0]


def sizes(text: str) -> Iterator[Piece]:
    """Sizes of clothing and shoes, as written; letters count in capitals alone."""
    taken: set[int] = set()
    for pattern in SIZES:
        for found in pattern.finditer(text):
            if found.start("size") not in taken:
                taken.add(found.start("size"))
                yield found.start("size"), found.end("size"), found["size"]


def means(text: str) -> Iterator[Piece]:
    """Ways of paying, under one name for both languages."""
    for found in PAYMENT.finditer(text):
        yield found.start(), found.end(), list(MEANS)[int(str(found.lastgroup)[1:])]


def articles(text: str) -> Iterator[Piece]:
    """Numbers of articles after their cue, and links."""
    yield from ((found.start("code"), found.end("code"), found["code"]) for found in ITEM.finditer(text))
    yield from ((found.start(), found.end(), found[0].rstrip(".,;)")) for found in LINK.finditer(text))
