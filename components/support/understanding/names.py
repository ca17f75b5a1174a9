"""Names of people after a cue: "my name is", "Mr", 我叫, 收件人, a surname before 先生; without a cue none is found."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.support.understanding.canonical import CJK

STRONG = re.compile(
    r"\b(?:sur)?name(?:\s(?:is|was|should be|to|would be|reads)|'s|s is|[\"']?\s?[:=]"
    r"|\son (?:the |my )?(?:order|account|card|parcel|invoice|label|it|slip)(?: is|:)?)\s?[\"'“]?"
    r"|\b(?:i am|i'm|he is|she is) called "
    r"|\b(?:recipient|consignee|addressee|account ?holder|card ?holder|attn)(?: is|:|\.:?)\s?",
    re.IGNORECASE,
)
TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Madam)\b\.? ?", re.IGNORECASE)
WEAK = re.compile(
    r"\b(?:[Ii] am|[Ii]'m|I’m|[Tt]his is|[Hh]ere is|[Hh]e is|[Ss]he is|[Hh]e's|[Ss]he's|out to"
    r"|(?:[Hh]i|[Hh]ello),? it's) "
)
RELATIVE = re.compile(
    r"\b[Mm]y (?:husband|wife|partner|son|daughter|mother|father|mum|mom|dad|brother|sister|boyfriend|girlfriend"
    r"|fianc[eé]e?|flatmate|neighbou?r|colleague|friend)(?P<comma>,)? "
)
SIGNED = re.compile(
    r"(?:\b(?i:regards|sincerely|faithfully|cheers|wishes|thanks|thank you|yours|greetings)\b\s?[,.!]?\s?[\n,\-]\s{0,3}"
    r"|[ \n]- ?)(?P<name>[A-Z][\w'’.\-]{1,20}(?: [A-Z][\w'’.\-]{0,20}){0,2})\s?[.!]?\s*$"
)
WORD = re.compile(r"[^\W\d_]++(?:['’\-.](?!s\b)[^\W\d_]++)*+\.?")
AFTER_GIVEN = re.compile(r" (?:and|but)\b|(?! [^\W\d_])")
GIVEN_TOO = frozenset({"an", "my", "do", "so", "to"})  # small words that end names of Vietnam
GAP = re.compile(r" {1,2}")
_NO_NAME = """
    a about account address again all already also always am an and angry are as asking at be because been being
    but by calling can case changed city contacting correct could customer customers dear definitely delivered
    did different do does done either email english even ever extremely fine first for from furious getting glad
    going good happy has have having hello help her here hi his how i if in incorrect interested is it its just
    kindly last late like looking missing misspelled misspelt misprinted mistake my new no not nothing now
    number of off ok okay on only or order other our out over parcel person phone please printed quite really
    ridiculous same service showing shown sick since so sorry speaking spelled spelt still street support sure
    team terrible thanks that the their then there they this to too trying typed unable unacceptable
    unbelievable under unhappy until up upset urgent using very waiting wanting was we what when where which who
    bye great received perfect excellent done hope
    why will with would writing written wrong yes you your xl large small medium appearing monday tuesday
    wednesday thursday friday saturday sunday january february march april may june july august september
    october november december christmas easter paypal visa mastercard klarna apple google amazon
