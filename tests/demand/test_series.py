"""Series from sold lines and from ready-made sales: where periods begin, what is zero and what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import DataError, MissingTable
from components.demand.features.series import (
    Grid,
    Series,
    categories_of,
    first_day,
    from_sales,
    grid_of,
    stacked,
)
from components.demand.features.transactions import from_transactions

BERLIN, MONDAY = "Europe/Berlin", date(2024, 1, 1)
WEEKS = Grid(MONDAY, 7, 6)
PRODUCTS = pl.DataFrame(
    {
        "product_id": ["ale", "bun", "cod", "dip"],
        "title": ["Ale", None, "Cod", "Dip"],
        "category": ["drink", "bread", "fish", "drink"],
        "department": ["D1", "D2", "D2", "D1"],
        "brand": ["own", "own", "sea", None],
    }
)
Line = tuple[str, datetime, float, str | None]


def sold(product: str, week: int, units: float, store: str | None = "1", hour: int = 12) -> Line:
    """A line in one of WEEKS, on its Wednesday, in the shop's own time."""
    return product, datetime(2024, 1, 3, hour) + timedelta(weeks=week), units, store


def tables(lines: Sequence[Line], products: pl.DataFrame | None = PRODUCTS) -> dict[str, pl.LazyFrame]:
    """Every unit costs 2."""
    frame = pl.DataFrame(
        {
            "product_id": [line[0] for line in lines],
            "at": [line[1].replace(tzinfo=ZoneInfo(BERLIN)) for line in lines],
            "quantity": [line[2] for line in lines],
            "amount": [2 * line[2] for line in lines],
            "store_id": pl.Series([line[3] for line in lines], dtype=pl.String),
        }
    ).with_columns(pl.col("at").dt.convert_time_zone("UTC"))
    return {"transactions": frame.lazy()} | ({} if products is None else {"products": products.lazy()})


def of_products(lines: Sequence[Line], most: int = 10, until: int = 6, grid: Grid = WEEKS) -> Series:
    return from_transactions(tables(lines), grid, "product", BERLIN, until, most)


def units(series: Series, name: str) -> list[float]:
    return series.y[series.table["series_id"].to_list().index(name)].tolist()


def sales(rows: Sequence[tuple[object, ...]], **columns: Sequence[object]) -> pl.LazyFrame:
    """series_id, day of the data (0 = MONDAY), y."""
    frame = pl.DataFrame(rows, schema={"series_id": pl.String, "day": pl.Int32, "y": pl.Float64}, orient="row")
    frame = frame.with_columns(at=pl.lit(MONDAY) + pl.duration(days="day")).drop("day")
    return frame.with_columns(at=pl.col("at").cast(pl.Date), **{k: pl.Series(v) for k, v in columns.items()}).lazy()


# --- periods ----------------------------------------------------------------------------------------


def test_a_week_is_cut_by_the_shops_own_clock() -> None:
    sunday = datetime(2024, 1, 7, 23, 30)  # Sunday in Berlin; half an hour later is Monday there and Sunday in UTC
    found = of_products([("ale", sunday, 3.0, "1"), ("ale", sunday + timedelta(hours=1), 5.0, "1")])
    assert found.y[0, :2].tolist() == [3.0, 5.0]


def test_a_day_is_cut_by_the_shops_own_clock() -> None:
    late = datetime(2024, 1, 2, 0, 30)  # the first of January in UTC
    found = of_products([("ale", late, 3.0, "1")], grid=Grid(MONDAY, 1, 3))
    np.testing.assert_array_equal(found.y, [[np.nan, 3.0, 0.0]])


@pytest.mark.parametrize(("start", "first", "length"), [((2024, 1, 1), MONDAY, 3), ((2024, 1, 2), date(2024, 1, 8), 2)])
def test_a_first_week_that_is_not_whole_is_left_out(start: tuple[int, int, int], first: date, length: int) -> None:
    grid = grid_of(datetime(*start), datetime(2024, 1, 24, 5), "week")  # the last week is not whole either
    assert (grid.start, grid.length) == (first, length)


