"""Conditions of events, as plain columns that an expectation can name: clocks, payloads, bots, floods, requests.

    minutes_before_receipt  negative where an event says that it happened after the store had it
    payload_readable        whether the payload is a JSON object whose fields have their types
    payload_complete        whether it says what its kind must say; null where it cannot be read
    order_named             whether a purchase names its order; null for other kinds
    quantity_most           the largest quantity of a purchase's items, sign aside; null for other kinds
    amount_most             the same of amounts
    period_begun            whether the period of a sales figure had begun when the figure was received
    products_known          whether the products table has all products that are named; null without one
    events_that_minute      of the same customer, or of the same request where those are more; null without either
    events_that_day         the same
    source_share            of an application's corrections received that day, the share that one source sent;
                            null for other kinds, and where a source sent fewer than FEW
    request_answered        whether the service has answered the request that is named; null without impressions
    label_known             whether there is the label of a correction; null for other kinds, and without a list of them
    label_agreed            whether no other label of the same subject has more votes; null for other kinds
    corrections_that_minute of the same application and source; null for other kinds

An event belongs to the day on which it was received: what is counted is counted within one part.
"""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import polars as pl

from components.core.tables import identifier
from components.feedback.events import Role
from components.feedback.payloads import said
from components.quality.labels import Labels, label_agreed, label_known, source

FEW = 100  # corrections: as many as one person may make in a day
PRODUCT_KINDS = ("click", "cart", "dismiss")
BY_PEOPLE = (*PRODUCT_KINDS, "purchase", "impression")  # what one customer, or one visit, does one by one


def with_event_conditions(
    part: pl.LazyFrame,
    products: pl.Series | None = None,
    answered: pl.Series | None = None,
    labels: Labels | None = None,
) -> pl.LazyFrame:
    """`part` with the columns above.

    Args:
        part: events received on one day.
        products: ids of all products; None where the shop has no such table.
        answered: those requests of these events that the service has answered; None where it is not known.
        labels: of corrections.
    """
    rows = part.with_columns(said=said())
    minutes = (pl.col("received_at") - pl.col("at")).dt.total_seconds() / 60
    return rows.with_columns(
        minutes_before_receipt=minutes,
        payload_readable=pl.col("said").is_not_null(),
        payload_complete=pl.when(pl.col("said").is_not_null()).then(_complete()),
        order_named=pl.when(pl.col("kind") == "purchase").then(pl.col("order_id").is_not_null()),
        quantity_most=_of_items("quantity").list.eval(pl.element().abs()).list.max(),
        amount_most=_of_items("amount").list.eval(pl.element().abs()).list.max(),
        period_begun=pl.when(pl.col("kind") == "sales").then(_period() <= _tomorrow()),
        products_known=_products_known(products),
        events_that_minute=_pace("1m"),
        events_that_day=_pace("1d"),
        source_share=_source_share(),
        request_answered=_answered(answered),
        **_of_corrections(labels or Labels()),
    ).drop("said")


def _field(name: str) -> pl.Expr:
    return pl.col("said").struct.field(name)


def _of_items(name: str) -> pl.Expr:
    """One field of every item, a list; null where there are no items."""
    return _field("items").list.eval(pl.element().struct.field(name))


def _every(items: pl.Expr, condition: pl.Expr) -> pl.Expr:
    return items.list.eval(condition.fill_null(False)).list.all()


def _complete() -> pl.Expr:
    item, items, shown = pl.element().struct, _field("items"), _field("shown")
    bought = _every(items, item.field("product_id").is_not_null() & item.field("quantity").is_not_null())
    seen = _every(
        shown,
        item.field("key").is_not_null()
        & (item.field("position") >= 1)
        & (item.field("propensity") > 0)
        & (item.field("propensity") <= 1),
    )
    figures = _field("series_id").is_not_null() & _field("units").is_not_null() & _period().is_not_null()
    kind = pl.col("kind")
    return (
        pl.when(kind.is_in(PRODUCT_KINDS))
        .then(_field("product_id").is_not_null())
        .when(kind == "purchase")
        .then((bought & (items.list.len() > 0)).fill_null(False))
        .when(kind == "sales")
        .then(figures)
        .when(kind == "correction")
        .then(_field("subject").is_not_null() & _field("label").is_not_null())
        .when(kind == "impression")
        .then((seen & _field("role").is_in(get_args(Role))).fill_null(False))
    )


def _period() -> pl.Expr:
    return _field("period").str.to_date("%Y-%m-%d", strict=False)


def _tomorrow() -> pl.Expr:
    """The day after receipt by UTC: east of Greenwich it may have begun already."""
    return pl.col("received_at").dt.date() + timedelta(days=1)


def _products_known(products: pl.Series | None) -> pl.Expr:
    if products is None:
        return pl.lit(None, pl.Boolean)
    ids = products.implode()
    one = _field("product_id").is_null() | _field("product_id").is_in(ids)
    return one & _every(_of_items("product_id"), pl.element().is_in(ids)).fill_null(True)


def _pace(unit: str) -> pl.Expr:
    """How many of these events fall into the same minute or day of event time."""
    time, counted = pl.col("at").dt.truncate(unit), pl.col("kind").is_in(BY_PEOPLE)
    paces = [
        pl.when(counted & pl.col(who).is_not_null()).then(counted.sum().over(who, time))
        for who in ("customer_id", "request_id")
    ]
    return pl.max_horizontal(paces)


def _source_share() -> pl.Expr:
    """Corrections that name no source count as one source."""
    correction = pl.col("kind") == "correction"
    own = correction.sum().over("application", source(_field("by")))
    share = own / correction.sum().over("application")
    return pl.when(correction & (own >= FEW)).then(share)


def _of_corrections(labels: Labels) -> dict[str, pl.Expr]:
    correction, application = pl.col("kind") == "correction", pl.col("application")
    label, minute = identifier(_field("label")), pl.col("at").dt.truncate("1m")
    made = {
        "label_known": label_known(application, label, labels),
        "label_agreed": label_agreed(application, _field("subject"), label, labels),
        "corrections_that_minute": correction.sum().over("application", source(_field("by")), minute),
    }
    return {name: pl.when(correction).then(condition) for name, condition in made.items()}


def _answered(answered: pl.Series | None) -> pl.Expr:
    """The service's own impressions are its answers; what others report must name one. An unread role passes."""
    if answered is None:
        return pl.lit(None, pl.Boolean)
    own = (pl.col("kind") == "impression") & (_field("role") != "shop").fill_null(True)
    return own | pl.col("request_id").is_null() | pl.col("request_id").is_in(answered.implode())
