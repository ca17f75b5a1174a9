"""Conditions that one row alone does not show, as plain columns that an expectation can name."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from components.core.tables import DATE, Table, utc
from components.quality.events import with_event_conditions
from components.quality.labels import Labels, with_label_conditions

PRODUCT_KNOWN, REPEATED, HOURS_BEFORE_AS_OF, DAYS_LONG = "product_known", "repeated", "hours_before_as_of", "days_long"


def with_conditions(
    part: pl.LazyFrame,
    table: Table,
    as_of: str | None,
    products: pl.Series | None,
    timezone: str = "UTC",
    answered: pl.Series | None = None,
    labels: Labels | None = None,
) -> pl.LazyFrame:
    """`part` with the columns that suites may name besides the canonical ones.

    product_known       whether the products table has it; true where a row names no product, null without a table
    repeated            whether the row before says exactly the same (or has the same key, where that may be but once)
    hours_before_as_of  negative for times that have not come yet; null in rows about the future
    days_long           from `starts` to `ends`, both counted
    and those of components.quality.events for tables of events, of components.quality.labels for labelled messages

    Args:
        part: sorted as collect sorts, so that equal rows are neighbours.
        table: whose rows these are.
        as_of: ISO time, end of the data.
        products: the ids that may be named.
        timezone: the shop's, in which days begin.
        answered: the requests that the service has answered, for tables of events.
        labels: which there are and which are outvoted, for tables whose rows carry some.
    """
    found = set(part.collect_schema().names())
    compared = [column for column in (_named_by(table) if table.once else table.schema) if column in found]
    same = pl.all_horizontal(pl.col(column).eq_missing(pl.col(column).shift(1)) for column in compared)
    first = pl.int_range(pl.len()) == 0
    made = {REPEATED: same & ~first, PRODUCT_KNOWN: _known(found, products)}
    if table.time is not None:
        made[HOURS_BEFORE_AS_OF] = _hours_before(as_of, table, timezone)
    if {"starts", "ends"} <= found:
        made[DAYS_LONG] = (pl.col("ends") - pl.col("starts")).dt.total_days() + 1.0
    part = part.with_columns(**made)
    if "payload" in found:
        return with_event_conditions(part, products, answered, labels or Labels())
    return with_label_conditions(part, labels or Labels()) if {"text", "intent"} <= found else part


def _named_by(table: Table) -> list[str]:
    return [*table.key, *([table.time] if table.time else [])]


def _known(found: set[str], products: pl.Series | None) -> pl.Expr:
    if products is None or "product_id" not in found:
        return pl.lit(None, pl.Boolean)
    return pl.col("product_id").is_null() | pl.col("product_id").is_in(products.implode())


def _hours_before(as_of: str | None, table: Table, timezone: str) -> pl.Expr:
    if as_of is None or table.time is None:
        return pl.lit(None, pl.Float64)
    at = instant(table.time, table.schema[table.time], timezone)
    hours = (pl.lit(datetime.fromisoformat(as_of)) - at).dt.total_seconds() / 3600
    return pl.when(pl.col(table.happened).is_not_null()).then(hours) if table.happened else hours


def instant(time: str, kind: pl.DataType, timezone: str) -> pl.Expr:
    """A table's column of times as instants: for a day, its midnight in the shop's time."""
    return utc(pl.col(time).cast(pl.Datetime("us")), timezone) if kind == DATE else pl.col(time)
