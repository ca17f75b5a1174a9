"""Canonical tables: whatever types come, the same things go."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.errors import DataError, ParamsError
from components.core.tables import TABLES, missing_columns, table_named
from components.sources.conform import conform


def at(values: list[object] | pl.Series, timezone: str = "UTC") -> list[datetime | None]:
    """The column `at` of a stock table as conform reads it."""
    frame = pl.LazyFrame({"product_id": "p", "on_hand": 1, "at": values}, strict=False)
    return conform(frame, "stock", timezone).collect()["at"].to_list()


def product_ids(values: list[object] | pl.Series) -> list[str | None]:
    frame = pl.LazyFrame({"product_id": values, "title": "t", "category": "c"}, strict=False)
    return conform(frame, "products").collect()["product_id"].to_list()


@pytest.mark.parametrize(
    "written",
    [
        "2024-05-06T07:08:09Z",
        "2024-05-06T07:08:09+00:00",
        "2024-05-06 09:08:09+02:00",
        "2024-05-06T03:08:09.000-0400",
        "2024-05-06 07:08:09",
        " 2024-05-06T07:08:09.000 ",
    ],
)
def test_times_as_text_with_and_without_zone(written: str) -> None:
    assert at([written]) == [datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)]


@pytest.mark.parametrize("number", [1714979289, 1714979289000, 1714979289000000, 1714979289000000000, 1714979289.0])
def test_times_as_numbers_since_1970(number: float) -> None:
    assert at([number]) == [datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)]


def test_naive_times_are_the_shops_own() -> None:
    assert at([datetime(2024, 7, 1, 20)], "America/New_York") == [datetime(2024, 7, 2, 0, tzinfo=UTC)]
    assert at(["2024-01-01"], "America/New_York") == [datetime(2024, 1, 1, 5, tzinfo=UTC)]
    assert at([date(2024, 1, 1)], "Europe/Berlin") == [datetime(2023, 12, 31, 23, tzinfo=UTC)]


def test_an_hour_that_never_was_and_one_that_was_twice() -> None:
    gap, twice = datetime(2024, 3, 10, 2, 30), datetime(2024, 11, 3, 1, 30)
    assert at([gap, twice], "America/New_York") == [
        datetime(2024, 3, 10, 7, 30, tzinfo=UTC),
        datetime(2024, 11, 3, 5, 30, tzinfo=UTC),
    ]


def test_a_broken_value_is_null_and_not_an_error() -> None:
    assert at(["2024-05-06T07:08:09Z", "yesterday", "", None, "2024-13-45"])[1:] == [None] * 4
    lines = pl.LazyFrame(
        {"basket_id": "b", "product_id": "p", "at": 0, "quantity": ["1", " 2.5 ", "two", "NaN", "inf"], "amount": 1}
    )
    assert conform(lines, "transactions").collect()["quantity"].to_list() == [1.0, 2.5, None, None, None]


@pytest.mark.parametrize("values", [["7", "8"], [7, 8], [7.0, 8.0], ["7.0", " 8 "]])
def test_an_id_is_the_same_text_whatever_its_type(values: list[object]) -> None:
    assert product_ids(values) == ["7", "8"]


def test_odd_ids_survive() -> None:
    assert product_ids(["007", "A-1.0", "", "  ", None, "1.50"]) == ["007", "A-1.0", None, None, None, "1.50"]
    assert product_ids(pl.Series(["a", "b"], dtype=pl.Categorical)) == ["a", "b"]
    assert product_ids([2.5, None]) == ["2.5", None]


def test_flags_in_words() -> None:
    words = ["true", "No", "1", "0", "Y", "perhaps", None]
    frame = pl.LazyFrame({"product_id": "p", "title": "t", "category": "c", "active": words})
    assert conform(frame, "products").collect()["active"].to_list() == [True, False, True, False, True, None, None]


def test_optional_columns_appear_as_null_and_others_go() -> None:
    frame = pl.LazyFrame({"product_id": ["p"], "title": ["t"], "category": ["c"], "colour": ["red"]})
    table = conform(frame, "products").collect()
    assert dict(table.schema) == TABLES["products"].schema
    assert table["price"].to_list() == [None]
    assert missing_columns(["product_id", "title", "category", "price"], "products") == [
        "department",
        "brand",
        "active",
    ]


def test_a_missing_required_column_names_itself_and_the_remedy() -> None:
    with pytest.raises(DataError, match=r"products: expected the columns title, category.*sources\.products\.columns"):
        conform(pl.LazyFrame({"product_id": ["p"]}), "products")


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(ParamsError, match="'invoices'"):
        table_named("invoices")


@given(st.lists(st.one_of(st.none(), st.text(max_size=12), st.integers(), st.floats(), st.booleans()), max_size=8))
def test_no_mixture_of_values_is_an_error(values: list[object]) -> None:
    mixed = pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)
    columns = dict.fromkeys(TABLES["transactions"].schema, mixed)
    table = conform(pl.LazyFrame(columns), "transactions", "America/New_York").collect()
    assert dict(table.schema) == TABLES["transactions"].schema
    assert table["amount"].is_nan().sum() == 0


@given(st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)), st.sampled_from(["America/New_York", "Asia/Tokyo"]))
def test_every_wall_clock_time_has_an_instant(naive: datetime, timezone: str) -> None:
    assert None not in at([naive], timezone)
