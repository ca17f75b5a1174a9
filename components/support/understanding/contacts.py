"""Where a customer can be reached or logs in: e-mail addresses however they are spelled, accounts, passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.support.understanding.canonical import CJK

LETTER = rf"[^\W_{CJK}\u3040-\u30ff\uac00-\ud7af]"  # letters and digits of alphabets: 我的邮箱amy@ ends before amy
AT = r"(?: ?@ ?| ?[\[({<] ?(?:at|@) ?[\])}>] ?| ?艾特 ?| ?圈a ?)"
DOT = r"(?: ?\. ?| ?。 ?| ?[\[({<] ?(?:dot|\.) ?[\])}>] ?| dot | ?点 ?| ?點 ?)"
LOCAL = rf"(?<!{LETTER})(?<![._%+\-])(?:{LETTER}|[._%+\-])++"
HOST = rf"(?:{LETTER}|[\-_])++"
EMAIL = re.compile(
    # "john dot smith at gmail dot com", the whole name; and the sign as links have it
    rf"{LOCAL}(?: dot (?:{LETTER}|[_+\-])++){{1,3}}(?:{AT}| at ){HOST}(?:{DOT}{HOST}){{1,4}}+"
    rf"|(?<!{LETTER})(?<![._+\-%])(?:{LETTER}|[._+\-]|%(?!40)){{1,64}}+%40{HOST}(?:\.{HOST})++"
    # with a sign for "at": the domain may lack its end; with spaces around, it needs one
    rf"|{LOCAL}(?:@{HOST}(?:\.{HOST})*+(?:{DOT}(?:com|cn|net|org|co|hk|tw|de|uk))*+|{AT}{HOST}(?:{DOT}{HOST}){{1,4}}+)"
    # in words alone, both must be words: "I looked at shop.example" is no address
    rf"|{LOCAL} at {HOST}(?: dot {HOST}){{1,4}}+"
    # a name in characters
    rf"|[{CJK}]{{1,4}}@(?:{LETTER}|[{CJK}\-])++(?:\.(?:中国|中國|公司|网络|網絡|香港|台湾|台灣|{HOST})){{1,4}}+",
    re.IGNORECASE,
)
SPACED = re.compile(r"(?<![^\W_])(?:[A-Za-z0-9._\-] ){2,40}@(?: [A-Za-z0-9._\-](?![A-Za-z0-9]))++")  # a m y @ x . d e
NEAR = r"(?:\s?(?:is|was|=|:|no\.?|number|id|:是|是|为|為|号码?|號碼?)){0,3}\s?[:=\"'“「]?\s?"
SECRET = re.compile(
    r"(?:\b(?:pass ?word|passcode|pass ?phrase|pin(?: code)?|cvv|cvc|security code|one[ -]time code|otp"
    r"|verification code)|密码|密碼|验证码|驗證碼|安全码|安全碼|校验码|动态码)"
    rf"(?P<cue>{NEAR})(?P<value>[!-;=?-~]{{3,64}}+)",
    re.IGNORECASE,
)
OWNER = (
    "customer|client|member(?:ship)?|account|user|loyalty card|tax|vat|licen[cs]e|we ?chat|whats ?app|telegram|skype"
)
ACCOUNT = re.compile(
    rf"(?:\b(?:(?:{OWNER}|passport)(?: (?:number|no\.?|id|account|handle|name))|(?P<login>user ?name)"
    r"|sort code|passport|qq)"
    r"|微信号?|微信號|(?:客户|客戶|会员|會員|用户|用戶)(?:编号|編號|卡号|卡號|号|號|id)|(?P<name>用户名|用戶名)"
    r"|护照号?|護照號?|账号|帳號|账户|税号|稅號|驾照号?)"
    rf"(?P<cue>{NEAR})(?P<value>[A-Za-z0-9@](?:[A-Za-z0-9_.@\-]{{3,40}})(?<![.\-]))",
    re.IGNORECASE,
)
MESSENGER = re.compile(
    r"(?<![A-Za-z])(?P<app>we ?chat|whats ?app|telegram|skype|instagram|snapchat|discord|kakao ?talk|viber"
    r"|(?<!order )line(?= id\b)|(?P<short>vx|wx)|微信|薇信|[vV]信)"
    rf"(?P<cue>(?: ?(?:account|handle|name|username|me|at|on))?{NEAR})"
    r"(?P<value>@?[A-Za-z0-9][A-Za-z0-9_.\-]{3,40}(?<![.\-]))",
    re.IGNORECASE,
)
TELLS = re.compile(r"is|was|[:=是为為\"'“「]", re.IGNORECASE)
Piece = tuple[str, int, int]


def emails(text: str) -> Iterator[Piece]:
    """Addresses, also with "at" and "dot" in words or brackets, spaces around the signs, or 艾特 and 点."""
    yield from (("EMAIL", found.start(), found.end()) for found in SPACED.finditer(text))
    for found in EMAIL.finditer(text):
        if any(character.isalpha() for character in found[0].rpartition("@")[2]):
            yield "EMAIL", found.start(), len(found[0].rstrip("._%+- ")) + found.start()


def secrets(text: str) -> Iterator[Piece]:
    """What follows a password, PIN or code that only the customer should know; a plain word is none."""
    for found in SECRET.finditer(text):
        value = found["value"].rstrip(".,;!?\"'")
        signs = not value.lstrip("\"'").isalpha()
        if any(character.isdigit() for character in value) or (signs and TELLS.search(found["cue"])):
            yield "SECRET", found.start("value"), found.start("value") + len(value)


def accounts(text: str) -> Iterator[Piece]:
    """Numbers and names of accounts after their cue; what has no digit or sign is taken for a word."""
    for found in ACCOUNT.finditer(text):
        signs = any(character.isdigit() or character in "_@" for character in found["value"])
        if signs or found["name"] or (found["login"] and TELLS.search(found["cue"])):
            yield "ACCOUNT", found.start("value"), found.end("value")
    for found in MESSENGER.finditer(text):
        value = found["value"]
        marked = found["short"] or any(character.isdigit() or character in "_@" for character in value)
        if marked and any(character.isalpha() for character in value):  # digits alone are a telephone number
            yield "ACCOUNT", found.start("value"), found.end("value")


def plain_address(written: str) -> str:
    """An e-mail address as it is typed, from however it was spelled: "amy (at) example dot com"."""
    joined = re.sub(AT, "@", written.replace("%40", "@"), flags=re.IGNORECASE)
    joined = joined if "@" in joined else re.sub(" at ", "@", joined, flags=re.IGNORECASE)
    local, _, host = joined.rpartition("@")
    local = re.sub(" dot ", ".", local, flags=re.IGNORECASE)
    return f"{local}@{re.sub(DOT, '.', host, flags=re.IGNORECASE)}".replace(" ", "").lower()
