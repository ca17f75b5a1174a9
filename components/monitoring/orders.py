"""Facts of what customers buy, one row per order, so that orders and not their lines are what is counted.

They come from purchases in the feedback of any shop, whatever application it is watched for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from components.monitoring.drift import Distribution, counted, of_numbers, of_words

SCHEMA: Mapping[str, Any] = {
    "order_id": pl.String,
    "at": pl.Datetime("us", "UTC"),
    "customer_id": pl.String,
    "items": pl.Float64,
    "amount": pl.Float64,
    "product_id": pl.String,
}
RETURNING_DAYS = 28  # a customer without an order for so long counts as new
LOCAL_WEEK = ("hour", "weekday")  # features that only whole weeks compare fairly
NUMBERS = ("items", "amount")

_LINE = pl.Struct({"product_id": pl.String, "quantity": pl.Float64, "amount": pl.Float64})
_PURCHASE = pl.Struct({"items": pl.List(_LINE)})


def orders(feedback: pl.DataFrame) -> pl.DataFrame:
    """One row per order of the purchases among `feedback` (the store's columns), in SCHEMA.

    items: different products; amount: null where no line has one; product_id: the line that cost most.
    """
    bought = feedback.filter(pl.col("kind") == "purchase")
    lines = bought.select("order_id", "event_id", "at", "customer_id", pl.col("payload").str.json_decode(_PURCHASE))
    lines = lines.with_columns(pl.col("order_id").fill_null(pl.col("event_id"))).unnest("payload").explode("items")
    lines = lines.unnest("items").sort("order_id", "amount", "product_id", descending=[False, True, False])
    known = pl.col("amount").is_not_null().any()
    made = lines.group_by("order_id", maintain_order=True).agg(
        pl.col("at", "customer_id").first(),
        items=pl.col("product_id").n_unique().cast(pl.Float64),
        amount=pl.when(known).then(pl.col("amount").sum()),
        product_id=pl.col("product_id").first(),
    )
    return made.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def with_newness(every: pl.DataFrame) -> pl.DataFrame:
    """Column `customer`: new, returning or anonymous; null while too little came before to know."""
    ordered = every.sort("at", "order_id")
    ago = pl.col("at") - pl.col("at").shift(1).over("customer_id")
    kind = (
        pl.when(pl.col("customer_id").is_null())
        .then(pl.lit("anonymous"))
        .when(ago <= timedelta(days=RETURNING_DAYS))
        .then(pl.lit("returning"))
        .otherwise(pl.lit("new"))
    )
    knowable = pl.col("at") >= pl.col("at").min() + timedelta(days=RETURNING_DAYS)
    return ordered.with_columns(customer=pl.when(knowable).then(kind))


def features(chosen: pl.DataFrame, timezone: str, categories: Mapping[str, str]) -> dict[str, dict[Any, float]]:
    """{feature: {value: orders}} of orders with their newness; `categories` by product, empty where nobody knows."""
    local = pl.col("at").dt.convert_time_zone(timezone)
    words = {
        "hour": local.dt.strftime("%H"),
        "weekday": local.dt.strftime("%u"),
        "customer": pl.col("customer"),
    }
    if categories:
        words["category"] = pl.col("product_id").replace_strict(categories, default="not in the catalogue")
    frame = chosen.select(*NUMBERS, **words)
    return {name: counted(frame[name]) for name in frame.columns}


def reference(found: Mapping[str, Mapping[Any, float]]) -> dict[str, Distribution]:
    """What later features are compared with."""
    return {name: (of_numbers if name in NUMBERS else of_words)(dict(values)) for name, values in found.items()}
