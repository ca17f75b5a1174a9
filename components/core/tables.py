"""The canonical shop tables: what every source is brought to, and what everything else relies on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from components.core.errors import ParamsError

ID, TEXT, NUMBER, FLAG = pl.String(), pl.Utf8(), pl.Float64(), pl.Boolean()
INSTANT, DATE = pl.Datetime("us", "UTC"), pl.Date()
PARTS: Mapping[str, str] = {"month": "%Y-%m", "day": "%Y-%m-%d"}  # of UTC; how a part is called


@dataclass(frozen=True, slots=True)
class Table:
    """One canonical table.

    key       columns that name a row; together with everything else they order it
    required  columns without which the table means nothing
    optional  columns that are null throughout where a shop has none
    time      the column by which rows are ordered and cut into parts, or None
    filed     the column by which rows are cut into parts instead, so that what comes late changes no old part
    part      how long a part is
    once      whether a key (at one time) may stand in one row only, whatever else the rows say
    ahead     whether rows tell of what is planned, so that the newest is not the end of the data
    happened  a column that is null in rows about the future, in a table that has both kinds
    mondays   dates that are taken to the Monday of their week
    codes     texts in which "0" says that there is none
    covariates  whether further columns with numbers or flags are kept, as numbers
    personal    texts that customers wrote: collect takes personal data out of them before it writes them
    """

    name: str
    key: tuple[str, ...]
    required: Mapping[str, pl.DataType]
    optional: Mapping[str, pl.DataType]
    time: str | None
    filed: str | None = None
    part: Literal["month", "day"] = "month"
    once: bool = False
    ahead: bool = False
    happened: str | None = None
    mondays: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    covariates: bool = False
    personal: tuple[str, ...] = ()

    @property
    def cut(self) -> str | None:
        """The column that says into which part a row goes."""
        return self.filed or self.time

    @property
    def order(self) -> list[str]:
        """Every column, those first by which rows are sorted."""
        return list(dict.fromkeys([*([self.time] if self.time else []), *self.key, *self.schema]))

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Every column with its type, required ones first."""
        return {**self.required, **self.optional}


EVENT_REQUIRED: Mapping[str, pl.DataType] = {
    "event_id": ID, "application": ID, "kind": TEXT, "at": INSTANT, "received_at": INSTANT, "payload": TEXT,
}  # fmt: skip
EVENT_OPTIONAL: Mapping[str, pl.DataType] = {"request_id": ID, "order_id": ID, "customer_id": ID}

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
            once=True,
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
        Table(
            "promotions",
            key=("product_id", "store_id", "week"),
            required={"product_id": ID, "week": DATE},
            optional={"store_id": ID, "display": TEXT, "mailer": TEXT, "price": NUMBER},
            time="week",
            ahead=True,
            mondays=("week",),
            codes=("display", "mailer"),
        ),
        Table(
            "campaigns",
            key=("campaign_id", "product_id"),
            required={"campaign_id": ID, "product_id": ID, "starts": DATE, "ends": DATE},
            optional={"reach": NUMBER},
            time="starts",
            once=True,
            ahead=True,
        ),
        Table(
            "sales",
            key=("series_id", "at"),
            required={"series_id": ID, "at": DATE, "y": NUMBER},
            optional={"title": TEXT, "product_id": ID, "store_id": ID, "category": TEXT, "weight": NUMBER},
            time="at",
            once=True,
            happened="y",
            covariates=True,
        ),
        Table(
            "intents", key=("intent",), required={"intent": ID, "definition": TEXT}, optional={}, time=None, once=True
        ),
        Table(
            "examples",
            key=("message_id",),
            required={"message_id": ID, "text": TEXT, "language": TEXT, "intent": ID},
            optional={"family": TEXT, "written": DATE},
            time="written",
            once=True,
            personal=("text",),
        ),
        Table(
            "messages",
            key=("message_id",),
            required={"message_id": ID, "at": INSTANT, "text": TEXT},
            optional={"language": TEXT, "intent": ID, "family": TEXT, "channel": TEXT},
            time="at",
            once=True,
            personal=("text",),
        ),
        *(
            Table(
                name,
                key=("event_id",),
                required=EVENT_REQUIRED,
                optional=EVENT_OPTIONAL,
                time="at",
                filed="received_at",
                part="day",
                once=True,
            )
            for name in ("feedback", "impressions")
        ),
    )
}


def table_named(name: str) -> Table:
    """The canonical table `name`; raises ParamsError for any other."""
    if name not in TABLES:
        raise ParamsError(f"expected a shop table ({', '.join(TABLES)}), got {name!r}; correct the command")
    return TABLES[name]


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


def identifier(text: pl.Expr) -> pl.Expr:
    """Texts as ids: without blanks around, "12.0" as "12"; an empty text is no id."""
    text = text.str.strip_chars()
    text = pl.when(text.str.ends_with(".0")).then(text.str.replace(r"^(-?\d+)\.0$", "${1}")).otherwise(text)
    return pl.when(text != "").then(text)


def midnight(day: date, timezone: str) -> datetime:
    """The instant, in UTC, at which `day` begins in the shop's time."""
    return datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(UTC)


def midnight_after(instant: datetime, timezone: str) -> datetime:
    """The end, in UTC, of the shop's day in which `instant` lies."""
    return midnight(instant.astimezone(ZoneInfo(timezone)).date() + timedelta(days=1), timezone)


def period_length(rows: pl.LazyFrame, series: str, day: str) -> timedelta:
    """The commonest step from day to day of the series with most rows; one day where there is none."""
    longest = rows.group_by(series).len().sort("len", series, descending=[True, False]).head(1).select(series)
    days = rows.join(longest, on=series).select(pl.col(day).unique().sort()).collect().to_series()
    steps: list[timedelta] = days.drop_nulls().diff().drop_nulls().mode().sort().to_list()
    return steps[0] if steps else timedelta(days=1)
