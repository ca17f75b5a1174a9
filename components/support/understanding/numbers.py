"""What the digits of a message are: telephone, card, bank account, identity number, or a reference such as an order.

A run of digits is told apart by its cue (the last words before it), its shape and its check digits. Amounts,
dates and sizes stay. What is left of long numbers and codes counts as a reference and is masked as `ORDER`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.support.understanding.canonical import MASKED

REGIONS = ("CN", "TW", "HK", "GB", "US", "DE", "FR", "AU", "IN", "SG")  # for numbers written without a country
CUE_WIDTH = 28
MOST_GROUPS = 6  # of digits in one number
MOST_ASKED = 100

RUN = re.compile(r"(?<![A-Za-z0-9.,])(?<![A-Za-z0-9]-)[+(]{0,2}\d++(?:[ .\-/()]{1,3}+\d++)*+(?![A-Za-z0-9])")
GROUP = re.compile(r"\d++")
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}+")
BORN = r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
IDENTITY = re.compile(rf"(?<![A-Za-z0-9])[1-9]\d{{5}}{BORN}\d{{3}}[\dXx](?![A-Za-z0-9])")  # of the People's Republic
SOCIAL = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")  # of the United States
FOURS = re.compile(r"\d{4}(?:[ .\-/]\d{4}){3}(?:[ .\-/]\d{1,3})?|3\d{3}[ .\-/]\d{6}[ .\-/]\d{5}")
GAP = rf"[^\d\n{MASKED}]{{0,16}}"
ENDING = r"(?:ending|ends|last (?:four|4)|尾号|尾號|末四位)"
TAIL = re.compile(rf"(?:card|visa|mastercard|卡){GAP}{ENDING}{GAP}(?P<value>\d{{4}})(?!\d)", re.IGNORECASE)
PHONE_CUE = re.compile(
    r"(?:(?<![a-z])(?:phone|mobile|cell|tel|telephone|call(?: me)?(?: back)?(?: on| at)?|ring|text|sms|whats ?app|fax"
    r"|reach me|contact)|手机|手機|电话|電話|号码|號碼|致电|联系|聯絡|短信|打给我|座机|热线)"
    r"[^\d\n.;。；\ue000]{0,16}\Z",
    re.IGNORECASE,
)
CARD_CUE = re.compile(
    r"(?:(?<!gift )(?<![a-z])card|visa|mastercard|amex|卡号|卡號|信用卡|银行卡|銀行卡|借记卡|储蓄卡)"
    r"[^\d\n.;。；\ue000]{0,16}\Z",
    re.IGNORECASE,
)
NUMBERED = (
    r"(?:\s?(?:number|num|no|nr|id|code|is|was|are|with|the|my|called"
    r"|的|是|为|為|号|號|码|碼|编号|編號|尾号|尾號|后四位)){0,4}"
)
ORDER_CUE = re.compile(
    r"(?:(?<![a-z])(?:order|ordr|oder|ordre|ref(?:erence)?|purchase|shipment|parcel|package|tracking|awb|rma|return|ticket"
    r"|case|invoice|receipt|gift ?card|confirmation|booking|transaction)|单号?|單號?|订单号?|訂單號?|运单号?"
    rf"|流水号|工单|发票号?|票号|礼品卡){NUMBERED}[\s.:#\"'“(]{{0,3}}\Z",
    re.IGNORECASE,
)
NUMBER_CUE = re.compile(
    r"(?:#|(?<![a-z])(?:number|no|nr|num)|编号|編號|尾号|尾號|后四位)"
    r"(?:\s?(?:is|was|is the|是|为|為)){0,2}[\s.:#\"'“(]{0,3}\Z",
    re.IGNORECASE,
)
CURRENCY = r"\b(?:usd|eur|gbp|cny|rmb|nt|hk|us|aud|cad)"
MONEY_BEFORE = re.compile(rf"(?:[$£€¥￥₹]|{CURRENCY}\$?)\s?\Z", re.IGNORECASE)
UNIT_AFTER = re.compile(
    r"\s?(?:[%°$£€¥]|元|块|塊|圆|圓|円|毛|角|积分|分|件|个|個|条|份|双|盒|箱|包|袋|台|瓶|张|次|人|岁|天|日|月|年|周|小时|分钟"
    r"|点|點|秒|厘米|公分|毫米|米|斤|公斤|千克|克|升|毫升|寸|码|碼|平|万|千|百"
    r"|(?:rmb|usd|eur|gbp|cny|dollars?|bucks|pounds?|quid|euros?|yuan|points?|w|kw|v|ah|mah|g|gb|tb|mb|kg|mg|ml|cl|l|cm|mm|m"
    r"|km|inch|ft|lbs?|oz|px|hz|hours?|days?|weeks?|months?|years?|pieces?|pcs|items?|times|minutes?)(?![a-z]))",
    re.IGNORECASE,
)
YEAR = r"(?:19|20)\d{2}"
DATE = re.compile(
    rf"{YEAR}[-/. ]\d{{1,2}}(?:[-/. ]\d{{1,2}})?|\d{{1,2}}[-/.]\d{{1,2}}[-/.](?:{YEAR}|\d{{2}})"
    rf"|{YEAR}(?: ?[-/] ?(?:19|20)?\d{{2}})?"
)
CODE = re.compile(r"(?<![A-Za-z0-9])(?P<sign>#\s?)?(?P<code>[A-Za-z0-9]++(?:[\-_/][A-Za-z0-9]++)*+)")
MOBILE = re.compile(r"1[3-9]\d{9}")  # of China
TAIL_CUE = re.compile(rf"{ENDING}[^\d\n]{{0,6}}\Z", re.IGNORECASE)
ANOTHER = re.compile(rf"{MASKED} ?(?:or|and|/|,|、|或者?|和) ?\Z")  # one number was masked, here is the next
PHONE_SHAPE = re.compile(
    r"(?:86[ \-]?)?1[3-9]\d(?:[ .\-]?\d{4}){2}|\d{3}[ .\-]\d{4}[ .\-]\d{4}|(?:\d{3}[ .\-])?\d{3}[.\-]\d{4}"
)
RANGE = re.compile(r"\d+0[-/]\d+0")  # from 100-200
DECIMAL_AFTER = re.compile(r"[.,]\d")
DECIMAL_BEFORE = re.compile(r"\d[.,]\Z")
SPACED = re.compile(r" \d{3,5}(?![\w.,])")
NO_CODE = re.compile(r"\d+[a-z]{1,4}|[a-z]{1,6}\d{1,3}|\d{1,2}x\d{1,4}(?:x\d{1,4})?", re.IGNORECASE)
COUPON_CUE = re.compile(
    r"(?:(?<![a-z])(?:coupon|voucher|promo(?:tion)?|discount|code|item|article|sku|model|art)|优惠码|折扣码|优惠券|货号|貨號"
    r"|型号|型號|款号|编码)(?: (?:no|number|code|id|is|called)\.?){0,3}[\s:\"'“]{0,2}\Z",
    re.IGNORECASE,
)
Piece = tuple[str, int, int]


def numbers(text: str) -> Iterator[Piece]:
    """Bank accounts, identity numbers, cards and telephone numbers."""
    for found in IBAN.finditer(text):
        if end := _iban_end(found[0]):
            yield "IBAN", found.start(), found.start() + end
    for pattern in (IDENTITY, SOCIAL):
        yield from (("ID", found.start(), found.end()) for found in pattern.finditer(text))
    yield from (("CARD", found.start("value"), found.end("value")) for found in TAIL.finditer(text))
    plans = Plans()
    for found in RUN.finditer(text):
        yield from _in_run(text, found, plans)


def references(text: str) -> Iterator[Piece]:
    """Orders, invoices, parcels and every other long number or code."""
    for found in CODE.finditer(text):
        if _is_reference(text, found):
            spaced = SPACED.match(text, found.end()) if found["code"].isdigit() and cued(text, found) else None
            yield "ORDER", found.start("code"), spaced.end() if spaced else found.end("code")


def cued(text: str, found: re.Match[str]) -> bool:
    """Whether words or a sign announce a reference."""
    cue = before(text, found.start())
    return bool(found["sign"] or ORDER_CUE.search(cue) or NUMBER_CUE.search(cue))


def before(text: str, place: int) -> str:
    """What stands before `place`, as far as a cue may be away."""
    return text[max(0, place - CUE_WIDTH) : place]


def checks_out(digits: str) -> bool:
    """The check digit of Luhn (ISO/IEC 7812-1), as cards carry it."""
    doubled = [sum(divmod(int(digit) * (1 + place % 2), 10)) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def international(written: str) -> str:
    """A telephone number with its country (E.164) where it shows which, else its digits."""
    digits = "".join(GROUP.findall(written))
    if written.lstrip("( ").startswith("+"):
        return f"+{digits}"
    return f"+86{digits}" if MOBILE.fullmatch(digits) else digits


def _iban_end(text: str) -> int:
    """How many characters from the start are an IBAN (ISO 13616, the remainder modulo 97 is 1); 0 for none."""
    ends = [place + 1 for place, character in enumerate(text) if character != " "]
    for end in reversed(ends[14:34]):
        plain = text[:end].replace(" ", "").upper()
        if not text[end : end + 1].isalnum() and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1:
            return end
    return 0


def _in_run(text: str, run: re.Match[str], plans: Plans) -> Iterator[Piece]:
    """Cuts a run of groups of digits into the longest pieces that are something, from the left."""
    groups = _groups(text, run)
    first = 0
    while first < len(groups):
        start = run.start() if first == 0 else _opened(text, groups[first][0])
        cue = before(text, start)
        for last in range(min(first + MOST_GROUPS, len(groups)), first, -1):
            if kind := _kind(text, start, groups[last - 1][1], cue, plans):
                yield kind, start, groups[last - 1][1]
                first = last
                break
        else:
            first += 1


def _groups(text: str, run: re.Match[str]) -> list[tuple[int, int]]:
    """Start and end of each group; digits told one by one ("1 3 8 0 ...") are one group."""
    groups: list[tuple[int, int]] = []
    single = 0  # groups of one digit in a row
    for found in GROUP.finditer(text, run.start(), run.end()):
        single = single + 1 if len(found[0]) == 1 else 0
        if single > 1:
            groups[-1] = (groups[-1][0], found.end())
        else:
            groups.append((found.start(), found.end()))
    return groups


def _opened(text: str, place: int) -> int:
    """`place` moved left over a plus and a bracket."""
    for _ in range(2):
        place -= place > 0 and text[place - 1] in "+("
    return place


def _kind(text: str, start: int, end: int, cue: str, plans: Plans) -> str | None:
    written = text[start:end]
    digits = "".join(one for one in written if one.isdigit())
    if not 4 <= len(digits) <= 19:
        return None
    if 12 <= len(digits) <= 19 and _is_card(written, digits, cue):
        return "CARD"
    return "PHONE" if len(digits) <= 15 and _is_phone(text, written, digits, cue, end, plans) else None


def _is_card(written: str, digits: str, cue: str) -> bool:
    if CARD_CUE.search(cue) or FOURS.fullmatch(written):
        return True
    return len(digits) >= 13 and not ORDER_CUE.search(cue) and checks_out(digits)


def _is_phone(text: str, written: str, digits: str, cue: str, end: int, plans: Plans) -> bool:
    """With a country's sign, after a cue, in a shape that only telephones have, or as a country's plan has it."""
    written = written.lstrip("(") if ")" not in written else written
    if written.startswith(("+", "(+")):
        return len(digits) >= 7
    if DATE.fullmatch(written) or MONEY_BEFORE.search(cue) or UNIT_AFTER.match(text, end) or ORDER_CUE.search(cue):
        return False
    if PHONE_CUE.search(cue):
        return len(digits) >= 5 or bool(TAIL_CUE.search(cue))
    if PHONE_SHAPE.fullmatch(written) or MOBILE.fullmatch(digits):
        return True
    return (len(digits) >= 7 and written != digits and bool(ANOTHER.search(cue))) or plans.have(written, digits)


class Plans:
    """Numbering plans of REGIONS, asked about a few numbers of one text: a text of a thousand numbers is no message."""

    def __init__(self) -> None:
        self._left = MOST_ASKED

    def have(self, written: str, digits: str) -> bool:
        """Whether a plan has the number, written with signs or a zero in front; True when too many were asked."""
        if not 8 <= len(digits) <= 13 or (written == digits and not digits.startswith("0")):
            return False  # plans together have most numbers of ten digits, as orders have
        self._left -= 1
        return self._left < 0 or any(_planned(written, region) for region in REGIONS)


def _planned(written: str, region: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(written, region))
    except phonenumbers.NumberParseException:
        return False


def _is_reference(text: str, found: re.Match[str]) -> bool:
    code, cue = found["code"], before(text, found.start())
    n_digits = sum(character.isdigit() for character in code)
    if n_digits < 3 or len(code) > 64 or MONEY_BEFORE.search(cue) or _measured(text, found):
        return False
    if cued(text, found):
        return not re.fullmatch(r"[1-9]00", code)
    if COUPON_CUE.search(cue) or DATE.fullmatch(code) or _in_decimal(text, found):
        return False
    return _looks_like_one(code, n_digits)


def _measured(text: str, found: re.Match[str]) -> bool:
    return found["code"].replace("-", "").isdigit() and bool(UNIT_AFTER.match(text, found.end()))


def _in_decimal(text: str, found: re.Match[str]) -> bool:
    return bool(DECIMAL_AFTER.match(text, found.end()) or DECIMAL_BEFORE.search(before(text, found.start())))


def _looks_like_one(code: str, n_digits: int) -> bool:
    """Without a cue: five digits; six with a sign between them; four beside few letters; no range, no size."""
    if code.isdigit():
        return n_digits >= 5
    if NO_CODE.fullmatch(code) or RANGE.fullmatch(code):
        return False
    n_letters = sum(character.isalpha() for character in code)
    return n_digits >= 6 or (n_digits >= 4 and 0 < n_letters <= 4)
