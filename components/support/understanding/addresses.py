"""Postal addresses: a street with a number, a flat, a postcode, a chain of 市区路号, or what follows "address is"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.support.understanding.canonical import CJK, MASKED

_SMALL = """
    a an and are at away day days did down for from get got have hour hours i in is it item items just minute minutes
    month months more my of off on one order orders other our out over parcel parcels people pieces points than that the
    these this time times to two up was we week weeks were which with year years you your
"""
BETWEEN = rf"(?:(?!(?:{'|'.join(_SMALL.split())})\b)[A-Za-zÀ-ɏ'’.\-]{{1,20}} )"
WITHIN = (
    r"(?:\b(?i:flat|apt\.?|apartment|unit|suite|ste\.?|room|po box|p\.o\. box)(?: ?#?\d{1,5}[A-Za-z]?| [A-HJ-Z])\b)"
)
NEAR_BY = r"(?:\b(?i:floor|fl\.?|building|block|bldg\.?|house|gate|door) ?#?\d{1,5}[A-Za-z]?\b|#\d{1,5}\b)"
INSIDE = rf"(?:{WITHIN}|{NEAR_BY}|\b\d{{1,2}}(?:st|nd|rd|th) floor\b)"
TOWN = r"(?:(?:[A-ZÀ-Þ][\w'’.\-]{1,20})(?: [A-ZÀ-Þ][\w'’.\-]{1,20}){0,3})"
UK = r"\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b"
ZIP = r"(?<=, )[A-Z]{2} \d{5}(?:-\d{4})?\b"
CODE = rf"(?:{UK}|[A-Z]{{2}} \d{{5}}(?:-\d{{4}})?|\b\d{{4,6}}\b(?:-\d{{4}}\b)?)"
REST = (
    rf"(?:,? ?{INSIDE})?(?:,\s?(?:{INSIDE}|{TOWN}(?: {CODE})?(?=[,.;!?\n)]|$)|{CODE}))*+"
    rf"(?:,? {UK}|,? [A-Z]{{2}} \d{{5}})?"
)
ROADS = "street|str|st|road|rd|avenue|ave|lane|ln|boulevard|blvd|crescent|terrace|highway|parkway|alley|gardens"
PLACES = "Drive|Dr|Way|Court|Ct|Square|Sq|Close|Place|Pl|Hill|Grove|Row|Park|View|Mews|Walk|Quay|Yard"
STREET = re.compile(
    rf"(?:{INSIDE},? )?\b\d{{1,5}}[A-Za-z]?(?:-\d{{1,4}})?,? (?:[NSEW]\.? )?"
    rf"(?:{BETWEEN}{{1,4}}?(?i:{ROADS})\b\.?|(?:[A-Z][\w'’.\-]{{1,20}} ){{1,3}}?(?:{PLACES})\b){REST}"
    rf"|\b[A-ZÄÖÜ][\wäöüß\-]{{1,30}}(?:straße|strasse|str\.|gasse|weg|allee|platz) ?\d{{1,4}}[a-z]?\b{REST}"
    rf"|\b(?:[Rr]ue|[Vv]ia|[Cc]alle|[Aa]venida|[Aa]venue) (?:[\w'’.\-]{{1,20}} ){{1,4}}\d{{1,4}}\b{REST}"
    rf"|\b\d{{1,4}},? (?:rue|avenue|boulevard) (?:[\w'’\-]{{1,20}} ?){{1,4}}{REST}"
)
SMALLER = re.compile(
    rf"(?:{WITHIN}|{NEAR_BY}(?=, ?[A-Z]))(?:,\s?{INSIDE})*+{REST}|{UK}|{ZIP}"
    r"|\b(?i:post ?code|zip(?: code)?|postal code)(?: is|:)? ?(?P<code>\d{4,6})\b"
)
CUE = re.compile(
    r"\b(?:address(?: (?:is|to|should be|now|as|reads))+|address ?[:=]|(?:ship|deliver|send|forward|redirect)"
    r"(?:ed|ing)?(?: (?:it|them|this|everything|the (?:parcel|order|package)))? to:?"
    r"|i live (?:at|in)|moved to|living at) ?"
    rf"(?P<value>(?=[A-ZÀ-Þ0-9])[^.;!?<>\n{MASKED}]{{5,120}})"
)
TWO_PARTS = re.compile(r"[A-ZÀ-Þ]\w++, ?[A-ZÀ-Þ]\w")
NOT_IN = (  # what stands before an address
    "到为為在是址改寄送去把请請的我你您住了于於给給和与跟從从往叫说說"
    "查帮幫看问問啦吧呢啊吗嗎嘛哦不有没沒就还還要想会會能可这這那一"
)
REACH = 20  # characters that an address goes on to the left of its street
SHORT = 8  # without a town in them
IDEOGRAPH = re.compile(f"[{CJK}]")
UPPER = re.compile("[省市区區县縣旗镇鎮乡鄉村]")
COUNT = r"[\d〇一二三四五六七八九十百甲乙丙丁A-Za-z\-]"
BLOCK = "号楼|號樓|栋|棟|幢|座"
NUMBER = rf"{COUNT}{{1,6}}+(?:号院|{BLOCK}|号|號|弄|单元|單元|楼|樓|层|層|室|户|戶|巷|之\d)"
DOOR = rf"(?:{COUNT}{{2,4}}+(?!{COUNT}|[元块月日年天点]))"
ESTATE = "小区|社区|花园|花園|家园|公寓|大厦|大廈|广场|廣場|苑|园区|新村|公馆|宿舍"
HOME = re.compile(
    rf"(?:路|街|大道|巷|弄|胡同|里|{ESTATE})(?:{COUNT}{{1,3}}段)?{NUMBER}"
    rf"(?:[{CJK}]{{1,8}}?(?:{ESTATE}))?(?:{NUMBER}|{DOOR}){{0,6}}+"
    rf"|{COUNT}{{1,4}}+(?:{BLOCK})(?:{NUMBER}){{0,4}}+{DOOR}?"
    rf"|{COUNT}{{1,3}}+(?:单元|單元){NUMBER}"
)
WITHOUT_TOWN = rf"(?:(?![{NOT_IN}{UPPER.pattern[1:-1]}])[{CJK}])"
CHAIN = re.compile(  # a road or estate without a number
    rf"[市区區县縣镇鎮](?:{WITHOUT_TOWN}{{1,6}}?(?:路|街|大道|巷|{ESTATE})|{WITHOUT_TOWN}{{0,4}}?(?:科技园|工业园))"
    rf"(?!{UPPER.pattern})"
)
LIVES = re.compile(r"(?:住在|住|寄到|送到|家在|搬到)\Z")
CHINESE_CUE = re.compile(
    r"(?:地址|住址|收货地|收貨地)(?:应该|應該|现在|現在)?"
    r"(?:就?是|为|為|:|改成|改为|改為|改到|换成|換成|换到|写成|填成|更新为)[: ]?"
    rf"(?P<value>[^，。！？；,!?;\n<>{MASKED}]{{4,60}})"
)
UNITS = re.compile(r"[省市区區县縣镇鎮乡鄉村路街巷弄栋棟幢座室苑]|\d[号號楼樓层層]")
TRAILING = re.compile(
    r"(?:可以|行|好|对|對)?(?:吗|嗎|吧|么|不)$|谢谢.{0,60}$|謝謝.{0,60}$|麻烦.{0,60}$|拜托.{0,60}$|可以.{0,4}$"
)
Piece = tuple[str, int, int]


def places(text: str) -> Iterator[Piece]:
    """Addresses that show by their shape, as far as they reach; the name of a town alone is none."""
    for pattern in (STREET, SMALLER):
        for found in pattern.finditer(text):
            group = "code" if pattern is SMALLER and found["code"] else 0
            yield "ADDRESS", found.start(group), found.start(group) + len(found[group].rstrip(" ,.-"))
    for found in HOME.finditer(text):
        yield "ADDRESS", _begins(text, found.start()), found.end()
    yield from _chained(text)


def _chained(text: str) -> Iterator[Piece]:
    """Town, district and road without a number: two names of the kind before the road, or one after 住在."""
    for found in CHAIN.finditer(text):
        start = _begins(text, found.start() + 1)
        towns = len(UPPER.findall(text, start, found.start() + 1))
        if towns > 1 or (towns and LIVES.search(text[max(0, start - 2) : start])):
            yield "ADDRESS", start, found.end()


def _begins(text: str, place: int) -> int:
    """Where a Chinese address begins whose street or house stands at `place`: with its town, or a short name."""
    start = place
    while start > max(0, place - REACH) and _may_name(text, start - 1):
        start -= 1
    return start if UPPER.search(text, start, place) else max(start, place - SHORT)


def _may_name(text: str, place: int) -> bool:
    """Whether the character may stand in the name of a town or street."""
    character = text[place]
    if character == "成":
        return text[place + 1] == "都"  # the city, not 改成
    if character == "和":
        return text[place + 1] == "平"
    if character == "下" and place:
        return text[place - 1] != "一"
    return IDEOGRAPH.match(character) is not None and character not in NOT_IN


def told_addresses(text: str) -> Iterator[Piece]:
    """What follows "my address is" up to the end of the clause, if there is a number or town in it."""
    for found in CUE.finditer(text):
        value = found["value"].rstrip(" ,")
        if any(character.isdigit() for character in value) or TWO_PARTS.search(value):
            yield "ADDRESS", found.start("value"), found.start("value") + len(value)
    for found in CHINESE_CUE.finditer(text):
        value = TRAILING.sub("", found["value"]).rstrip()
        if UNITS.search(value):
            yield "ADDRESS", found.start("value"), found.start("value") + len(value)