def test_what_was_sold_outside_the_whole_weeks_counts_nowhere() -> None:
    lines = [("ale", datetime(2023, 12, 31, 12), 50.0, "1"), sold("ale", 1, 2), sold("ale", 6, 50)]
    np.testing.assert_array_equal(of_products(lines).y, [[np.nan, 2, 0, 0, 0, 0]])


def test_less_than_a_week_is_told() -> None:
    with pytest.raises(DataError, match="one whole week of sales, got 2024-01-02 to 2024-01-09"):
        grid_of(datetime(2024, 1, 2), datetime(2024, 1, 9), "week")


# --- from transactions ------------------------------------------------------------------------------


def test_zero_inside_a_life_unknown_before_it_and_zero_after_it_was_discontinued() -> None:
    lines = [sold("ale", 1, 4), sold("ale", 3, 2), sold("bun", 0, 1), sold("bun", 5, 1)]
    found = of_products(lines)
    np.testing.assert_array_equal(units(found, "ale"), [np.nan, 4, 0, 2, 0, 0])
    np.testing.assert_array_equal(units(found, "bun"), [1, 0, 0, 0, 0, 1])


def test_returns_are_taken_off_and_a_week_below_zero_is_zero() -> None:
    lines = [sold("ale", 0, -3), sold("ale", 1, 5), sold("ale", 1, -2, hour=18), sold("ale", 2, -4)]
    np.testing.assert_array_equal(of_products(lines).y, [[np.nan, 3, 0, 0, 0, 0]])


def test_the_price_is_known_where_something_was_sold() -> None:
    prices = of_products([sold("ale", 1, 4), sold("ale", 3, 2)]).past["price"][0]
    np.testing.assert_array_equal(prices, [np.nan, 2, np.nan, 2, np.nan, np.nan])


def test_series_are_the_best_sellers_by_what_was_sold_until_then() -> None:
    early = [sold("ale", 0, 3), sold("bun", 1, 5), sold("cod", 2, 4)]
    later = [sold("ale", 4, 1000), sold("dip", 4, 1000)]
    for lines in (early, early + later):
        assert of_products(lines, most=2, until=3).table["series_id"].to_list() == ["bun", "cod"]


def test_equal_sellers_are_chosen_by_name() -> None:
    lines = [sold(name, 0, 1) for name in ("dip", "cod", "bun", "ale")]
    assert of_products(lines, most=2).table["series_id"].to_list() == ["ale", "bun"]


def test_a_series_says_what_it_is_and_codes_are_alphabetical() -> None:
    found = of_products([sold(name, 0, 1) for name in ("ale", "bun", "cod", "dip", "egg")])
    assert found.table["title"].to_list() == ["Ale", "bun", "Cod", "Dip", "egg"], "an id where there is no title"
    assert found.codes["category"].to_list() == [1, 0, 2, 1, -1]
    assert found.codes["brand"].to_list() == [0, 0, 1, -1, -1]
    assert found.codes["level"].to_list() == [0] * 5


def test_a_shop_without_products_has_series_of_which_only_the_id_is_known() -> None:
    lines = tables([sold("ale", 0, 1), sold("bun", 0, 1)], products=None)
    found = from_transactions(lines, WEEKS, "product", BERLIN, 6, 10)
    assert found.table["title"].to_list() == found.table["product_id"].to_list() == ["ale", "bun"]
    assert found.codes["category"].to_list() == found.codes["department"].to_list() == [-1, -1]
    assert len(set(categories_of(found))) == 2, "what is unknown of both is not the same of both"


