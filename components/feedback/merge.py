"""Feedback as rows of the shop's own tables, so that whoever learns from them sees no difference.

    purchase     lines of transactions: an order that the transactions have counts there alone (order_id is their
                 basket_id), one that is told several times counts as it was told first
    click, cart  behaviour, of the session that the request began, else of the customer's day
    sales        units in the table sales, where the shop has one, of its own series, for periods that are over and
                 that the table does not know; told several times, they count as they were told last
    correction   of customer service: messages, each with the label that an agent says it has; told several times, as
                 it was told last. Whatever the table messages ends with, since corrections are no feed of it

Lines that move no goods or pay money back are left out, as validate sets them aside in transactions, and so is what
names a product that the products table lacks. Nothing else of feedback is learned from here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from components.core.tables import identifier, midnight, midnight_after, period_length
from components.feedback.payloads import said

log = logging.getLogger(__name__)

TOO_LATE = timedelta(days=90)  # after the end of a table: a wrong clock, or a table whose feed has stopped
DAY, WEEK = timedelta(days=1), timedelta(days=7)


_SILENT = [pl.lit(None, pl.String).alias(name) for name in ("language", "family")]  # what a correction does not say

Tables = Mapping[str, pl.LazyFrame]
Ends = Mapping[str, str | None]
Added = tuple[pl.LazyFrame, datetime | None]  # a table, and the end of what was added


@dataclass(frozen=True, slots=True)
class Merged:
    """Tables by name, and until when each one's data goes, ISO."""

    tables: Tables
    ends: Ends


def with_feedback(
    tables: Tables,
    feedback: pl.LazyFrame,
    ends: Ends,
    wanted: Collection[str],
    timezone: str = "UTC",
) -> Merged:
    """`tables` with what feedback adds; those to which it adds nothing stay as they are.

    Args:
        tables: accepted shop tables.
        feedback: accepted events.
        ends: until when each table's data goes, ISO.
        wanted: tables that are read at all; transactions and behaviour among them begin here where a shop has none.
        timezone: the shop's, in which days are cut.
    """
    events = feedback.with_columns(said=said())
    merged, until = dict(tables), dict(ends)
    for name, add in ADD.items():
        found = add(events, tables, ends, timezone) if name in wanted else None
        if found is not None:
            merged[name], end = found
            until[name] = _later(until.get(name), end)
    return Merged(merged, until)


def _purchases(events: pl.LazyFrame, tables: Tables, ends: Ends, timezone: str) -> Added | None:
    lines = _known(_lines(events), tables)
    if "transactions" in tables:
        lines = lines.join(tables["transactions"].select("basket_id").unique(), on="basket_id", how="anti")
    # collected once, and no more than the applications do: a payload is slow to read, and it is read several times
    found = _in_time(lines.collect(engine="streaming"), "lines of orders", "transactions", ends)
    if found.is_empty():
        return None
    newest: datetime = found["at"].max()  # type: ignore[assignment]
    return _with(tables.get("transactions"), found.sort(found.columns)), midnight_after(newest, timezone)


def _lines(events: pl.LazyFrame) -> pl.LazyFrame:
    """One row per item of each order."""
    purchases = events.filter((pl.col("kind") == "purchase") & pl.col("order_id").is_not_null())
    orders = purchases.sort("at", "received_at", "event_id").unique("order_id", keep="first", maintain_order=True)
    fields = orders.select(
        "at",
        "customer_id",
        basket_id="order_id",
        store_id=identifier(_field("store_id")),
        item=_field("items"),
    )
    item = pl.col("item").struct
    lines = fields.explode("item").select(
        "at",
        "basket_id",
        product_id=identifier(item.field("product_id")),
        quantity=item.field("quantity"),
        amount=item.field("amount"),
        customer_id="customer_id",
        store_id="store_id",
    )
    paid = pl.col("amount").is_null() | (pl.col("amount") >= 0)
    return lines.filter(pl.col("product_id").is_not_null() & (pl.col("quantity") > 0) & paid)


def _behaviour(events: pl.LazyFrame, tables: Tables, ends: Ends, timezone: str) -> Added | None:
    day = pl.col("at").dt.convert_time_zone(timezone).dt.strftime("%Y-%m-%d")
    visit = pl.concat_str("customer_id", day, separator=" ")
    told = events.filter(pl.col("kind").is_in(["click", "cart"])).select(
        "at",
        "event_id",
        "kind",
        session_id=pl.coalesce("request_id", visit, "event_id"),
        customer_id="customer_id",
        product_id=identifier(_field("product_id")),
        query=pl.lit(None, pl.String),
    )
    told = _known(told.drop_nulls("product_id"), tables)
    if "behaviour" in tables:
        told = told.join(tables["behaviour"].select("event_id").unique(), on="event_id", how="anti")
    found = told.collect(engine="streaming")
    return None if found.is_empty() else (_with(tables.get("behaviour"), found.sort("at", "event_id")), None)


