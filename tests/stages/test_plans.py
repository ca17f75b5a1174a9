"""collect and validate of what is planned (placements, campaigns) and of series with rows about the future."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.core.artifacts import read_json
from components.core.errors import QualityFailure
from components.quality.suite import Suite
from components.stages.collect import collect, keep_reference
from components.stages.validate import validate

FIRST = date(2024, 1, 1)  # a Monday
N_WEEKS, SOLD_UNTIL = 12, datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def shop(make_shop: Callable[..., Path]) -> Path:
    """A shop with two products that sold something until the first of March; a tenth may be bad."""
    tables = ("transactions", "products", "promotions", "campaigns", "sales")
    folder = make_shop("America/New_York", dict.fromkeys(tables, 0.1))
    line = {"basket_id": ["b"], "product_id": ["p0"], "at": [SOLD_UNTIL], "quantity": [1.0], "amount": [2.0]}
    pl.DataFrame(line).write_parquet("files/transactions.parquet")
    for table in ("products", "transactions"):
        collect(table)
    validate("products")
    return folder


def placements(n_stores: int = 5) -> pl.DataFrame:
    """Both products in all stores, twelve weeks from the first of January: the last three are still to come."""
    cells = [(week, store, product) for week in range(N_WEEKS) for store in range(n_stores) for product in ("p0", "p1")]
    return pl.DataFrame(
        {
            "product_id": [product for _, _, product in cells],
            "week": [FIRST + timedelta(weeks=week) for week, _, _ in cells],
            "store_id": [f"s{store}" for _, store, _ in cells],
            "display": ["0" if product == "p0" else "3" for _, _, product in cells],
            "mailer": ["A" for _ in cells],
        }
    )


def run(table: str, rows: pl.DataFrame) -> dict[str, Any]:
    rows.write_parquet(f"files/{table}.parquet")
    collect(table)
    validate(table)
    report: dict[str, Any] = read_json(Path(f"data/quality/{table}.json"))
    return report


def accepted(table: str) -> pl.DataFrame:
    return pl.read_parquet(sorted(Path(f"data/accepted/{table}").glob("part-*.parquet")))


def quarantined(table: str) -> pl.DataFrame:
    return pl.read_parquet(f"data/quarantine/{table}.parquet")


def meta(stage: str, table: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(Path(f"data/{stage}/{table}/meta.json"))
    return found


def fact(report: dict[str, Any], name: str) -> Any:
    return next(one["observed"] for one in report["findings"] if one["name"] == name)


def test_placements_to_come_are_kept_and_move_no_end(shop: Path) -> None:
    report = run("promotions", placements())
    assert report["verdict"] == "passed" and report["accepted"] == N_WEEKS * 10
    assert accepted("promotions")["week"].max() == date(2024, 3, 18)
    assert meta("accepted", "promotions")["as_of"] is None
    assert meta("collected", "transactions")["as_of"] == "2024-03-02T05:00:00+00:00"
    assert fact(report, "days_since_newest") == pytest.approx(-16, abs=0.1)
    assert len(report["weeks"]) == N_WEEKS


def test_parts_of_placements_are_months_sorted_by_week(shop: Path) -> None:
    run("promotions", placements().sample(fraction=1, shuffle=True, seed=0))
    parts = sorted(Path("data/collected/promotions").glob("part-*"))
    assert [part.stem for part in parts] == ["part-2024-01", "part-2024-02", "part-2024-03"]
    rows = pl.read_parquet(parts)
    assert rows.equals(rows.sort("week", "product_id", "store_id"))
    assert rows.filter(pl.col("product_id") == "p0")["display"].null_count() == N_WEEKS * 5


def test_bad_placements_are_set_apart(shop: Path) -> None:
    rows = placements()
    bad = rows.head(4).with_columns(
        product_id=pl.Series(["p9", "p0", "p0", "p0"]),
        week=pl.Series([FIRST, None, date(2099, 1, 5), date(1970, 1, 1)]),
    )
    report = run("promotions", pl.concat([rows, bad, rows.tail(1)]))
    reasons = quarantined("promotions")["reason"].str.extract(r"^(\w+):").value_counts(sort=True).sort("reason")
    assert reasons.rows() == [("not_repeated", 1), ("product_known", 1), ("week_plausible", 2), ("week_readable", 1)]
    assert report["verdict"] == "warnings" and report["accepted"] == rows.height


def test_rows_that_say_alike_are_judged_once_and_fare_alike(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []
    check = Suite.check

    def counting(self: Suite, level: Any, frame: Any) -> Any:
        judged.extend([len(frame)] if level == "row" else [])
        return check(self, level, frame)

    monkeypatch.setattr(Suite, "check", counting)
    rows = placements(n_stores=40)
    here = (pl.col("product_id") == "p1") & (pl.col("week") == FIRST)
    report = run("promotions", rows.with_columns(product_id=pl.when(here).then(pl.lit("p9")).otherwise("product_id")))
    assert report["quarantined"] == quarantined("promotions").height == 40
    assert sum(judged) == 2 * N_WEEKS  # products by weeks, whatever the stores


def test_a_week_without_placements_is_told(shop: Path) -> None:
    report = run("promotions", placements().filter(pl.col("week") != date(2024, 1, 15)))
    assert report["verdict"] == "warnings" and fact(report, "empty_weeks") == 1


def test_placements_that_stop_before_the_purchases_are_told(shop: Path) -> None:
    report = run("promotions", placements().filter(pl.col("week") < date(2024, 2, 5)))
    assert "days_since_newest" in report["sentence"] and report["verdict"] == "warnings"


def test_placements_of_a_shop_without_purchases(shop: Path) -> None:
    Path("files/transactions.parquet").unlink()
    collect("transactions")
    report = run("promotions", placements())
    assert report["verdict"] == "passed" and fact(report, "days_since_newest") is None


def test_placements_are_compared_with_those_released(shop: Path) -> None:
    run("promotions", placements())
    keep_reference("promotions")
    report = run("promotions", placements().with_columns(mailer=pl.lit("Z")))
    assert report["reference_as_of"] == "2024-03-02T05:00:00+00:00" and "mailer_psi" in report["sentence"]


def test_campaigns(shop: Path) -> None:
    sound = {"campaign_id": 1, "product_id": "p0", "starts": "2024-01-03", "ends": "2024-01-31", "reach": 0.25}
    odd = [
        {"product_id": "p1", "ends": "2024-01-02"},
        {"campaign_id": 2, "reach": 25},
        {"reach": 0.3},  # says the same thing twice, differently
        {"campaign_id": 3, "ends": "?"},
    ]
    again = [{"starts": f"2024-0{month}-03", "ends": f"2024-0{month}-09"} for month in range(2, 7)]
    kept = [sound, *(sound | one | {"campaign_id": n} for n in range(9) for one in again)]
    report = run("campaigns", pl.DataFrame([*kept, *(sound | one for one in odd)], strict=False))
    found = quarantined("campaigns").sort("campaign_id", "product_id")["reason"].str.extract(r"^(\w+):").to_list()
    assert found == ["not_repeated", "ends_after_start", "reach_is_share", "end_readable"]
    assert report["accepted"] == len(kept) and meta("accepted", "campaigns")["as_of"] is None


def series(step: int = 7, n: int = 30, start: date = date(2023, 9, 4)) -> pl.DataFrame:
    """Two series up to the end of March at least; of the last four periods the units are not known yet."""
    days = [start + timedelta(days=step * period) for period in range(n)]
    one = pl.DataFrame({"at": days, "y": [float(period % 5) if period < n - 4 else None for period in range(n)]})
    one = one.with_columns(holiday=pl.int_range(pl.len()) % 10 == 0)
    return pl.concat([one.with_columns(series_id=pl.lit(name), product_id=pl.lit("p0")) for name in ("a", "b")])


def test_series_end_where_their_units_do(shop: Path) -> None:
    report = run("sales", series())
    assert meta("accepted", "sales")["as_of"] == "2024-03-04T05:00:00+00:00"  # the week of 26 February is whole
    assert meta("accepted", "sales")["covariates"] == ["holiday"]
    assert report["verdict"] == "passed" and report["accepted"] == 60
    rows = accepted("sales")
    assert rows["at"].max() == date(2024, 3, 25) and rows["y"].null_count() == 8
    assert rows["holiday"].to_list().count(1.0) == 6


@pytest.mark.parametrize(("step", "n", "ends"), [(1, 182, "2024-02-29"), (7, 30, "2024-03-04")])
def test_the_newest_period_counts_whole(shop: Path, step: int, n: int, ends: str) -> None:
    series(step, n).with_columns(holiday=pl.lit("no")).write_csv("files/sales.csv")
    collect("sales")
    assert meta("collected", "sales")["as_of"] == f"{ends}T05:00:00+00:00"


def test_series_that_contradict_themselves_or_the_clock(shop: Path) -> None:
    rows = series()
    odd = rows.head(2).with_columns(y=pl.Series([7.0, 3.0]), at=pl.Series([rows["at"][0], date(2099, 1, 5)]))
    run("sales", pl.concat([rows, odd]))
    assert quarantined("sales").sort("at")["reason"].str.extract(r"^(\w+):").to_list() == [
        "not_repeated",
        "time_has_come",
    ]
    assert meta("accepted", "sales")["as_of"] == "2024-03-04T05:00:00+00:00"
    first = accepted("sales").filter((pl.col("series_id") == "a") & (pl.col("at") == rows["at"][0]))
    assert first["y"].to_list() == [0.0]


def test_returns_are_kept_in_series(shop: Path) -> None:
    rows = series().with_columns(y=pl.when(pl.int_range(pl.len()) == 3).then(-4.5).otherwise("y"))
    assert run("sales", rows)["verdict"] == "passed"
    assert accepted("sales")["y"].min() == -4.5


def test_a_series_that_stopped_stops_the_run(shop: Path) -> None:
    with pytest.raises(QualityFailure, match="days_since_newest"):
        run("sales", series().filter(pl.col("at") < date(2024, 2, 1)))


def test_a_covariate_that_is_no_number_is_refused(shop: Path) -> None:
    run("sales", series())
    part = next(Path("data/collected/sales").glob("part-*"))
    pl.read_parquet(part).with_columns(pl.col("holiday").cast(pl.String)).write_parquet(part)
    with pytest.raises(QualityFailure, match="types"):
        validate("sales")