def test_categories_in_stores_that_sell_two_units_a_week() -> None:
    lines = [sold("ale", 0, 9, "1"), sold("dip", 1, 4, "1"), sold("ale", 1, 12, "2"), sold("cod", 0, 11, "1")]
    found = from_transactions(tables(lines), WEEKS, "category_store", BERLIN, 6, 10)
    assert found.table["series_id"].to_list() == ["drink | 1", "drink | 2"], "fish sold 11 in 6 weeks"
    np.testing.assert_array_equal(units(found, "drink | 1"), [9, 4, 0, 0, 0, 0])
    row = found.table.row(0, named=True)
    assert (row["title"], row["category"], row["store_id"]) == ("drink, store 1", "drink", "1")
    assert (row["department"], row["product_id"], row["level"]) == ("D1", None, "category_store")


def test_categories_in_stores_are_of_the_largest_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.demand.features.transactions.N_STORES", 1)
    lines = [sold("ale", 0, 19, "1"), sold("cod", 0, 17, "1"), sold("ale", 0, 24, "2")]
    found = from_transactions(tables(lines), WEEKS, "category_store", BERLIN, 6, 10)
    assert found.table["series_id"].to_list() == ["drink | 1", "fish | 1"]


def test_categories_in_stores_need_stores_and_categories() -> None:
    nowhere = tables([sold("ale", 0, 9, None)])
    for some in (nowhere, nowhere | {"transactions": nowhere["transactions"].drop("store_id")}):
        with pytest.raises(DataError, match=r"transactions with a store_id.*sources\.transactions\.columns"):
            from_transactions(some, WEEKS, "category_store", BERLIN, 6, 10)
    with pytest.raises(MissingTable, match="category_store needs the table products"):
        from_transactions(tables([sold("ale", 0, 9)], None), WEEKS, "category_store", BERLIN, 6, 10)


def test_no_series_is_told() -> None:
    with pytest.raises(DataError, match="series of the level category_store that sold before 2024-02-12, got none"):
        from_transactions(tables([sold("ale", 0, 11)]), WEEKS, "category_store", BERLIN, 6, 10)
    with pytest.raises(DataError, match="series of the level product that sold before 2024-01-15, got none"):
        of_products([sold("ale", 4, 5)], until=2)


# --- from sales -------------------------------------------------------------------------------------


def test_a_period_without_a_row_is_unknown_and_units_below_zero_are_zero() -> None:
    found = from_sales(sales([("b", 7, 2.5), ("a", 0, 4), ("a", 14, -3), ("a", 21, None)]), WEEKS, (), 2)
    np.testing.assert_array_equal(found.y, [[4, np.nan, 0, *[np.nan] * 3], [np.nan, 2.5, *[np.nan] * 4]])
    assert found.table["series_id"].to_list() == found.table["title"].to_list() == ["a", "b"]


def test_covariates_known_in_advance_go_on_and_the_others_end() -> None:
    rows = [("a", 7 * week, 1.0 if week < 6 else None) for week in range(8)]
    table = sales(rows, heat=np.arange(8.0), holiday=[week == 7 for week in range(8)], note=["x"] * 8)
    found = from_sales(table, WEEKS, ("holiday",), 2)
    np.testing.assert_array_equal(found.known["holiday"], [[0, 0, 0, 0, 0, 0, 0, 1]])
    np.testing.assert_array_equal(found.past["heat"], [[0, 1, 2, 3, 4, 5]])
    assert list(found.known) == ["holiday"] and list(found.past) == ["heat"] and found.weight is None


def test_a_covariate_that_sales_lacks_is_told() -> None:
    with pytest.raises(DataError, match=r"demand\.features\.known: expected columns of sales \(heat\), got holiday"):
        from_sales(sales([("a", 0, 1.0)], heat=[1.0]), WEEKS, ("holiday",), 2)


def test_days_are_added_up_to_weeks() -> None:
    rows = [("a", day, 1.0 + day) for day in range(14)]
    table = sales(rows, heat=[float(day) for day in range(14)], weight=[1.0] * 7 + [5.0] * 7)
    found = from_sales(table, WEEKS, ("heat",), 2)
    np.testing.assert_array_equal(found.y[0, :3], [28, 77, np.nan])
    np.testing.assert_array_equal(found.known["heat"][0, :3], [3, 10, np.nan])
    assert found.weight is not None
    np.testing.assert_array_equal(found.weight[0, :3], [1, 5, np.nan])
    assert list(found.known) == ["heat"] and not found.past, "a weight is no covariate"