"""
NO_NAME = frozenset(_NO_NAME.split())
SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆"
    "范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤康易乔赖文庞樊殷施洪翁季华"
    "张劉陳楊黃趙吳孫馬羅鄭謝許韓鄧馮葉蘇呂盧鍾譚陸賈鄒龍賀顧龔萬錢嚴湯喬賴龐莊庄游簡简詹柯纪紀颜顏童凌霍祝葛俞柳岳骆"
)
COMPOUND = "欧阳|歐陽|司马|司馬|上官|诸葛|諸葛|东方|東方|皇甫|尉迟|慕容|司徒|令狐|端木|公孙|夏侯"
NOT_GIVEN = (  # what goes on after a name, and what follows 我叫 when nobody is named
    "我你您他她它的了是在想要有這这那请請和与也就都还還又不没沒吗嗎吧呢啊呀手电電地订訂买買收住来來去说說把给給帮幫能可怎"
    "为為从從问問咨谁誰什今昨前上下等看但因先女已用拍姓辆輛个個份车車"
)
GIVEN = rf"(?:(?![{NOT_GIVEN}])[{CJK}])"
FAMILY = rf"(?:{COMPOUND}|[{SURNAMES}])"
DOTTED = rf"[{CJK}]{{1,8}}(?:[·•・][{CJK}]{{1,8}}){{1,3}}"  # names of other peoples, and foreign ones
LATIN = r"[A-Za-z][A-Za-z'\-]{1,20}(?: [A-Z][A-Za-z'\-]{0,20}){0,2}"
END = rf"(?![{CJK}A-Za-z])"
CALLED = re.compile(
    r"(?:(?<!帮)(?<!给)(?:我名|我|他|她|本人|名字|大名|本名|真名|爸|妈|媽|友|妹|弟|哥|姐|公|婆)(?:就|都)?叫(?:做|作)?|叫我"
    r"|(?:姓名|名字|收件人|收货人|收貨人|联系人|聯絡人|联络人|(?<!用)户名|戶名|持卡人|署名)"
    r"(?:姓名|名字)?(?:是|为|為|叫|写|寫|填|改成|改为|改為|改到|换成|換成)?)[ :]?[“「\"]?"
    rf"(?P<name>{DOTTED}|{FAMILY}{GIVEN}{{1,2}}|[小老阿]{GIVEN}{{1,2}}|{LATIN}|{GIVEN}{{2,4}}{END})"
)
SURNAME_ONLY = re.compile(rf"(?:我|免贵|免貴|本人)姓(?P<name>{FAMILY})")
IS_NAMED = re.compile(rf"(?:(?:我|这里|這裡|本人)(?:就)?是|本人)(?P<name>{FAMILY}{GIVEN}{{1,2}}){END}")
HONORIFIC = re.compile(rf"(?P<name>{FAMILY}{GIVEN}{{0,2}})(?=先生|女士|小姐|太太)")
GIVEN_TO = re.compile(
    r"(?:寄|发|發|送|交|转|轉|快递)(?:给|給)(?!顾客|顧客|高层|高管|方面|石家|万一|常客|汤|白天)"
    rf"(?P<name>{FAMILY}{GIVEN}{{1,2}}){END}"
)
CHINESE = (CALLED, SURNAME_ONLY, IS_NAMED, HONORIFIC, GIVEN_TO)
Piece = tuple[str, int, int]


def names(text: str) -> Iterator[Piece]:
    """Names, without their cues and titles."""
    for pattern in CHINESE:
        for found in pattern.finditer(text):
            yield "NAME", found.start("name"), found.end("name")
    for found in STRONG.finditer(text):
        yield from _told(text, found.end())
    for found in TITLE.finditer(text):
        yield from _capitalised(text, found.end(), least=1)
    for found in WEAK.finditer(text):
        yield from _introduced(text, found.end())
    for found in RELATIVE.finditer(text):
        yield from _introduced(text, found.end(), least=2 if found["comma"] else 1)
    yield from _signed(text)


def _told(text: str, start: int) -> Iterator[Piece]:
    """After a strong cue: words with a capital; or, in small letters, one word, and a second that ends a clause."""
    words = _words(text, start)
    if not words:
        return
    if words[0][0][0].isupper():
        yield from _capitalised(text, start, least=1)
        return
    last = words[1] if len(words) > 1 and _ends_clause(text, words[1]) else words[0]
    yield "NAME", start, _end(last)


def _ends_clause(text: str, word: re.Match[str]) -> bool:
    """Whether no further word follows but one that cannot be a name."""
    follower = WORD.match(text, word.end() + 1)
    return text[word.end() : word.end() + 1] != " " or (follower is not None and follower[0].lower() in NO_NAME)


def _introduced(text: str, start: int, least: int = 2) -> Iterator[Piece]:
    """After a weak cue such as "I am": two words with a capital, not in a text that shouts."""
    for kind, first, last in _capitalised(text, start, least):
        if not text[first:last].isupper():
            yield kind, first, last


def _signed(text: str) -> Iterator[Piece]:
    """The last line of a letter."""
    found = SIGNED.search(text)
    if found and NO_NAME.isdisjoint(word.lower() for word in WORD.findall(found["name"])):
        yield "NAME", found.start("name"), found.end("name")


def _capitalised(text: str, start: int, least: int) -> Iterator[Piece]:
    """Up to three words with a capital from `start` on, if they are at least `least`."""
    words = []
    for word in _words(text, start):
        if not word[0][0].isupper():
            break
        words.append(word)
        if word[0].endswith(".") and len(word[0]) > 2:  # ends the sentence; "J." does not
            break
    if len(words) >= least:
        yield "NAME", start, _end(words[-1])


def _words(text: str, start: int) -> list[re.Match[str]]:
    """Up to three words that could be a name, side by side."""
    words: list[re.Match[str]] = []
    while len(words) < 3 and (word := WORD.match(text, start, start + 40)) and _may_name(text, word, words):
        words.append(word)
        if (gap := GAP.match(text, word.end())) is None:
            break
        start = gap.end()
    return words


def _may_name(text: str, word: re.Match[str], words: list[re.Match[str]]) -> bool:
    """Whether it is no plain word; such as An may end a name of several, with a capital, at the end of a clause."""
    plain = word[0].lower().strip(".")
    if plain not in NO_NAME:
        return True
    ends = plain in GIVEN_TOO and word[0][0].isupper() and AFTER_GIVEN.match(text, word.end()) is not None
    return ends and len(words) > 1 and not words[-1][0].endswith(".")


def _end(word: re.Match[str]) -> int:
    return word.end() - word[0].endswith(".")
