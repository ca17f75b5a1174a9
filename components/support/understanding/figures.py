"""Numbers in words and figures, amounts of money with their currency, and how many of something."""

from __future__ import annotations

import re
from collections.abc import Iterator

_COUNTED = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty"""
WORDS = {word: value for value, word in enumerate(_COUNTED.split())}
WORDS |= {"a": 1, "an": 1, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100}
ENGLISH_NUMBER = rf"(?:{'|'.join(sorted((word for word in WORDS if len(word) > 2), key=len, reverse=True))})"
DIGITS = {
    character: value
    for value, characters in enumerate(
        ("零〇", "一壹", "二两兩贰", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
    )
    for character in characters
}
UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000, "万": 10_000, "萬": 10_000}
CHINESE_NUMBER = rf"[{''.join(DIGITS)}{''.join(UNITS)}半]{{1,12}}"
SIGNS = {
    "$": "USD",
    "£": "GBP",
    "€": "EUR",
    "¥": "CNY",
    "￥": "CNY",
    "₹": "INR",
    "us$": "USD",
    "hk$": "HKD",
    "nt$": "TWD",
}
NAMES = {
    "USD": "usd|dollars?|bucks|美元|美金|刀", "GBP": "gbp|pounds?|quid|英镑|英鎊", "EUR": "eur|euros?|欧元|歐元",
    "CNY": "cny|rmb|yuan|元|块钱|塊錢|块|塊|圆|圓|人民币", "INR": "inr|rs|rupees?", "HKD": "hkd|港币|港幣|港元",
    "TWD": "twd|ntd|台币|台幣|新台币", "JPY": "jpy|yen|日元|日圆",
}  # fmt: skip
FIGURE = (
    r"\d{1,3}(?:\.\d{3})++(?:,\d{1,2})?(?!\d)|\d{1,3}(?:,\d{3})++(?:\.\d{1,2})?(?!\d)|\d{1,9}(?:[.,]\d{1,2}(?!\d))?"
)
NAME = "|".join(f"(?P<{code}>{names})" for code, names in NAMES.items())
SIGNED = re.compile(rf"(?P<sign>us\$|hk\$|nt\$|[$£€¥￥₹])\s?(?P<figure>{FIGURE})(?P<k>k\b|[千万])?", re.IGNORECASE)
CODED = re.compile(rf"\b(?P<code>usd|gbp|eur|cny|rmb|rs)\.? ?(?P<figure>{FIGURE})(?!\w)", re.IGNORECASE)
NAMED = re.compile(
    # a comma after a word or a long number is none of the figure's: 3件，199元
    rf"(?<!\d)(?:(?<!\d[.,])|(?<=\d{{4}},))(?P<figure>{FIGURE}|{CHINESE_NUMBER})(?P<k>k|[千万萬])?(?P<about>多|来)?\s?"
    rf"(?:{NAME}|(?P<sign>[€£$]))(?P<rest>[一二三四五六七八九](?![十百千万月日天点]))?(?![a-z])",
    re.IGNORECASE,
)
BARE = re.compile(
    r"(?:\b(?:charged?|paid|pay|paying|debited|debit of|took|billed|bill of|costs?|deducted|deposit of"
    r"|amount(?: of| is)?|total(?: of| is)?|refund of|payment of)"
    r"(?: me| us| only| for| exactly){0,2}|扣了?|收了?|付了?|支付"
    r"|花了|划走|退了?|金额是?|請款|请款|变成|合计|总共|一共|两笔|应该是)(?:我|你|我们)?\s?"
    r"(?P<figure>\d{1,6}(?:[.,]\d{1,2})?)(?![\d\w%]"
    r"| (?:days?|weeks?|months?|years?|times?|hours?|items?|pieces?)\b|[.,/\-]\d)",
    re.IGNORECASE,
)
COUNTERS = r"pieces?|pcs|items?|units?|copies|pairs?|boxes|bottles?|packs?|packages?|sets?|bags?|cans|rolls?"
MEASURES = "件|条|條|盒|瓶|双|雙|台|套|支|本|包|袋|箱|份|张|張|把|副|只|隻|罐|卷|束|盏|个|個"
NO_COUNT = "月|小时|小時|星期|礼拜|人|字|问题|問題|说法|工作|多|钟|季|学期|时辰|号|號|订单|訂單|单|單|朋友|客服|地址"
ENGLISH_COUNT = re.compile(
    rf"(?<![\w.,\-])(?P<count>\d{{1,4}}|{ENGLISH_NUMBER}) (?:{COUNTERS})\b|\b(?:qty|quantity)(?: to| of| is|:)?"
    r" ?(?P<qty>\d{1,4})\b"
    r"|(?<!\w)x ?(?P<times>\d{1,3})(?!\w)|(?<![\w.])(?P<before>\d{1,3}) ?x(?= [a-z])",
    re.IGNORECASE,
)
CHINESE_COUNT = re.compile(rf"(?<![\d第每几这那哪])(?P<count>\d{{1,4}}|{CHINESE_NUMBER})(?:{MEASURES})(?!{NO_COUNT})")


def number(text: str) -> float | None:
    """Of a figure ("1,200.50"), an English word, or a Chinese numeral (三百五 is 350); None for anything else."""
    text = text.strip().lower()
    if text in WORDS:
        return float(WORDS[text])
    if not text or text[0].isdigit():
        return _figure(text)
    return _numeral(text) if all(one in DIGITS or one in UNITS for one in text) else None


def _figure(text: str) -> float | None:
    """A comma before three digits parts thousands, else it is a decimal one; a point does so too in 1.299,00."""
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d{1,2})?", text):
        text = text.replace(".", "")
    plain = re.sub(r",(?=\d{3}(?!\d))", "", text).replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return None


def _numeral(text: str) -> float:
    """Chinese numerals up to 99,999,999; a last digit without its unit has the next lower one."""
    total, section, digit, unit = 0, 0, 0, 1
    zero = False
    for character in text:
        if character in DIGITS:
            zero = zero or DIGITS[character] == 0
            digit = DIGITS[character] if unit != 1 or not digit else digit * 10 + DIGITS[character]
            continue
        unit, zero = UNITS[character], False
        if unit == 10_000:
            total, section = (total + section + digit) * unit, 0
        else:
            section += (digit or 1) * unit
        digit = 0
    implied = unit // 10 if unit > 10 and not zero else 1
    return float(total + section + digit * implied)


def amounts(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and value, such as "240 GBP" or "42.10 USD"; without a currency only after a word such as "paid".

    `$` counts as US and `¥` as Chinese money.
    """
    taken = bytearray(len(text))
    for pattern in (SIGNED, CODED, NAMED, BARE):
        for found in pattern.finditer(text):
            value = _money(found)
            start = found.start("figure") if pattern is BARE else found.start()
            if value is not None and not any(taken[start : found.end()]):
                taken[start : found.end()] = bytes([1]) * (found.end() - start)
                yield start, found.end(), value


