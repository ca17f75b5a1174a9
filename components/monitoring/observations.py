"""From answers and what came of them to observations that a sequential interval may count.

An interval over a stream supposes that each observation says something new. Answers do not: a customer who opens five
pages before one purchase, or a shop that asks every hour for the same forecast. So one observation is what one unit
(a customer, a series) came to in one window of time, a forecast counts once for each period, and of each series only
for the period that is next, since those further ahead are harder and come in later.

Every observation is a share of the good in [0, 1]: an error or a correction counts as one minus itself. Where a
challenger failed and the champion stepped in, the answer is the challenger's, with nothing good in it: else one that
fails for customers who are hard to answer would look better for it, and one that always fails as good as the other.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from components.feedback.rewards import FORECAST, rewards

LOWER_IS_BETTER = ("error", "corrected")
MEASURES = ("hit", "error", "corrected")  # the first that an application has decides a canary
LATE_DAYS = 14  # after a period began, its answer is judged by those sales that came in
LOST_DAYS = 45  # and given up where none did

_INSTANT = pl.Datetime("us", "UTC")
_SHOWN = pl.Struct({"key": pl.String, "position": pl.Int64, "propensity": pl.Float64, "value": pl.Float64})
_IMPRESSION = pl.Struct(
    {"release": pl.String, "role": pl.String, "unit": pl.String, "shown": pl.List(_SHOWN), "stepped_in": pl.Boolean}
)

ANSWERS = {
    "event_id": pl.String,
    "application": pl.String,
    "kind": pl.String,
    "at": _INSTANT,
    "request_id": pl.String,
    "customer_id": pl.String,
    "release": pl.String,
    "role": pl.String,
    "unit": pl.String,
    "phase": pl.String,  # the challenger under which it was given, "" where there was none
    "keys": pl.Int64,
    "period": pl.Date,  # of its latest forecast; null where it shows products
    "payload": pl.String,
}
ASKED = {"release": pl.String, "role": pl.String, "phase": pl.String, "key": pl.String, "period": pl.Date}


def opened(impressions: pl.DataFrame, asked: pl.DataFrame, phase: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers that wait for what comes of them (ANSWERS), and the forecasts that are asked by now (ASKED).

    Args:
        impressions: events of kind impression, in the store's columns.
        asked: forecasts that stand in an earlier answer.
        phase: the challenger under which an answer was given, "" where there was none.
    """
    rows = _shown(impressions.with_columns(phase=phase))
    forecasts, others = rows.filter(pl.col("period").is_not_null()), rows.filter(pl.col("period").is_null())
    nearest = forecasts.filter(pl.col("period") == pl.col("period").min().over("event_id", "series"))
    first = nearest.sort("at", "event_id").unique(["release", "role", "phase", "key"], keep="first")
    fresh = first.join(asked, on=["release", "role", "phase", "key"], how="anti")
    return _answers(pl.concat([fresh, others])), pl.concat([asked, fresh.select(*ASKED)])


def settled(
    answers: pl.DataFrame, told: pl.DataFrame, now: datetime, settle_hours: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is known for good by `now`, and the answers that go on waiting.

    Args:
        answers: those that wait, as `opened` made them.
        told: the feedback that may belong to them.
        now: UTC.
        settle_hours: how long after an answer what follows counts for it; also the window of one observation.

    Returns:
        Observations, oldest first (release, role, phase, unit, at, measure, good in [0, 1]), and answers.
    """
    window = timedelta(hours=settle_hours)
    found = rewards(answers, told, window_hours=settle_hours)
    came = found.filter(pl.col("measure") == "error").select("event_id", came="n")
    judged = answers.with_columns(window=_window(window)).join(came, on="event_id", how="left")
    judged = judged.with_columns(
        due=_due(now, window), lost=pl.col("period") <= (now - timedelta(days=LOST_DAYS)).date()
    )
    failed = (pl.col("payload").str.json_path_match("$.stepped_in") == "true").fill_null(False)
    due = judged.filter("due").select("event_id", "phase", "window", failed=failed)
    observed = _observed(found.join(due, on="event_id"), window)
    return observed, judged.filter(~pl.col("due") & ~pl.col("lost").fill_null(False)).select(*ANSWERS)


def _shown(impressions: pl.DataFrame) -> pl.DataFrame:
    """One row per key that a release showed, with its series and period where it is a forecast."""
    decoded = impressions.with_columns(pl.col("payload").str.json_decode(_IMPRESSION)).unnest("payload")
    ours = decoded.filter(
        pl.col("release").is_not_null()
        & pl.col("role").is_in(["champion", "challenger", "shadow"])
        & (pl.col("shown").list.len() > 0)
    )
    rows = ours.explode("shown").unnest("shown")
    dated = pl.col("key").str.contains(FORECAST) & pl.col("value").is_not_null()
    return rows.with_columns(
        series=pl.col("key").str.replace(FORECAST, ""),
        period=pl.when(dated).then(pl.col("key").str.tail(10).str.to_date(strict=False)),
    )


def _answers(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of shown keys as answers again, with only these keys in the payload."""
    name = ["event_id", "application", "kind", "at", "request_id", "customer_id", "release", "role", "unit", "phase"]
    whole = rows.group_by(*name, "stepped_in").agg(
        shown=pl.struct("key", "position", "propensity", "value").sort_by("position", "key"),
        keys=pl.len().cast(pl.Int64),
        period=pl.col("period").max(),
    )
    payload = pl.struct("release", "role", "unit", "shown", "stepped_in").struct.json_encode()
    return whole.with_columns(payload=payload).select(*ANSWERS).sort("at", "event_id")


def _window(window: timedelta) -> pl.Expr:
    """Number of the window that an answer falls into."""
    return pl.col("at").dt.epoch("us") // (window // timedelta(microseconds=1))


def _due(now: datetime, window: timedelta) -> pl.Expr:
    """A forecast when all its sales came in, or some and the rest are late; else when its window can hold no more."""
    late = pl.col("period") <= (now - timedelta(days=LATE_DAYS)).date()
    came = pl.col("came").fill_null(0)
    forecast = (came == pl.col("keys")) | ((came > 0) & late)
    closed = (pl.col("window") + 2) * (window // timedelta(microseconds=1)) <= int(now.timestamp() * 1e6)
    return pl.when(pl.col("period").is_not_null()).then(forecast).otherwise(closed)


def _observed(found: pl.DataFrame, window: timedelta) -> pl.DataFrame:
    """One row per unit and window; an answer to nobody in particular is a unit of its own."""
    better = pl.when(pl.col("measure").is_in(LOWER_IS_BETTER)).then(1 - pl.col("value")).otherwise(pl.col("value"))
    better = pl.when("failed").then(0.0).otherwise(better)
    who = pl.coalesce("unit", "request_id", "event_id")
    made = found.group_by("release", "role", "phase", "unit", "window", "measure", who=who).agg(good=better.mean())
    start = (pl.col("window") * (window // timedelta(microseconds=1))).cast(_INSTANT)
    ordered = made.sort("window", "measure", "who", "release", "role", "phase")
    return ordered.select("release", "role", "phase", "unit", start.alias("at"), "measure", pl.col("good").clip(0, 1))
