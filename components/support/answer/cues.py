"""What a message says on its face about the conversation: a person is wanted, the answer did not help, not that.

Models learn intents from examples; these decide who answers, so they are spelled out.
"""

from __future__ import annotations

import re
from functools import lru_cache

from components.support.taxonomy import Bilingual

MOST_READ = 4000  # characters
PERSON = (
    r"(?:real|live|actual|human)\s+(?:person|human|being|agent|representative|rep|advisor|operator|support)",
    r"(?:speak|talk|chat|connect(?:ed)?|transfer(?:red)?|put)\s+(?:me\s+)?(?:through\s+)?(?:to|with)\s+"
    r"(?:a|an|the|your|some)?\s*(?:person|human|agent|someone|somebody|representative|rep|manager|supervisor|operator)",
    r"(?:agent|human|operator|representative)\s*(?:please|pls|now|!)",
    r"(?:not|stop talking to)\s+(?:a|this|your)\s+(?:bot|robot|machine)",
    r"[转轉接找要换換叫来來](?:一[个個位下]|[个個位到]|你们?|你們){0,2}(?:人工(?!智)|真人|活人|客服(?:经理|經理|主管))",
    r"人工(?:客服|服务|服務|坐席)|轉人工|真人客服",
)
ASKS = re.compile("|".join(PERSON), re.IGNORECASE)
UNHELPED = re.compile(
    r"(?:does|did|do|has|have|was|is)\s*(?:n[o']?t|n’t| not)\s+(?:really\s+)?"
    r"(?:help|answer|solve|what i (?:asked|meant))"
    r"|not what i (?:asked|meant|wanted)|you already (?:said|asked|told)|i (?:already|just) (?:told|said|gave|answered)"
    r"|(?:same|stupid|useless) (?:answer|reply|bot)|(?:这|这样|你|说了?|回答|回复|根本|完全)[^，。]{0,4}没有?用(?!过)"
    r"|答非所[问問]|[没沒]解[决決]|不是我[要想]?[问問]|[说說][过過]了|[没沒]回答|又是[这這][句个個]|你[们們]?[听聽]不懂",
    re.IGNORECASE,
)
DECLINES = re.compile(
    r"(?:do\s*n[o']?t|don’t|do not|no need to|rather not|never)\s+(?:want|need|wish|like|have)?(?:\s+to)?\s*$"
    r"|(?:不要|不想|不用|不必|无需|無需|别|別|先别)(?:再|给我|給我|帮我|幫我)?$",
    re.IGNORECASE,
)
NOT = r"(?:do not|don't|don’t|dont|did not|didn't|didn’t|am not|i'm not|i’m not|not)"
BETWEEN = "a any asking been go going gonna have i it like looking me my need planning the to trying want wish you"
NOT_CHINESE = (  # 要不要 asks, 特别 is "very", and 不退款 alone complains that there is none
    r"(?:(?<![要是想会會用能])不(?:要|想|是|用|必|需要|打算|准备|準備|愿意|願意)|(?<![特区區分个個级級])[别別]|勿|无需|無需)"
)
BETWEEN_CHINESE = r"(?:要|想|是|给我|給我|帮我|幫我|再|让|讓|你们|你|我|先|把|办|申请|申請){0,3}"
OF_WHAT = re.compile(r"\b(?:from|about|of|in|on|with|at|for)\b")
CHINESE = re.compile(r"[\u4e00-\u9fff]{2}")
SHORT_TITLE = 4  # Chinese characters, all of which then say what is wanted


def asks_for_person(text: str) -> bool:
    """Whether the customer says to want a human being, unless that very wish is declined."""
    read = text[:MOST_READ]
    return any(not DECLINES.search(read[max(0, found.start() - 30) : found.start()]) for found in ASKS.finditer(read))


def not_helped(text: str) -> bool:
    """Whether the customer says that the answer before was none."""
    return UNHELPED.search(text[:MOST_READ]) is not None


def denies(text: str, title: Bilingual) -> bool:
    """Whether the message says that just this is *not* wanted: "please don't cancel", "不要取消".

    Models hear the word and miss the "not". Words are those of the intent's title, so that a shop's own intents
    are covered; between "not" and the word only such may stand as leave it denied.
    """
    read = text[:MOST_READ].casefold()
    return any(pattern.search(read) for pattern in _denials(title))


@lru_cache(maxsize=256)
def _denials(title: Bilingual) -> list[re.Pattern[str]]:
    found = list[re.Pattern[str]]()
    if words := re.findall(r"[a-z]{5,}", OF_WHAT.split(title.en.casefold())[0]):
        found.append(re.compile(rf"\b{NOT}\s+(?:(?:{'|'.join(BETWEEN.split())})\s+){{0,5}}(?:{'|'.join(words)})"))
    pairs = [title.zh[at : at + 2] for at in range(len(title.zh) - 1 if len(title.zh) <= SHORT_TITLE else 1)]
    if pairs := [pair for pair in pairs if CHINESE.fullmatch(pair)]:
        found.append(re.compile(rf"{NOT_CHINESE}{BETWEEN_CHINESE}(?:{'|'.join(pairs)})"))
    return found
