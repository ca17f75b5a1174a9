"""What is known in advance of a series: where its product is placed, at what price, and who is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.demand.features.placements import frequent_codes, rivals, with_placements
from components.demand.features.series import Grid, Series

MONDAY, N_WEEKS, BEYOND = date(2024, 1, 1), 4, 2
WEEKS, DAYS = Grid(MONDAY, 7, N_WEEKS), Grid(MONDAY, 1, 7 * N_WEEKS)
UNTIL = WEEKS.day(3)
PRODUCTS = pl.DataFrame({"product_id": ["ale", "bun", "dip", "egg"], "category": ["drink", "bread", "drink", None]})


def series(*rows: tuple[str | None, str | None, str | None], grid: Grid = WEEKS, units: Any = 1.0) -> Series:
    """Series of (product, category, store), each named by its number."""
    columns = [pl.Series([row[place] for row in rows], dtype=pl.String) for place in range(3)]
    table = pl.DataFrame(dict(zip(("product_id", "category", "store_id"), columns, strict=True)))
    nothing = [pl.lit(None, pl.String).alias(name) for name in ("department", "brand")]
    named = table.with_columns(*nothing, level=pl.lit("sales"), series_id=pl.int_range(pl.len()).cast(pl.String))
    return Series(grid, named, np.full((len(rows), grid.length), np.array(units), np.float32))


Placement = tuple[str, int, str | None, str | None]  # product, week, store, mailer


def promotions(rows: Sequence[Placement], **columns: Sequence[object]) -> pl.DataFrame:
    names = {"product_id": pl.String, "week": pl.Int32, "store_id": pl.String, "mailer": pl.String}
    frame = pl.DataFrame(rows, schema=names, orient="row")
    weeks = (pl.lit(MONDAY) + pl.duration(weeks="week")).cast(pl.Date)
    plain = {"display": pl.lit(None, pl.String), "price": pl.lit(None, pl.Float64)}
    return frame.with_columns(week=weeks, **plain).with_columns(**{k: pl.Series(v) for k, v in columns.items()})


def known(of: Series, rows: Sequence[Placement], share: float = 0.005, **columns: Sequence[object]) -> dict[str, Any]:
    tables = {"promotions": promotions(rows, **columns).lazy(), "products": PRODUCTS.lazy()}
    return with_placements(of, tables, BEYOND, share, UNTIL).known


# --- shares -----------------------------------------------------------------------------------------


def test_a_product_in_the_chain_has_its_share_of_stores_and_the_plans_go_on() -> None:
    rows = [
        ("ale", 0, "1", "A"),
        ("bun", 0, "2", "A"),
        ("ale", 1, "1", "A"),
        ("ale", 1, "2", "B"),
        ("ale", 5, "1", "A"),
    ]
    found = known(series(("ale", "drink", None), ("bun", "bread", None), ("dip", None, None)), rows)
    np.testing.assert_array_equal(found["mailer"], [[0.5, 1, 0, 0, 0, 1], [0.5, 0, 0, 0, 0, 0], [0] * 6])
    np.testing.assert_array_equal(found["mailer_A"][0], [0.5, 0.5, 0, 0, 0, 1])
    np.testing.assert_array_equal(found["mailer_B"][0], [0, 0.5, 0, 0, 0, 0])
    assert not found["display"].any() and "price" not in found, "no planned price in the whole table"


def test_a_category_in_a_store_has_its_share_of_products_there() -> None:
    rows = [
        ("ale", 0, "1", "A"),
        ("ale", 1, "1", "A"),
        ("dip", 1, "1", "A"),
        ("dip", 2, "2", "A"),
        ("bun", 3, "1", "A"),
    ]
    found = known(series((None, "drink", "1"), (None, "drink", "2"), (None, "bread", "2")), rows)
    np.testing.assert_array_equal(found["mailer"], [[0.5, 1, 0, 0, 0, 0], [0, 0, 0.5, 0, 0, 0], [0] * 6])


def test_a_product_in_one_store_is_placed_there_or_is_not() -> None:
    rows = [("ale", 0, "1", "A"), ("ale", 1, "2", "A"), ("bun", 2, "1", "A")]
    found = known(series(("ale", "drink", "1"), ("ale", "drink", "2")), rows)
    np.testing.assert_array_equal(found["mailer"][:, :3], [[1, 0, 0], [0, 1, 0]])


def test_a_category_in_all_stores_has_its_share_of_products_and_stores() -> None:
    rows = [("ale", 0, "1", "A"), ("ale", 0, "2", "A"), ("dip", 0, "2", "A"), ("ale", 1, "1", "A")]
    found = known(series((None, "drink", None)), rows)
    np.testing.assert_array_equal(found["mailer"][:, :3], [[0.75, 0.5, 0]])


def test_a_placement_without_a_store_holds_in_all_of_them() -> None:
    rows: list[Placement] = [("ale", 0, None, "A"), ("bun", 1, None, "A")]
    kinds = [("ale", "drink", None), ("ale", "drink", "1"), (None, "drink", "1"), (None, "drink", None)]
    found = known(series(*kinds), rows)
    np.testing.assert_array_equal(found["mailer"][:, :2], [[1, 0], [1, 0], [0.5, 0], [0.5, 0]])


def test_series_of_every_kind_stand_side_by_side_and_of_what_nobody_can_say_nothing_is_known() -> None:
    rows = [("ale", 0, "1", "A"), ("dip", 0, "2", "A"), ("egg", 0, "2", "A")]
    kinds = [("ale", None, None), ("ale", "drink", "1"), (None, "drink", "2"), (None, "drink", None), (None, None, "1")]
    found = known(series(*kinds), rows)
    np.testing.assert_array_equal(found["mailer"][:, 0], [0.5, 1, 0.5, 0.5, np.nan])
    for name in ("mailer", "mailer_A", "mailer_rivals", "display"):
        assert np.isfinite(found[name][:4]).all() and np.isnan(found[name][4]).all(), name


def test_without_products_nothing_is_known_of_categories(caplog: pytest.LogCaptureFixture) -> None:
    tables = {"promotions": promotions([("ale", 0, "1", "A")]).lazy()}
    some = with_placements(series(("ale", None, None), (None, "drink", "1")), tables, BEYOND, 0.1, UNTIL).known
    assert some["mailer"][0, 0] == 1 and np.isnan(some["mailer"][1]).all()
    assert not with_placements(series((None, "drink", "1")), tables, BEYOND, 0.1, UNTIL).known
    assert "promotions are not used" in caplog.text


def test_the_planned_price_is_the_mean_over_stores_and_unknown_where_none_is_planned() -> None:
    rows = [("ale", 0, "1", "A"), ("ale", 0, "2", None), ("ale", 1, "1", "A"), ("ale", 5, "2", None)]
    found = known(series(("ale", None, None)), rows, price=[2.0, 3.0, None, 4.0])
    np.testing.assert_array_equal(found["price"], [[2.5, np.nan, np.nan, np.nan, np.nan, 4]])
    np.testing.assert_array_equal(found["mailer"], [[0.5, 1, 0, 0, 0, 0]])


def test_a_placement_holds_on_every_day_of_its_week() -> None:
    rows = [("ale", 1, "1", "A"), ("ale", 4, "1", "A")]
    later = Grid(MONDAY + timedelta(days=9), 1, 14)  # begins on a Wednesday, in the second week
    for grid, placed in ((DAYS, [*range(7, 14), 28, 29]), (later, range(5))):
        found = known(series(("ale", None, None), grid=grid), rows)["mailer"][0]
        assert np.flatnonzero(found).tolist() == list(placed) and len(found) == grid.length + BEYOND


def test_what_the_shop_says_itself_stays() -> None:
    of = series(("ale", None, None))
    own = np.full((1, N_WEEKS + BEYOND), 7, np.float32)
    of.known.update(mailer=own, heat=own + 1)
    found = known(of, [("ale", 0, "1", "A")])
    assert (found["mailer"] == 7).all() and (found["heat"] == 8).all() and found["mailer_A"][0, 0] == 1
    assert list(of.known) == ["mailer", "heat"], "the series given are not altered"


# --- codes ------------------------------------------------------------------------------------------


def test_codes_are_frequent_by_what_was_placed_before_the_cut_off() -> None:
    rows = [("ale", 0, str(store), "A" if store else "B") for store in range(10)]
    later = [("ale", 3, str(store), "C") for store in range(1000)]
    for table in (promotions(rows), promotions(rows + later)):
        assert frequent_codes(table.lazy(), 0.2, UNTIL) == {"mailer": ["A"], "display": []}
        assert frequent_codes(table.lazy(), 0.1, UNTIL)["mailer"] == ["A", "B"]
    assert frequent_codes(promotions(rows + later).lazy(), 0.2, WEEKS.day(4))["mailer"] == ["C"]


def test_a_rare_code_counts_as_a_placement_without_a_column() -> None:
    rows = [("ale", 0, str(store), "A") for store in range(9)] + [("ale", 1, "0", "B")]
    found = known(series(("ale", None, None)), rows, share=0.2)
    assert found["mailer"][0, 1] == 1 and "mailer_B" not in found and "mailer_A" in found


# --- rivals -----------------------------------------------------------------------------------------


def test_rivals_are_the_others_of_a_category_each_by_its_size() -> None:
    of = series(("ale", "drink", None), ("dip", "drink", None), ("rum", "drink", None), ("bun", "bread", None),
                units=[[10], [30], [10], [99]])  # fmt: skip
    placed = np.zeros((4, 6), np.float32)
    placed[1, 0] = placed[3, 1] = placed[0, 2] = 1
    found = rivals(of, {"mailer": placed}, UNTIL)["mailer_rivals"]
    np.testing.assert_allclose(found[0], [30 / 40, 0, 0, 0, 0, 0], atol=1e-3)
    np.testing.assert_allclose(found[2], [30 / 40, 0, 10 / 40, 0, 0, 0], atol=1e-3)
    assert not found[3].any(), "the only one of its category has no rivals"


def test_rivals_are_large_by_what_they_sold_before_the_cut_off() -> None:
    kinds = (("ale", "drink", None), ("dip", "drink", None), ("rum", "drink", None))
    rows = [("dip", 0, "1", "A")]
    before, after = (series(*kinds, units=[[1, 1, 1, x], [2, 2, 2, x], [4, 4, 4, 1]]) for x in (1, 500))
    assert known(before, rows)["mailer_rivals"].tobytes() == known(after, rows)["mailer_rivals"].tobytes()


def test_a_series_of_unknown_category_has_no_rivals() -> None:
    found = known(series(("ale", None, None), ("egg", None, None)), [("ale", 0, "1", "A"), ("egg", 0, "1", "A")])
    assert not found["mailer_rivals"].any()


# --- campaigns --------------------------------------------------------------------------------------


def campaigns(**columns: list[Any]) -> dict[str, pl.LazyFrame]:
    """Two about ale, which overlap, and one about what nobody sells."""
    days = {"starts": [-9, 9, 0], "ends": [7, 13, 40]}
    dates = {name: [MONDAY + timedelta(days=day) for day in each] for name, each in days.items()}
    rows = {"campaign_id": ["1", "2", "3"], "product_id": ["ale", "ale", "zoo"], **dates, **columns}
    return {"campaigns": pl.DataFrame(rows).lazy()}


def test_a_campaign_counts_in_every_period_that_it_touches_and_together_they_reach_everybody_at_most() -> None:
    of = series(("ale", None, None), ("bun", None, None), (None, "drink", "1"))
    found = with_placements(of, campaigns(reach=[0.4, 0.7, 1.0]), BEYOND, 0.1, UNTIL).known
    np.testing.assert_allclose(found["campaign"][0], [0.4, 1, 0, 0, 0, 0])
    assert not found["campaign"][1].any() and np.isnan(found["campaign"][2]).all()


def test_a_campaign_of_days_and_of_unknown_reach() -> None:
    tables = campaigns(reach=[None, 0.7, 1.0])
    found = with_placements(series(("ale", None, None), grid=DAYS), tables, BEYOND, 0.1, UNTIL).known["campaign"][0]
    np.testing.assert_allclose(found, [1] * 8 + [0] + [0.7] * 5 + [0] * 16, rtol=1e-6)
    plain = with_placements(series(("ale", None, None)), campaigns(), BEYOND, 0.1, UNTIL).known["campaign"][0]
    assert plain.tolist() == [1, 1, 0, 0, 0, 0]


def test_campaigns_say_nothing_of_categories() -> None:
    assert not with_placements(series((None, "drink", "1")), campaigns(), BEYOND, 0.1, UNTIL).known
