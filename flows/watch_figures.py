"""The figures of one look, each with its alarm: amount, age, drift of orders and of answers, live quality."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, cast

import polars as pl

from components.monitoring import orders, shown
from components.monitoring.drift import Distribution, Drift, drifts
from components.monitoring.observations import LOWER_IS_BETTER
from components.monitoring.quality import Measured
from components.monitoring.sequential import Bounds
from flows.watch_notes import Notes
from flows.watched import Watched, categories

Trigger = Literal["quality", "corrections", "drift", "predictions", "age", "amount", "refresh"]
Found = tuple[dict[str, Any], list["Alarm"]]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One reason to act, in words."""

    trigger: Trigger
    words: str


def amount_and_age(one: Watched, notes: Notes) -> Found:
    """How much came in since the data ended, and how long ago that is."""
    limits, days, older = one.params, one.age_days, one.histories_days
    new, unseen = _new_events(one, notes, one.fitted), _new_events(one, notes, one.as_of)
    alarms = list[Alarm]()
    if days > limits.max_age_days and new:
        alarms.append(
            Alarm("age", f"the data of its weights ended {days:.1f} days ago (at most {limits.max_age_days:g})")
        )
    if new >= limits.min_new_events:
        alarms.append(
            Alarm("amount", f"{new:,} events since its weights were learned (from {limits.min_new_events:,})")
        )
    if older >= limits.refresh_days and unseen >= limits.refresh_events:
        alarms.append(
            Alarm("refresh", f"{unseen:,} events that its histories do not hold, which end {older:.1f} days ago")
        )
    return {"age_days": days, "new_events": new, "histories_days": older, "unseen_events": unseen}, alarms


def order_drift(one: Watched, notes: Notes) -> Found:
    """Whether orders look as they did at the end of the release's own data."""
    kept = notes.references.setdefault("inputs", {})
    if "purchase" not in one.kinds:
        return {"features": [], "says": "this application does not learn from orders"}, []
    every, known = orders.with_newness(notes.frames["orders"]), categories(one)

    def features(start: datetime, end: datetime) -> dict[str, dict[Any, float]]:
        chosen = every.filter((pl.col("at") >= start) & (pl.col("at") < end))
        return orders.features(chosen, one.timezone, known)

    if one.lineage not in kept and (span := _own_orders(one, every) or _first_orders(one, every)):
        kept[one.lineage] = _as_reference(*span, orders.reference(features(span[0], span[1])))
    start = one.now - timedelta(days=one.params.window_days)
    found, words = _compared(one, kept.get(one.lineage), features, start, "orders")
    return found, [Alarm("drift", f"orders have moved: {words}")] if words else []


def answer_drift(one: Watched, notes: Notes) -> Found:
    """Whether the release answers as it did in its first window; another release is meant to answer differently."""
    kept, table = notes.references.setdefault("answers", {}), notes.frames["shown"]

    def features(start: datetime, end: datetime) -> dict[str, dict[Any, float]]:
        last = end.date() + timedelta(days=end > _midnight(end.date()))
        found = shown.between(table, one.lineage, start.date(), last)
        return {name: words for name, words in found.items() if name != shown.ANSWERS}

    if one.lineage not in kept and (span := _first_answers(one, table)):
        middle = _midnight((span[0] + (span[1] - span[0]) / 2).date())
        kept[one.lineage] = _as_reference(*span, shown.reference(features(span[0], middle), features(middle, span[1])))
    start = _midnight(one.now.date()) - timedelta(days=one.params.window_days - 1)
    found, words = _compared(one, kept.get(one.lineage), features, start, "answers")
    return found, [Alarm("predictions", f"answers have moved: {words}")] if words else []


def live_quality(one: Watched, notes: Notes) -> Found:
    """What answers came to, with intervals that may be looked at all the time, against what was reached before."""
    measured = notes.quality.measured(one.lineage, one.params)
    found = [_shown_as_called(each) for each in measured]
    alarms = [
        Alarm("corrections" if each.measure == "corrected" else "quality", _worse(figure, each.worse))
        for each, figure in zip(measured, found, strict=True)
        if each.worse
    ]
    return {"measures": found}, alarms


def _new_events(one: Watched, notes: Notes, since: datetime) -> int:
    kinds = pl.col("kind").is_in(sorted(one.kinds)) | (pl.col("application") == one.application)
    hour = since.replace(minute=0, second=0, microsecond=0)
    return int(notes.frames["counted"].filter(kinds & (pl.col("hour") >= hour))["n"].sum())