def _sales(events: pl.LazyFrame, tables: Tables, ends: Ends, timezone: str) -> Added | None:
    if "sales" not in tables:
        return None
    sales = tables["sales"]
    step = period_length(sales.drop_nulls("y"), "series_id", "at")
    keys = ["series_id", _period(step)]
    known = sales.drop_nulls("y").select(keys).unique()
    series = sales.select(pl.col("series_id").unique())
    new = _figures(events, step, timezone).join(series, on="series_id", how="semi")
    told = new.join(known, on=["series_id", "period"], how="anti").collect(engine="streaming")
    found = _in_time(told, "figures", "sales", ends).sort("series_id", "period")
    if found.is_empty():
        return None
    newest: datetime = found["at"].max()  # type: ignore[assignment]
    return _filled(sales, found.lazy(), step), midnight(newest + step, timezone)


def _corrections(events: pl.LazyFrame, tables: Tables, ends: Ends, timezone: str) -> Added | None:
    corrected = events.filter((pl.col("kind") == "correction") & (pl.col("application") == "support"))
    told = corrected.sort("received_at", "event_id").select(
        "at",
        message_id="event_id",
        text=_field("subject").str.strip_chars(),
        intent=identifier(_field("label")),
        channel=pl.col("kind"),
    )
    found = told.filter(pl.col("text") != "").drop_nulls("intent").collect(engine="streaming")
    if found.is_empty():
        return None
    newest: datetime = found["at"].max()  # type: ignore[assignment]
    last = found.unique("text", keep="last").sort("at", "message_id").with_columns(_SILENT)
    return _with(tables.get("messages"), last), midnight_after(newest, timezone)


ADD: Mapping[str, Callable[[pl.LazyFrame, Tables, Ends, str], Added | None]] = {
    "transactions": _purchases,
    "behaviour": _behaviour,
    "sales": _sales,
    "messages": _corrections,
}


def _figures(events: pl.LazyFrame, step: timedelta, timezone: str) -> pl.LazyFrame:
    """series_id, at, y and period of sales figures; a day's grace, for who counts before the night is over."""
    day = _field("period").str.to_date("%Y-%m-%d", strict=False)
    received = pl.col("received_at").dt.convert_time_zone(timezone).dt.date()
    figures = events.filter(pl.col("kind") == "sales").sort("received_at", "event_id")
    told = figures.select(
        series_id=identifier(_field("series_id")), at=day, y=_field("units"), over=day + step <= received + DAY
    )
    over = told.filter("over").drop_nulls().drop("over").with_columns(_period(step))
    return over.unique(["series_id", "period"], keep="last", maintain_order=True)


def _period(step: timedelta) -> pl.Expr:
    """What is compared: a week's rows may name any of its days."""
    return (pl.col("at").dt.truncate("1w") if step == WEEK else pl.col("at")).alias("period")


def _filled(sales: pl.LazyFrame, figures: pl.LazyFrame, step: timedelta) -> pl.LazyFrame:
    """`sales` with units where a row lacks them, and with new rows that say of their series what its others say."""
    keys, names = ["series_id", "period"], sales.collect_schema().names()
    placed = sales.with_columns(_period(step))
    filled = placed.join(figures.select(*keys, told="y"), on=keys, how="left", maintain_order="left")
    texts = [name for name in ("title", "product_id", "store_id", "category", "weight") if name in names]
    said_of = sales.group_by("series_id").agg(pl.col(texts).drop_nulls().first())
    new = figures.join(placed, on=keys, how="anti").join(said_of, on="series_id", how="left", maintain_order="left")
    rows = filled.with_columns(y=pl.coalesce("y", "told")).select(names)
    return pl.concat([rows, new.drop("period")], how="diagonal_relaxed")


def _field(name: str) -> pl.Expr:
    return pl.col("said").struct.field(name)


def _known(rows: pl.LazyFrame, tables: Tables) -> pl.LazyFrame:
    """Rows about products that the shop lists, where it lists them."""
    if "products" not in tables:
        return rows
    return rows.join(tables["products"].select("product_id").unique(), on="product_id", how="semi")


def _in_time(rows: pl.DataFrame, what: str, table: str, ends: Ends) -> pl.DataFrame:
    """Rows that do not lie far beyond the end of their table: one stray order must not move that end by years."""
    end = ends.get(table)
    if end is None:
        return rows
    limit = datetime.fromisoformat(end) + TOO_LATE
    in_time = rows.filter(pl.col("at") < (limit if rows.schema["at"] == pl.Datetime("us", "UTC") else limit.date()))
    if in_time.height < rows.height:
        log.warning(
            "feedback: %d of %d %s lie more than %d days after the end of the table %s (%s) and are left out: "
            "a wrong clock, or a feed that has stopped; see to the source of %s",
            rows.height - in_time.height, rows.height, what, TOO_LATE.days, table, end, table,
        )  # fmt: skip
    return in_time


def _with(table: pl.LazyFrame | None, rows: pl.DataFrame) -> pl.LazyFrame:
    return rows.lazy() if table is None else pl.concat([table, rows.lazy()], how="diagonal_relaxed")


def _later(end: str | None, other: datetime | None) -> str | None:
    ends = [datetime.fromisoformat(end)] if end else []
    ends += [other] if other else []
    return max(ends).isoformat() if ends else None
