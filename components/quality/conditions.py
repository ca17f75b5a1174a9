"""Conditions that one row alone does not show, as plain columns that an expectation can name."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from components.core.tables import Table

PRODUCT_KNOWN, REPEATED, HOURS_BEFORE_AS_OF = "product_known", "repeated", "hours_before_as_of"


def with_conditions(part: pl.LazyFrame, table: Table, as_of: str | None, products: pl.Series | None) -> pl.LazyFrame:
    """`part` with the columns that suites may name besides the canonical ones.

    product_known       whether the products table has it; true where a row names no product, null without a table
    repeated            whether the row before says exactly the same (for tables without times: has the same key)
    hours_before_as_of  negative for times that have not come yet

    Args:
        part: sorted as collect sorts, so that equal rows are neighbours.
        table: whose rows these are.
        as_of: ISO time, end of the data.
        products: the ids that may be named.
    """
    found = set(part.collect_schema().names())
    compared = [column for column in (table.key if table.time is None else table.schema) if column in found]
    same = pl.all_horizontal(pl.col(column).eq_missing(pl.col(column).shift(1)) for column in compared)
    first = pl.int_range(pl.len()) == 0
    made = {REPEATED: same & ~first, PRODUCT_KNOWN: _known(found, products)}
    if table.time is not None and as_of is not None:
        made[HOURS_BEFORE_AS_OF] = (
            pl.lit(datetime.fromisoformat(as_of)) - pl.col(table.time)
        ).dt.total_seconds() / 3600
    return part.with_columns(**made)


def _known(found: set[str], products: pl.Series | None) -> pl.Expr:
    if products is None or "product_id" not in found:
        return pl.lit(None, pl.Boolean)
    return pl.col("product_id").is_null() | pl.col("product_id").is_in(products.implode())


def _hours_before(as_of: str | None, time: str) -> pl.Expr:
    if as_of is None:
        return pl.lit(None, pl.Float64)
    return (pl.lit(datetime.fromisoformat(as_of)) - pl.col(time)).dt.total_seconds() / 3600