def _own_orders(one: Watched, every: pl.DataFrame) -> tuple[datetime, datetime, int] | None:
    """Whole windows at the end of the release's own data, as far as the feedback goes back and is enough.

    Feedback, not the shop's nightly transactions: what is compared must have come the same way.
    """
    window = timedelta(days=one.params.window_days)
    before = every.filter(pl.col("at") < one.fitted)["at"]
    past = timedelta() if before.is_empty() else one.fitted - cast(datetime, before.min())
    windows = min(past, timedelta(days=one.params.reference_days)) // window
    start = one.fitted - windows * window
    rows = int((before >= start).sum())
    return (start, one.fitted, rows) if windows and rows >= one.params.min_rows else None


def _first_orders(one: Watched, every: pl.DataFrame) -> tuple[datetime, datetime, int] | None:
    after = every.filter(pl.col("at") >= one.fitted)
    return _first_window(
        one, cast(datetime | None, after["at"].min()), lambda end: after.filter(pl.col("at") < end).height
    )


def _first_answers(one: Watched, table: pl.DataFrame) -> tuple[datetime, datetime, int] | None:
    given = table.filter((pl.col("release") == one.lineage) & (pl.col("what") == shown.ANSWERS))
    start = _midnight(cast(date, given["day"].min())) if given.height else None
    return _first_window(one, start, lambda end: int(given.filter(pl.col("day") < end.date())["weight"].sum()))


def _first_window(
    one: Watched, start: datetime | None, rows_until: Callable[[datetime], int]
) -> tuple[datetime, datetime, int] | None:
    """The fewest whole windows from `start` on that hold enough rows; None while there are not so many."""
    if start is None:
        return None
    window = timedelta(days=one.params.window_days)
    for number in range(1, (one.now - start) // window + 1):
        if (rows := rows_until(start + number * window)) >= one.params.min_rows:
            return start, start + number * window, rows
    return None


def _as_reference(start: datetime, end: datetime, rows: int, made: Mapping[str, Distribution]) -> dict[str, Any]:
    features = {name: distribution.as_json() for name, distribution in sorted(made.items())}
    return {"from": start.isoformat(), "to": end.isoformat(), "rows": rows, "features": features}


def _compared(
    one: Watched,
    reference: Mapping[str, Any] | None,
    features: Callable[[datetime, datetime], dict[str, dict[Any, float]]],
    start: datetime,
    what: str,
) -> tuple[dict[str, Any], str]:
    """The features since `start`, or since the reference ended where that is later; the alarms in words."""
    if reference is None:
        return {"features": [], "says": f"too few {what} so far to know how they usually look"}, ""
    begins = max(start, datetime.fromisoformat(reference["to"]))
    before = {name: Distribution.from_json(kept) for name, kept in reference["features"].items()}
    if begins > start:  # less than a whole window
        before = {name: kept for name, kept in before.items() if name not in orders.LOCAL_WEEK}
    limits = one.params
    moved = drifts(before, features(begins, one.now), limits.alpha, limits.psi, limits.min_rows)
    alarming = ", ".join(f"{each.feature} (PSI {each.psi:.2f}, q {each.q:.1g})" for each in moved if each.alarm)
    spans = {"reference": [reference["from"], reference["to"]], "since": begins.isoformat()}
    return {"features": [_plain(each) for each in moved], **spans}, alarming


def _plain(one: Drift) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in asdict(one).items()}


def _shown_as_called(each: Measured) -> dict[str, Any]:
    """Kept as a share of the good, told as people expect it under its name: an error as an error."""
    turn = each.measure in LOWER_IS_BETTER

    def told(value: float | None) -> float | None:
        return value if value is None or not turn else 1 - value

    def bounds(found: Bounds | None) -> dict[str, float | None]:
        mean, low, high = found or (None, None, None)
        return {"mean": told(mean), "low": told(high if turn else low), "high": told(low if turn else high)}

    return {
        "measure": each.measure,
        "n": each.n,
        "baseline": told(each.baseline),
        "baseline_of": each.of,
        "least": told(each.least),
        "alarm": bool(each.worse),
        **bounds(each.whole),
        "mean": told(each.mean),
        "fresh": {**bounds(each.fresh), "since": each.since} if each.fresh else None,
    }


def _worse(figure: Mapping[str, Any], which: str) -> str:
    chosen = figure["fresh"] if which == "fresh" else figure
    since = f" since {datetime.fromisoformat(chosen['since']):%Y-%m-%d}" if which == "fresh" else ""
    return (
        f"{figure['measure']} {chosen['mean']:.4f} [{chosen['low']:.4f}, {chosen['high']:.4f}]{since}, "
        f"{figure['baseline_of']} had {figure['baseline']:.4f} (tolerated: {figure['least']:.4f})"
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
