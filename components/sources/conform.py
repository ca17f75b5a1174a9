"""Whatever types come, the canonical ones go.

A value that cannot be read as its column's type becomes null; validate then quarantines the row
where the column is required. So a few broken rows never stop a shop.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time

import polars as pl

from components.core.errors import DataError
from components.core.tables import DATE, FLAG, INSTANT, NUMBER, Table, identifier, table_named, utc

# Order matters: what is tried first wins where a text fits several.
ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z")
LOCAL_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")
DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d")
DAY_FORMATS = (*DATE_FORMATS, "%Y/%m/%d", "%d.%m.%Y", "%G-W%V-%u")  # 1/2/2024 is left out: nobody knows which month
TRUE_WORDS, FALSE_WORDS = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
NO_CODE = ("0", "false", "no", "none")  # how exports write that there is no placement
MOSTLY = 0.9  # share of a text column's values that must be numbers or flags for it to be a covariate


def conform(frame: pl.LazyFrame, table: str, timezone: str = "UTC") -> pl.LazyFrame:
    """`frame` with exactly the columns and types of `table`; others are dropped, but for covariates.

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
    kept = [_read_as(wanted, column, found.get(column), timezone) for column in wanted.schema]
    return frame.select(*kept, *(_covariates(frame, wanted) if wanted.covariates else ()))


def joined(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Conformed frames of one table, one after the other; a covariate that a frame lacks is null there."""
    return pl.concat(frames, how="diagonal")


def _read_as(table: Table, column: str, found: pl.DataType | None, timezone: str) -> pl.Expr:
    wanted = table.schema[column]
    if found is None:
        return pl.lit(None, wanted).alias(column)
    value = _converted(pl.col(column), found, wanted, timezone)
    if column in table.mondays:
        value = value.dt.truncate("1w")
    if column in table.codes:
        value = pl.when(~value.str.to_lowercase().is_in(NO_CODE)).then(value)
    return value.alias(column)


def _converted(value: pl.Expr, found: pl.DataType, wanted: pl.DataType, timezone: str) -> pl.Expr:
    if wanted == INSTANT:
        return _instant(value, found, timezone).cast(INSTANT)
    if wanted == DATE:
        return _date(value, found, timezone)
    if wanted == FLAG:
        return _flag(value, found)
    return _number(value, found) if wanted == NUMBER else _text(value, found)


def _number(value: pl.Expr, found: pl.DataType) -> pl.Expr:
    number = value.str.strip_chars() if found == pl.String else value
    number = number.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _covariates(frame: pl.LazyFrame, table: Table) -> list[pl.Expr]:
    """Further columns that say numbers or flags, as numbers (true is 1); where they are text, most values must."""
    others = {name: kind for name, kind in frame.collect_schema().items() if name not in table.schema}
    plain = [name for name, kind in others.items() if kind.is_numeric() or kind == pl.Boolean]
    texts = [name for name, kind in others.items() if kind in (pl.String, pl.Categorical, pl.Enum)]
    values = {name: _number_or_flag(pl.col(name), others[name]).alias(name) for name in [*plain, *texts]}
    if texts:
        shares = frame.select((values[name].count() / pl.col(name).replace("", None).count()) for name in texts)
        read = shares.collect(engine="streaming").row(0, named=True)
        texts = [name for name in texts if (read[name] or 0) >= MOSTLY]
    return [values[name] for name in sorted([*plain, *texts])]


def _number_or_flag(value: pl.Expr, found: pl.DataType) -> pl.Expr:
    if found == pl.Boolean:
        return value.cast(pl.Float64)
    if found.is_numeric():
        return _number(value, found)
    text = value.cast(pl.String)
    return pl.coalesce(_number(text, pl.String()), _flag(text, pl.String()).cast(pl.Float64))


def _text(value: pl.Expr, found: pl.DataType) -> pl.Expr:
    """Ids and words: "12", 12 and 12.0 name the same thing; an empty text is no text."""
    if found.is_float():
        whole = (value == value.floor()) & (value.abs() < 2**53)
        return pl.when(whole).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(value.cast(pl.String))
    text = value.cast(pl.String, strict=False)
    return identifier(text) if found == pl.String else text


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


def _date(value: pl.Expr, found: pl.DataType, timezone: str) -> pl.Expr:
    """Days in the shop's time. What stands for an instant is the day there, but for midnight UTC.

    An instant at exactly midnight UTC is a date that some program wrote as an instant: west of Greenwich
    it would otherwise be the day before.
    """
    if found == pl.Date:
        return value
    if isinstance(found, pl.Datetime) and not found.time_zone:
        return value.dt.date()
    if found.is_numeric():
        day = value.cast(pl.Int64, strict=False).cast(pl.String).str.to_date("%Y%m%d", strict=False)
        return pl.when(value.is_between(19_000_101, 22_001_231)).then(day).otherwise(_day(_epoch(value), timezone))
    if isinstance(found, pl.Datetime):
        return _day(value.dt.convert_time_zone("UTC"), timezone)
    text = value.cast(pl.String, strict=False).str.strip_chars()
    text = pl.when(text.str.contains(r"^\d{4}-W\d{2}$")).then(text + "-1").otherwise(text)  # a week without a day
    days = [text.str.to_date(form, strict=False) for form in DAY_FORMATS]
    local = [text.str.to_datetime(form, time_unit="us", strict=False).dt.date() for form in LOCAL_FORMATS]
    zoned = [text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in ZONED_FORMATS]
    return pl.coalesce(*days, *local, *(_day(instant, timezone) for instant in zoned))


def _day(instant: pl.Expr, timezone: str) -> pl.Expr:
    midnight = instant.dt.time() == time(0)
    return pl.when(midnight).then(instant.dt.date()).otherwise(instant.dt.convert_time_zone(timezone).dt.date())
