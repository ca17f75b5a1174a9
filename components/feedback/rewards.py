"""What came of each answer: the reward by which live quality, off-policy estimates and replays measure.

Nothing here knows an application: what its events carry decides. Three measures, each within [0, 1]:

    hit        1 where something shown was clicked, put into a basket or bought, else 0
    error      mean over what was shown of |units - value| / (|units| + |value|): a forecast whose sales came in
    corrected  1 where somebody said what would have been right, else 0

A shown key "<series>|<YYYY-MM-DD>" is a forecast of that period; any other key is a product. An application is judged
by `hit` once clicks, baskets or purchases came in at all, and by `corrected` once corrections did: before that,
nothing is known of its answers, and 0 would be a guess.

Who gets the credit: an event that names a request counts for that request only, whenever it comes. A purchase that
names none counts for each application's last answer to that customer before it, where that is at most `window_hours`
old; of several answers to one request (champion and shadow) for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

FORECAST = r"\|\d{4}-\d{2}-\d{2}$"

_SHOWN = pl.Struct({"key": pl.String, "position": pl.Int64, "propensity": pl.Float64, "value": pl.Float64})
_IMPRESSION = pl.Struct({"release": pl.String, "role": pl.String, "unit": pl.String, "shown": pl.List(_SHOWN)})
_TOUCH = pl.Struct({"product_id": pl.String})
_PURCHASE = pl.Struct({"items": pl.List(pl.Struct({"product_id": pl.String, "quantity": pl.Float64}))})
_SALES = pl.Struct({"series_id": pl.String, "period": pl.String, "units": pl.Float64})

_ANSWER = ("event_id", "request_id", "application", "release", "role", "unit", "customer_id", "at")
_TEXTS, _TIMES = ("event_id", "application", "kind", "request_id", "customer_id", "payload"), ("at", "received_at")
_KEPT: dict[str, pl.DataType] = {
    **dict.fromkeys(_TEXTS, pl.String()),
    **dict.fromkeys(_TIMES, pl.Datetime("us", "UTC")),
}


def rewards(impressions: pl.DataFrame, feedback: pl.DataFrame, window_hours: float = 24.0) -> pl.DataFrame:
    """One row per answer of which something is known, oldest first; events in the store's columns, in any order.

    Columns: event_id, request_id, application, release, role, unit, customer_id, at, measure, value in [0, 1], and
    n, how many shown keys the value is about (1 for `corrected`).

    Args:
        impressions: events of kind impression; other kinds are left out.
        feedback: events of the other kinds.
        window_hours: until when after an answer a purchase that names no request counts for it.
    """
    shown, told = _shown(impressions), _events(feedback)
    parts = [_hit(shown, told, window_hours), _error(shown, told), _corrected(shown, told)]
    return pl.concat(parts).sort("at", "event_id", "measure")


def shown_rows(impressions: pl.DataFrame, feedback: pl.DataFrame, window_hours: float = 24.0) -> pl.DataFrame:
    """One row per shown product, for off-policy estimates; answers oldest first, each by position.

    Columns: those that name the answer as in `rewards`, key, position (from 1), propensity in (0, 1], and reward:
    1 where that product was clicked, put into a basket or bought, else 0.
    """
    shown, told = _products(_shown(impressions)), _events(feedback)
    found = _credited(shown, told, window_hours)
    rewarded = shown.join(found.with_columns(reward=pl.lit(1.0)), on=["event_id", "key"], how="left")
    columns = rewarded.select(*_ANSWER, "key", "position", "propensity", pl.col("reward").fill_null(0.0))
    return columns.sort("at", "event_id", "position", "key")


def _events(frame: pl.DataFrame) -> pl.DataFrame:
    """Each event once, in the order of their ids, so that neither repetition nor order matters."""
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in _KEPT.items() if name not in frame.columns]
    first = frame.with_columns(absent).select(*_KEPT).sort("event_id", "received_at", "at", "payload")
    return first.unique("event_id", keep="first", maintain_order=True)


def _payload(events: pl.DataFrame, kinds: Sequence[str], shape: pl.Struct) -> pl.DataFrame:
    """Events of these kinds with the fields of their payload as columns; other fields are left out."""
    chosen = events.filter(pl.col("kind").is_in(list(kinds)))
    return chosen.with_columns(pl.col("payload").str.json_decode(shape)).unnest("payload")


def _shown(impressions: pl.DataFrame) -> pl.DataFrame:
    """One row per shown key: what names its answer, then key, position, propensity, value."""
    answers = _payload(_events(impressions), ["impression"], _IMPRESSION)
    rows = answers.filter(pl.col("shown").list.len() > 0).explode("shown").unnest("shown").drop_nulls("key")
    rows = rows.select(*_ANSWER, "key", "position", "propensity", "value").sort("event_id", "position")
    return rows.unique(["event_id", "key"], keep="first", maintain_order=True)


def _products(shown: pl.DataFrame) -> pl.DataFrame:
    return shown.filter(~pl.col("key").str.contains(FORECAST))


def _hit(shown: pl.DataFrame, told: pl.DataFrame, window_hours: float) -> pl.DataFrame:
    """Every answer with products, of applications that hear of what customers do."""
    products = _of_heard(_products(shown), told.filter(pl.col("kind").is_in(["click", "cart", "purchase"])))
    found = _credited(products, told, window_hours).select("event_id").unique().with_columns(value=pl.lit(1.0))
    answers = products.group_by(*_ANSWER).agg(n=pl.len())
    return _rows(answers.join(found, on="event_id", how="left").with_columns(pl.col("value").fill_null(0.0)), "hit")


def _of_heard(shown: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Rows of the applications to which these events belong, or one of whose answers they name."""
    named = shown.join(told, on="request_id", how="semi")["application"]
    return shown.filter(pl.col("application").is_in(pl.concat([told["application"], named]).unique().implode()))


