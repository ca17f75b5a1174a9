"""Days that a message names: written out, in figures, or told from the day of the message (yesterday, 上周三)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from components.support.understanding.figures import CHINESE_NUMBER, ENGLISH_NUMBER, number

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTH = rf"(?P<month>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in MONTHS)}|sept)\.?"
WEEKDAY = rf"(?P<weekday>{'|'.join(WEEKDAYS)})"
YEAR = r"(?P<year>(?:19|20)\d{2})"
NEAR_DAYS = {
    "day before yesterday": -2, "yesterday": -1, "last night": -1, "today": 0, "tonight": 0, "this morning": 0,
    "this afternoon": 0, "this evening": 0, "day after tomorrow": 2, "tomorrow": 1,
    "大前天": -3, "前天": -2, "昨天": -1, "昨日": -1, "昨晚": -1, "今天": 0, "今日": 0, "今早": 0, "今晚": 0,
    "明天": 1, "明日": 1, "明晚": 1, "大后天": 3, "大後天": 3, "后天": 2, "後天": 2,
}  # fmt: skip
DAYS_OF = {"day": 1, "week": 7, "天": 1, "日": 1, "周": 7, "週": 7, "星期": 7, "礼拜": 7}
Resolve = Callable[[re.Match[str], date], date | None]


def dates(text: str, day: date | None) -> Iterator[tuple[int, int, str]]:
    """Start, end and the day in ISO form; as written where it cannot be told, for want of `day` or of the year.

    Without a year, the nearest such day to `day` is meant. Figures such as 03/04/2024, which are two days to two
    people, are left as written.
    """
    last = 0
    for found in ANY.finditer(text):
        name = next(group for group, value in found.groupdict().items() if value is not None)
        pattern, resolve = FORMS[name]
        parts = pattern.match(text, found.start())
        if parts is None or found.start() < last:
            continue
        last = parts.end()
        told = resolve(parts, day or date.min)
        known = told is not None and (day is not None or _is_absolute(parts))
        yield parts.start(), parts.end(), told.isoformat() if told and known else parts[0]


def _is_absolute(parts: re.Match[str]) -> bool:
    return bool(parts.groupdict().get("year"))


def _made(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _nearest(month: int, of_month: int, day: date) -> date | None:
    """The day of that month nearest to `day`."""
    years = (max(day.year - 1, 1), day.year, day.year + 1)
    candidates = [made for year in years if (made := _made(year, month, of_month))]
    return min(candidates, key=lambda made: abs(made - day), default=None)


def _by_month(parts: re.Match[str], day: date) -> date | None:
    named = parts["month"]
    month = int(named) if named.isdigit() else [name[:3] for name in MONTHS].index(named.lower()[:3]) + 1
    of_month = int(parts["day"])
    return _made(int(parts["year"]), month, of_month) if parts["year"] else _nearest(month, of_month, day)


def _by_figures(parts: re.Match[str], day: date) -> date | None:
    """Day and month by their size; None where either could be the month."""
    first, second = int(parts["first"]), int(parts["second"])
    if first <= 12 and second <= 12 and first != second:
        return None
    of_month, month = (first, second) if second <= 12 else (second, first)
    return _made(int(parts["year"]), month, of_month)


def _near(parts: re.Match[str], day: date) -> date | None:
    return _shifted(day, NEAR_DAYS[parts[0].lower()])


def _counted(parts: re.Match[str], day: date) -> date | None:
    """So many days or weeks ago or ahead."""
    count = number(parts["count"])
    unit = DAYS_OF[parts["unit"].lower()]
    if count is None or count != int(count):
        return None
    back = parts["way"].lower() in {"ago", "前", "以前", "之前"}
    return _shifted(day, int(count) * unit * (-1 if back else 1))


def _weekday(parts: re.Match[str], day: date) -> date | None:
    """Of the week before, this week or the next; "last" in English is the latest one gone by."""
    which = parts["which"].lower()
    named = parts["weekday"].lower()
    place = WEEKDAYS.index(named) if named in WEEKDAYS else "一二三四五六日天".index(named) % 7 if named != "天" else 6
    if which == "last":
        return _shifted(day, -((day.weekday() - place - 1) % 7 + 1))
    weeks = {"next": 1, "下": 1, "上": -1}.get(which[0] if which[0] in "上下" else which, 0)
    return _shifted(day, place - day.weekday() + 7 * weeks)


def _of_month(parts: re.Match[str], day: date) -> date | None:
    """The 3rd of the month before, of this one, or of the next."""
    month = day.month - 1 + {"上": -1, "下": 1}.get(parts["which"][0], 0)
    return _made(day.year + month // 12, month % 12 + 1, int(parts["day"])) if day.year > 1 else None


def _shifted(day: date, days: int) -> date | None:
    try:
        return day + timedelta(days)
    except OverflowError:
        return None


DAY = r"(?P<day>3[01]|[12]\d|0?[1-9])(?!\d)"
COUNT = rf"(?P<count>\d{{1,3}}|{ENGLISH_NUMBER}|a|{CHINESE_NUMBER})"
FORMS: dict[str, tuple[re.Pattern[str], Resolve]] = {
    name: (re.compile(pattern, re.IGNORECASE), resolve)
    for name, (pattern, resolve) in {
        "iso": (rf"(?<![\w.\-/]){YEAR}[-/.](?P<month>1[0-2]|0?[1-9])[-/.]{DAY}(?![\w\-/])", _by_month),
        "figures": (rf"(?<![\w.\-/])(?P<first>\d{{1,2}})[-/.](?P<second>\d{{1,2}})[-/.]{YEAR}(?![\w\-/])", _by_figures),
        "day_first": (rf"(?<![\w.,\-/]){DAY}(?:st|nd|rd|th)?(?: of)? {MONTH}\b(?:,? {YEAR}\b)?", _by_month),
        "month_first": (rf"\b{MONTH} {DAY}(?:st|nd|rd|th)?\b(?:,? {YEAR}\b)?", _by_month),
        "chinese": (rf"(?:{YEAR}年)?(?<!\d)(?P<month>1[0-2]|0?[1-9])月{DAY}[号號日]?", _by_month),
        "of_month": (rf"(?P<which>上个?月|上個月|这个?月|這個月|本月|下个?月|下個月){DAY}[号號日]", _of_month),
        "near": (rf"\b(?:{'|'.join(word for word in NEAR_DAYS if word.isascii())})\b", _near),
        "near_chinese": ("|".join(word for word in NEAR_DAYS if not word.isascii()), _near),
        "counted": (rf"(?<!\w){COUNT} (?P<unit>day|week)s? (?P<way>ago)\b", _counted),
        "ahead": (rf"\b(?P<way>in) {COUNT} (?P<unit>day|week)s?\b", _counted),
        "counted_chinese": (
            rf"(?<!\d){COUNT}个?(?P<unit>天|日|周|週|星期|礼拜)(?P<way>以前|之前|前|以后|之后|后|後)",
            _counted,
        ),
        "weekday": (rf"\b(?P<which>last|this|next) {WEEKDAY}\b", _weekday),
        "weekday_chinese": (
            r"(?P<which>上个?|这个?|本|下个?|上個|這個|下個)(?:周|週|星期|礼拜|禮拜)(?P<weekday>[一二三四五六日天])",
            _weekday,
        ),
    }.items()
}
ANY = re.compile(
    "|".join(f"(?P<{name}>{re.sub(r'[?]P<[a-z]+>', '?:', form.pattern)})" for name, (form, _) in FORMS.items()),
    re.IGNORECASE,
)
