"""Placements, campaigns and ready-made series from files, databases and the packaged data."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import DataError, MissingTable
from components.core.tables import TABLES
from components.sources import completejourney
from components.sources.conform import conform
from components.sources.shop import source_of

MONDAY = date(2017, 1, 2)


def weeks(values: list[object] | pl.Series, timezone: str = "America/New_York") -> list[date | None]:
    frame = pl.LazyFrame({"product_id": "p", "week": values}, strict=False)
    return conform(frame, "promotions", timezone).collect()["week"].to_list()


def source(table: str, **block: Any) -> Any:
    return source_of(table, {"timezone": "America/New_York", "sources": {table: block}})


@pytest.mark.parametrize(
    "written",
    ["2017-01-02", "20170102", " 2017/01/02 ", "02.01.2017", "2.1.2017", "2017-W01", "2017-W01-1",
     "2017-01-02 00:00:00", "2017-01-02T00:00",
     "2017-01-02T05:00:00Z", "2017-01-02T00:00:00-05:00", "2017-01-02T00:00:00Z"],
)  # fmt: skip
def test_days_as_text(written: str) -> None:
    assert weeks([written]) == [MONDAY]


@pytest.mark.parametrize(
    "value",
    [
        MONDAY,
        datetime(2017, 1, 2),
        datetime(2017, 1, 2, tzinfo=ZoneInfo("America/New_York")),
        datetime(2017, 1, 2, tzinfo=ZoneInfo("UTC")),
        20170102,
        20170102.0,
        1483333200,  # midnight in New York
        1483315200000,  # midnight UTC in milliseconds
    ],
)
def test_days_of_other_types(value: object) -> None:
    assert weeks([value]) == [MONDAY]


@pytest.mark.parametrize("day", range(2, 9))
def test_any_day_names_its_week(day: int) -> None:
    assert weeks([f"2017-01-0{day}"]) == [MONDAY]


def test_an_instant_is_the_day_that_the_shops_wall_shows() -> None:
    frame = pl.LazyFrame({"series_id": "s", "at": ["2017-01-03T03:00:00Z", "2017-01-02 23:59"], "y": 1})
    assert conform(frame, "sales", "America/New_York").collect()["at"].to_list() == [MONDAY] * 2
    assert conform(frame, "sales", "Asia/Tokyo").collect()["at"].to_list() == [date(2017, 1, 3), MONDAY]


def test_a_day_that_cannot_be_read_is_null() -> None:
    assert weeks(["1/2/2017", "soon", "", None, "2017-02-30", "2017-W60"]) == [None] * 6


@pytest.mark.parametrize("kind", [pl.Int8, pl.UInt16, pl.Int64, pl.Float32, pl.Decimal(12, 2), pl.Boolean, pl.Null])
def test_no_type_is_an_error(kind: type[pl.DataType]) -> None:
    value = pl.Series([None], dtype=kind) if kind == pl.Null else pl.Series([1, None]).cast(kind)
    assert len(weeks(value)) == len(value)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=12), st.integers(), st.floats(), st.dates()), max_size=8))
def test_no_mixture_of_values_is_an_error(values: list[object]) -> None:
    mixed = pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)
    for table in ("promotions", "campaigns", "sales"):
        columns = dict.fromkeys(TABLES[table].schema, mixed)
        found = conform(pl.LazyFrame(columns), table, "America/New_York").collect()
        assert dict(found.schema) == TABLES[table].schema


@settings(max_examples=40, deadline=None)
@given(st.dates(date(1980, 1, 1), date(2100, 1, 1)), st.sampled_from(["America/New_York", "Asia/Tokyo", "UTC"]))
def test_a_day_is_the_same_however_it_is_written(day: date, timezone: str) -> None:
    local = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(timezone))
    written = [day.isoformat(), f"{day:%Y%m%d}", f"{day:%d.%m.%Y}", f"{day:%G-W%V-%u}", local.isoformat()]
    frame = pl.LazyFrame({"series_id": "s", "at": written, "y": 1.0})
    assert set(conform(frame, "sales", timezone).collect()["at"]) == {day}


def test_codes_that_say_no() -> None:
    written = ["0", "", None, " 3 ", "A", "0.0", "No", "false"]
    frame = pl.LazyFrame({"product_id": "p", "week": "2017-01-02", "display": written, "mailer": [0, 1] * 4})
    rows = conform(frame, "promotions").collect()
    assert rows["display"].to_list() == [None, None, None, "3", "A", None, None, None]
    assert rows["mailer"].to_list() == [None, "1"] * 4


def test_covariates_are_the_further_columns_that_say_numbers_or_flags() -> None:
    frame = pl.LazyFrame(
        {
            "series_id": "s",
            "at": "2017-01-02",
            "y": ["1.5", "-2", "", "x"],
            "temperature": ["1.5", "", "-3", "2"],
            "holiday": ["yes", "no", "true", "0"],
            "open": [True, False, None, True],
            "stores": [1, 2, 3, None],
            "remark": ["12", "a", "b", "c"],
            "nothing": [None, "", None, ""],
            "counted": [MONDAY] * 4,
        }
    )
    rows = conform(frame, "sales").collect()
    assert rows.columns == [*TABLES["sales"].schema, "holiday", "open", "stores", "temperature"]
    assert rows["y"].to_list() == [1.5, -2.0, None, None]
    assert rows["holiday"].to_list() == [1.0, 0.0, 1.0, 0.0]
    assert rows["open"].to_list() == [1.0, 0.0, None, 1.0]
    assert rows["temperature"].to_list() == [1.5, None, -3.0, 2.0]
    assert set(rows.select("holiday", "open", "stores", "temperature").dtypes) == {pl.Float64}


def test_other_tables_drop_what_they_do_not_know() -> None:
    frame = pl.LazyFrame({"product_id": "p", "week": "2017-01-02", "temperature": 1.0})
    assert list(conform(frame, "promotions").collect_schema()) == list(TABLES["promotions"].schema)


def test_a_folder_of_placements_whose_files_differ(tmp_path: Path) -> None:
    (tmp_path / "promotions.csv").write_text(
        'product_id,week,store_id,display,mailer,price\n7,2017-01-04,12.0,0,A,"1.50"\nA7,3.1.2017,,3,0,dear\n'
    )
    pl.DataFrame({"product_id": [7], "week": [20170109], "mailer": [1]}).write_parquet(
        tmp_path / "promotions_2.parquet"
    )
    rows = source("promotions", kind="folder", path=str(tmp_path)).read().collect()
    assert dict(rows.schema) == TABLES["promotions"].schema
    assert rows.rows() == [
        ("7", MONDAY, "12", None, "A", 1.5),
        ("A7", MONDAY, None, "3", None, None),
        ("7", date(2017, 1, 9), None, None, "1", None),
    ]


def test_a_folder_of_series_whose_files_have_other_covariates(tmp_path: Path) -> None:
    (tmp_path / "sales-1.csv").write_text("id;day;units;holiday\ns1;2017-01-02;1,5;yes\ns1;2017-01-09;;no\n")
    (tmp_path / "sales-2.csv").write_text("id;day;units;heat\ns2;2017-01-02;-3;21,5\n")
    names = {"series_id": "id", "at": "day", "y": "units"}
    block = {"kind": "folder", "path": str(tmp_path), "columns": names, "separator": ";", "decimal_comma": True}
    rows = source("sales", **block).read().select("series_id", "at", "y", "holiday", "heat").collect()
    assert rows.rows() == [
        ("s1", MONDAY, 1.5, 1.0, None),
        ("s1", date(2017, 1, 9), None, 0.0, None),
        ("s2", MONDAY, -3.0, None, 21.5),
    ]


def test_series_need_their_day(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("series_id,y\ns,1\n")
    with pytest.raises(DataError, match=r"sales: expected the column at.*sources\.sales\.columns"):
        source("sales", kind="folder", path=str(tmp_path)).read()


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    path = tmp_path / "shop.db"
    monkeypatch.setenv("TEST_URL", f"sqlite:///{path}")
    return sqlite3.connect(path)


def stored(database: sqlite3.Connection, columns: str, lines: list[tuple[object, ...]]) -> None:
    database.execute(f"create table stored ({columns})")
    marks = ", ".join("?" * len(lines[0]))
    database.executemany(f"insert into stored values ({marks})", lines)  # noqa: S608 - question marks only
    database.commit()


def read_sql(table: str) -> pl.DataFrame:
    rows = source(table, kind="sql", query="select * from stored", url_from="TEST_URL", batch_rows=2).read()
    return rows.collect()


def test_placements_from_a_database(database: sqlite3.Connection) -> None:
    lines = [(7, "2017-01-03", 1, 0), ("A7", 20170102, None, "D"), (8, "whenever", 2.0, ""), (None, None, 3, 4)]
    stored(database, "product_id, week, store_id, mailer", lines)
    rows = read_sql("promotions")
    assert rows["product_id"].to_list() == ["7", "A7", "8", None]
    assert rows["week"].to_list() == [MONDAY, MONDAY, None, None]
    assert rows["store_id"].to_list() == ["1", None, "2", "3"]
    assert rows["mailer"].to_list() == [None, "D", None, "4"]


def test_campaigns_from_a_database(database: sqlite3.Connection) -> None:
    lines = [(1, 7, "2017-01-03", "31.01.2017", "0.25"), (1, 8, "2017-01-03", "2017-01-31 00:00:00", None)]
    stored(database, "campaign_id, product_id, starts, ends, reach", lines)
    rows = read_sql("campaigns")
    assert rows["starts"].to_list() == [date(2017, 1, 3)] * 2 and rows["ends"].to_list() == [date(2017, 1, 31)] * 2
    assert rows["reach"].to_list() == [0.25, None]


def test_series_from_a_database(database: sqlite3.Connection) -> None:
    lines = [(1, "2017-01-02", 2, 0, None), (1, "2017-01-09", "3", 1, 20), (1, "2017-01-16", None, "no", "n/a")]
    stored(database, "series_id, at, y, holiday, heat", lines)
    rows = read_sql("sales").select("at", "y", "holiday", "heat")
    assert rows.columns == ["at", "y", "holiday", "heat"] and rows["y"].to_list() == [2.0, 3.0, None]
    assert rows["holiday"].to_list() == [0.0, 1.0, 0.0] and rows["heat"].to_list() == [None, 20.0, None]


def packaged(table: str, **block: Any) -> pl.LazyFrame:
    rows: pl.LazyFrame = source(table, kind="completejourney", **block).read()
    return rows


def test_the_packaged_placements_are_weeks_that_begin_on_mondays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a few rows in the package's own form: all 20.9 million take half a minute."""
    pl.DataFrame({"product_id": [1, 2], "department": ["GROCERY", "FUEL"]}).write_parquet(tmp_path / "products.parquet")
    pl.DataFrame(
        {
            "product_id": [1, 1, 2],
            "store_id": [319, 320, 319],
            "display_location": ["0", "A", "1"],
            "mailer_location": ["D", "0", "A"],
            "week": [1, 53, 2],
        }
    ).write_parquet(tmp_path / "promotions.parquet")
    monkeypatch.setattr(completejourney, "packaged_file", lambda name: tmp_path / f"{name}.parquet")
    assert packaged("promotions").select("product_id", "week", "store_id", "display", "mailer").collect().rows() == [
        ("1", date(2016, 12, 26), "319", None, "D"),
        ("1", date(2017, 12, 25), "320", "A", None),
    ]


def test_the_packaged_placements_have_the_columns_that_are_read() -> None:
    found = pl.read_parquet_schema(completejourney.packaged_file("promotions"))
    assert {"product_id", "store_id", "display_location", "mailer_location", "week"} <= set(found)


def test_the_packaged_campaigns_say_whom_they_reach() -> None:
    rows = packaged("campaigns").collect()
    assert rows.height == 103776 and rows.select("campaign_id", "product_id").is_unique().all()
    first = rows.filter(pl.col("campaign_id") == "1").row(0, named=True)
    assert (first["starts"], first["ends"]) == (date(2017, 3, 3), date(2017, 4, 9))
    assert first["reach"] == pytest.approx(13 / 2469)


def test_the_packaged_data_has_no_series() -> None:
    with pytest.raises(MissingTable, match=r"sales: .* has transactions, products, promotions, campaigns only"):
        packaged("sales")