def _credited(products: pl.DataFrame, told: pl.DataFrame, window_hours: float) -> pl.DataFrame:
    """event_id and key of what was shown and taken, each once."""
    touched = _payload(told, ["click", "cart"], _TOUCH).select("request_id", "product_id")
    bought = _bought(told)
    named = pl.concat([touched, bought.select("request_id", "product_id")]).drop_nulls().unique()
    by_request = products.join(named, left_on=["request_id", "key"], right_on=["request_id", "product_id"])
    by_customer = _last_answers(products, bought.filter(pl.col("request_id").is_null()), window_hours)
    return pl.concat([by_request.select("event_id", "key"), by_customer]).unique()


def _bought(told: pl.DataFrame) -> pl.DataFrame:
    """One row per product of each purchase: event_id, request_id, customer_id, at, product_id; no returns."""
    lines = _payload(told, ["purchase"], _PURCHASE).explode("items").unnest("items")
    kept = lines.filter(pl.col("quantity").fill_null(1.0) > 0)
    return kept.select("event_id", "request_id", "customer_id", "at", "product_id").drop_nulls("product_id")


def _last_answers(products: pl.DataFrame, bought: pl.DataFrame, window_hours: float) -> pl.DataFrame:
    """event_id and key of answers that were their customer's last before a purchase without a request, and held it."""
    asked = pl.col("request_id").fill_null(pl.col("event_id"))
    named = products.drop_nulls("customer_id").with_columns(asked=asked)
    # the answers to one request may be milliseconds apart: they are one moment, that of the first
    moments = named.group_by("application", "customer_id", "asked").agg(pl.col("at").min()).sort("at", "asked")
    orders = bought.drop_nulls("customer_id").select("event_id", "customer_id", "at").unique().sort("at")
    every = orders.join(moments.select("application").unique(), how="cross").sort("at")
    last = every.rename({"event_id": "order"}).join_asof(
        moments.unique(["application", "customer_id", "at"], keep="last", maintain_order=True).sort("at"),
        on="at", by=["application", "customer_id"], strategy="backward",
        tolerance=timedelta(hours=window_hours), check_sortedness=False,
    )  # fmt: skip
    lines = bought.select(order="event_id", key="product_id").unique()
    credited = last.drop_nulls("asked").join(lines, on="order").select("application", "customer_id", "asked", "key")
    return named.join(credited.unique(), on=["application", "customer_id", "asked", "key"]).select("event_id", "key")


def _error(shown: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Answers with forecasts of periods whose sales came in; of several figures for one period the latest holds."""
    sales = _payload(told, ["sales"], _SALES).sort("at", "received_at", "event_id")
    key = pl.concat_str("series_id", pl.lit("|"), "period")
    known = sales.select(key=key, units="units").drop_nulls().unique("key", keep="last", maintain_order=True)
    pairs = shown.drop_nulls("value").join(known, on="key")
    gap, size = (pl.col("units") - pl.col("value")).abs(), pl.col("units").abs() + pl.col("value").abs()
    error = pl.when(size > 0).then(gap / size).otherwise(0.0).clip(0.0, 1.0)  # 0 for 0 units is no error
    return _rows(pairs.group_by(*_ANSWER).agg(value=error.mean(), n=pl.len()), "error")


def _corrected(shown: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Every answer of applications that are corrected at all."""
    corrections = told.filter(pl.col("kind") == "correction")
    answers = _of_heard(shown, corrections).select(_ANSWER).unique()
    named = pl.col("request_id").is_in(corrections["request_id"].drop_nulls().unique().implode())
    value = named.fill_null(False).cast(pl.Float64)
    return _rows(answers.with_columns(value=value, n=pl.lit(1, pl.UInt32)), "corrected")


def _rows(answers: pl.DataFrame, measure: str) -> pl.DataFrame:
    return answers.select(*_ANSWER, "value", pl.col("n").cast(pl.Int64), measure=pl.lit(measure)).select(
        *_ANSWER, "measure", "value", "n"
    )