def _money(found: re.Match[str]) -> str | None:
    parts = found.groupdict()
    value = number(parts["figure"])
    if not value or parts.get("about") or parts["figure"] == "一":  # "a thousand odd"; 一块 is mostly "together"
        return None
    value *= {"k": 1e3, "千": 1e3, "万": 1e4, "萬": 1e4}.get((parts.get("k") or "").lower(), 1)
    if rest := parts.get("rest"):  # 九块九
        value += DIGITS[rest] / 10
    currency = _currency(parts)
    shown = f"{value:.0f}" if value == int(value) else f"{value:.2f}"
    return f"{shown} {currency}" if currency else shown


def _currency(parts: dict[str, str | None]) -> str:
    if sign := parts.get("sign"):
        return SIGNS[sign.lower()]
    if code := parts.get("code"):
        return {"RMB": "CNY", "RS": "INR"}.get(code.upper(), code.upper())
    return next((code for code in NAMES if parts.get(code)), "")


def quantities(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and count of things; 一个 ("a") counts nothing."""
    for pattern in (ENGLISH_COUNT, CHINESE_COUNT):
        for found in pattern.finditer(text):
            told = next(value for value in found.groupdict().values() if value)
            count = number(told)
            if count is not None and count >= 1 and not (count == 1 and not told.isdigit()):
                yield found.start(), found.end(), str(int(count))
