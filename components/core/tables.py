"""The canonical shop tables: what every source is brought to, and what everything else relies on.

A value that cannot be read as its column's type becomes null; validate then quarantines the row
where the column is required. So a few broken rows never stop a shop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from components.core.errors import DataError, ParamsError

ID, TEXT, NUMBER, FLAG = pl.String(), pl.Utf8(), pl.Float64(), pl.Boolean()
INSTANT = pl.Datetime("us", "UTC")

# Order matters: what is tried first wins where a text fits several.
ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z")
LOCAL_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")
DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d")
TRUE_WORDS, FALSE_WORDS = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")


@dataclass(frozen=True, slots=True)
class Table:
    """One canonical table.

    key       columns that name a row; together with everything else they order it
    required  columns without which the table means nothing
    optional  columns that are null throughout where a shop has none
    time      the column by which rows are ordered and cut into parts, or None
    """

    name: str
    key: tuple[str, ...]
    required: Mapping[str, pl.DataType]
    optional: Mapping[str, pl.DataType]
    time: str | None

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Every column with its type, required ones first."""
        return {**self.required, **self.optional}


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table(
            "transactions",
            key=("basket_id", "product_id"),
            required={"basket_id": ID, "product_id": ID, "at": INSTANT, "quantity": NUMBER, "amount": NUMBER},
            optional={"customer_id": ID, "store_id": ID},
            time="at",
        ),
        Table(
            "products",
            key=("product_id",),
            required={"product_id": ID, "title": TEXT, "category": TEXT},
            optional={"department": TEXT, "brand": TEXT, "price": NUMBER, "active": FLAG},
            time=None,
        ),
        Table(
            "behaviour",
            key=("event_id",),
            required={"event_id": ID, "session_id": ID, "kind": TEXT, "at": INSTANT},
            optional={"customer_id": ID, "product_id": ID, "query": TEXT},
            time="at",
        ),
        Table(
            "stock",
            key=("product_id", "store_id"),
            required={"product_id": ID, "on_hand": NUMBER, "at": INSTANT},
            optional={"store_id": ID, "on_order": NUMBER},
            time="at",
        ),
    )
}


def table_named(name: str) -> Table:
    """The canonical table `name`; raises ParamsError for any other."""
    if name not in TABLES:
        raise ParamsError(f"expected a shop table ({', '.join(TABLES)}), got {name!r}; correct the command")
    return TABLES[name]


def conform(frame: pl.LazyFrame, table: str, timezone: str = "UTC") -> pl.LazyFrame:
    """`frame` with exactly the columns and types of `table`; other columns are dropped.

    Args:
        frame: any types; ids may be numbers, numbers may be text.
        table: name of a canonical table.
        timezone: of times that carry no zone of their own.

    Raises:
        DataError: a required column is missing.
    """
    wanted, found = table_named(table), frame.collect_schema()
    absent = [column for column in wanted.required if column not in found]
    if absent:
        raise DataError(
            f"{table}: expected the column{'s' if len(absent) > 1 else ''} {', '.join(absent)}, "
            f"got {', '.join(found.names()) or 'none'}; map them under sources.{table}.columns in params.yaml"
        )
    return frame.select(
        _read_as(column, found[column], dtype, timezone).alias(column)
        if column in found
        else pl.lit(None, dtype).alias(column)
        for column, dtype in wanted.schema.items()
    )


def missing_columns(columns: Sequence[str], table: str) -> list[str]:
    """Optional columns of `table` that `columns` lacks, in canonical order."""
    return [column for column in table_named(table).optional if column not in columns]


def utc(local: pl.Expr, timezone: str) -> pl.Expr:
    """Naive shop times as UTC.

    An hour that happens twice (clocks go back) is taken as its first pass; an hour that never
    was (clocks go forward) is moved on by one hour, which is what a wall clock would have shown.
    """
    known = local.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    moved = (local + pl.duration(hours=1)).dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return pl.coalesce(known, moved).dt.convert_time_zone("UTC")


def _read_as(column: str, found: pl.DataType, wanted: pl.DataType, timezone: str) -> pl.Expr:
    value = pl.col(column)
    if wanted == INSTANT:
        return _instant(value, found, timezone).cast(INSTANT)
    if wanted == FLAG:
        return _flag(value, found)
    if wanted == NUMBER:
        number = value.str.strip_chars() if found == pl.String else value
        number = number.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)
    return _text(value, found)


def _text(value: pl.Expr, found: pl.DataType) -> pl.Expr:
    """Ids and words: "12", 12 and 12.0 name the same thing; an empty text is no text."""
    if found.is_float():
        whole = (value == value.floor()) & (value.abs() < 2**53)
        return pl.when(whole).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(value.cast(pl.String))
    text = value.cast(pl.String, strict=False)
    if found != pl.String:
        return text
    text = text.str.strip_chars()
    text = pl.when(text.str.ends_with(".0")).then(text.str.replace(r"^(-?\d+)\.0$", "${1}")).otherwise(text)
    return pl.when(text != "").then(text)


def _flag(value: pl.Expr, found: pl.DataType) -> pl.Expr:
    if found == pl.Boolean:
        return value
    word = value.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
    return pl.when(word.is_in(TRUE_WORDS)).then(True).when(word.is_in(FALSE_WORDS)).then(False)


def _instant(value: pl.Expr, found: pl.DataType, timezone: str) -> pl.Expr:
    if isinstance(found, pl.Datetime):
        return value.dt.convert_time_zone("UTC") if found.time_zone else utc(value.cast(pl.Datetime("us")), timezone)
    if found == pl.Date:
        return utc(value.cast(pl.Datetime("us")), timezone)
    if found.is_numeric():
        return _epoch(value)
    text = value.cast(pl.String, strict=False).str.strip_chars()
    zoned = [text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in ZONED_FORMATS]
    local = [text.str.to_datetime(form, time_unit="us", strict=False) for form in LOCAL_FORMATS]
    dates = [text.str.to_date(form, strict=False).cast(pl.Datetime("us")) for form in DATE_FORMATS]
    return pl.coalesce(*zoned, *(utc(naive, timezone) for naive in (*local, *dates)))


def _epoch(value: pl.Expr) -> pl.Expr:
    """Numbers since 1970 in seconds, milli-, micro- or nanoseconds, told apart by their size."""
    number = value.cast(pl.Float64)
    size = number.abs()
    micros = (
        pl.when(size < 1e11)
        .then(number * 1e6)
        .when(size < 1e14)
        .then(number * 1e3)
        .when(size < 1e17)
        .then(number)
        .otherwise(number / 1e3)
    )
    return micros.cast(pl.Int64, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