def test_a_week_with_an_unknown_day_is_unknown_and_one_with_a_day_missing_is_the_sum_of_the_others() -> None:
    rows = [("a", day, None if day == 2 else 1.0) for day in range(7)]  # unknown on Wednesday
    rows += [("a", day, 1.0) for day in range(7, 13)]  # closed on Sunday
    rows += [("a", day, -1.0 if day == 14 else 2.0) for day in range(14, 21)]
    np.testing.assert_array_equal(from_sales(sales(rows), WEEKS, (), 2).y[0, :3], [np.nan, 6, 11])


@given(rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 41), st.integers(0, 9)), unique_by=lambda r: r[:2]))
@settings(max_examples=40, deadline=None)
def test_no_unit_is_lost_or_invented_however_fine_the_rows_are(rows: list[tuple[int, int, int]]) -> None:
    table = sales([(f"s{series}", day, float(y)) for series, day, y in rows])
    by_day, by_week = (from_sales(table, grid, (), 1).y for grid in (Grid(MONDAY, 1, 42), WEEKS))
    assert by_week.shape == (len({row[0] for row in rows}), 6)
    np.testing.assert_array_equal(np.nansum(by_day.reshape(-1, 6, 7), axis=2), np.nan_to_num(by_week))


def test_rows_that_stand_for_more_than_a_period_are_told() -> None:
    weekly = sales([("a", 7 * week, 1.0) for week in range(5)])
    with pytest.raises(DataError, match=r"a row of sales for every day.*got one every 7 days; set it to week"):
        first_day(weekly, MONDAY, "day")
    with pytest.raises(DataError, match=r"every week \(or finer\), got one every 28 days; give one row per week"):
        first_day(sales([("a", 28 * month, 1.0) for month in range(5)]), MONDAY, "week")


def test_a_weekly_row_tells_its_whole_week_whichever_day_names_it() -> None:
    friday, thursday = MONDAY + timedelta(days=4), MONDAY + timedelta(days=3)
    assert first_day(sales([("a", 4 + 7 * week, 1.0) for week in range(3)]), friday, "week") == MONDAY
    daily = sales([("a", day, 1.0) for day in range(3, 9)])
    assert first_day(daily, thursday, "week") == first_day(daily, thursday, "day") == thursday
    gaps = sales([("a", day, 1.0) for day in (0, 7, 21, 28, 56)])
    assert first_day(gaps, MONDAY, "week") == MONDAY, "weeks without a row are unknown, not coarser rows"


# --- several levels ---------------------------------------------------------------------------------


def test_levels_are_stacked_and_what_one_lacks_is_unknown_there() -> None:
    lines = tables([sold("ale", 0, 19, "1"), sold("cod", 0, 17, "1")])
    single = from_transactions(lines, WEEKS, "product", BERLIN, 6, 10)
    single.known["campaign"] = np.ones((2, 8), np.float32)
    both = stacked([single, from_transactions(lines, WEEKS, "category_store", BERLIN, 6, 10)])
    assert both.table["series_id"].to_list() == ["ale", "cod", "drink | 1", "fish | 1"]
    assert both.codes["level"].to_list() == [1, 1, 0, 0] and both.codes["category"].to_list() == [0, 1, 0, 1]
    np.testing.assert_array_equal(both.known["campaign"], [[1.0] * 8] * 2 + [[np.nan] * 8] * 2)
    assert both.y.shape == both.past["price"].shape == (4, 6)
    assert len(set(categories_of(both))) == 4, "a category in a store is no rival of its products"
    some = both.rows(np.array([3, 0]))
    assert some.table["series_id"].to_list() == ["fish | 1", "ale"] and some.codes["level"].to_list() == [0, 1]
