"""In which language to answer: told from script and small words, without a model."""

from __future__ import annotations

import re
from typing import Literal

from components.support.understanding.canonical import CJK, canonical

Answerable = Literal["en", "zh", "other"]

NO_WORDS = re.compile(
    r"<[A-Z]+(?:_\d+)?>|https?://[!-~]++|(?<![\w.+\-])[\w.+\-]++@[\w.\-]++"
    r"|(?<![A-Za-z_])[A-Za-z_]*+\d[\w\-]*+",
    re.ASCII,
)
WORD = re.compile(rf"[^\W\d_{CJK}\u3040-\u30ff\uac00-\ud7af]++")
HAN, KANA, HANGUL = (re.compile(f"[{block}]") for block in (CJK, "\u3040-\u30ff", "\uac00-\ud7af"))
PARTICLE = re.compile("[我你您的了吗嗎呢啊呀吧啦是不没沒在有要想这這那就都还還也和给給把被能可怎么麼什个個为為]")
CHARACTERS_PER_WORD = 1.6  # of running Chinese
SMALL_WORD = 1.0  # counts on top: in a mixed message the sentence is built in one language, the nouns are borrowed
_ENGLISH = """
    the a is are was i my me you your it this to of and for have has do not what how where when can could would
    with in on but did don't can't been be
"""
_FOREIGN = """
    der das und ist nicht ich sie mein meine wo wie ein eine für mit bitte habe auf von zu noch
    le la les des je vous mon ma est pas où une pour avec suis bonjour que qui du sur
    el los las mi es dónde una por estoy hola pedido quiero gracias del como
    il gli dove mio non sono ho che della grazie ordine
    het een mijn niet waar ik jullie met voor o os meu minha não onde com obrigado
"""
ENGLISH = frozenset(_ENGLISH.split())
FOREIGN = frozenset(_FOREIGN.split())  # of other languages in Latin script


def language(text: str) -> Answerable:
    """ "zh", "en" or "other"; a mixed message goes by the larger share of words.

    Codes, links and placeholders are no words. A text without words (empty, an emoji, a number) is "other", as
    is a script or a language that the shop does not answer in; who asks decides what to fall back to.
    """
    plain = NO_WORDS.sub(" ", canonical(text).text)
    n_han = len(HAN.findall(plain))
    if len(KANA.findall(plain)) + len(HANGUL.findall(plain)) > n_han / 4:
        return "other"
    words = [word.lower() for word in WORD.findall(plain)]
    latin = [word for word in words if word[0] < "\u0250"]
    chinese = n_han / CHARACTERS_PER_WORD + SMALL_WORD * len(PARTICLE.findall(plain))
    english = len(latin) + SMALL_WORD * sum(word in ENGLISH for word in latin)
    if (not words and not n_han) or len(words) - len(latin) > max(chinese, english):
        return "other"
    if chinese >= english:
        return "zh"
    return "other" if _foreign(latin) else "en"


def _foreign(words: list[str]) -> bool:
    """Whether the small words are those of another language than English."""
    n_foreign = sum(word in FOREIGN for word in words)
    return n_foreign >= 2 and n_foreign > sum(word in ENGLISH for word in words)
