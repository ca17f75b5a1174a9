"""validate: bad rows are set apart and the run carries on, unless there are too many or the table is wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.core.artifacts import folder_checksums, read_json, write_json
from components.core.errors import DataError, MissingTable, QualityFailure
from components.core.tables import TABLES
from components.quality import sifting
from components.quality.facts import population_stability
from components.stages.collect import collect, keep_reference
from components.stages.validate import validate

ROOT = Path(__file__).parents[2]
ACCEPTED = Path("data/accepted/transactions")
QUARANTINE = Path("data/quarantine/transactions.parquet")
N = 1200


@pytest.fixture
def shop(make_shop: Callable[..., Path]) -> Path:
    """A shop with two products, in whose transactions a twentieth may be bad."""
    return make_shop("UTC", {"transactions": 0.05, "products": 0.05})


def sales() -> pl.DataFrame:
    number = pl.int_range(N, eager=True)
    at = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=1.2 * i) for i in range(N)]
    return pl.DataFrame(
        {
            "basket_id": "b" + (number // 2).cast(pl.String),
            "product_id": "p" + (number % 2).cast(pl.String),
            "at": pl.Series(at),
            "quantity": 1.0 + number % 3,
            "amount": 1.0 + number % 9,
            "customer_id": "c" + (number % 7).cast(pl.String),
            "store_id": pl.repeat("s", N, eager=True),
        }
    )


def changed(rows: pl.DataFrame, first: int, count: int, **values: Any) -> pl.DataFrame:
    """`count` rows from `first` on say something else."""
    here = pl.int_range(pl.len()).is_between(first, first + count - 1)
    return rows.with_columns(
        pl.when(here).then(pl.lit(value, rows.schema[name])).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def run(rows: pl.DataFrame) -> dict[str, Any]:
    """Collect and validate; the report."""
    rows.write_parquet("files/transactions.parquet")
    for table in ("products", "transactions"):
        collect(table)
        validate(table)
    return read_json(Path("data/quality/transactions.json"))


def accepted() -> pl.DataFrame:
    return pl.read_parquet(sorted(ACCEPTED.glob("part-*.parquet")))


def test_sound_rows_pass_unchanged(shop: Path) -> None:
    report = run(sales())
    assert report["verdict"] == "passed" and report["accepted"] == N
    assert accepted().sort("at").equals(pl.read_parquet(sorted(Path("data/collected/transactions").glob("part-*"))))
    assert sum(week["rows"] for week in report["weeks"]) == N
    assert pl.read_parquet(QUARANTINE).height == 0


def test_bad_rows_are_set_apart_with_their_reasons_and_the_run_carries_on(shop: Path) -> None:
    rows = changed(sales(), 10, 2, product_id="p9")
    rows = changed(rows, 20, 1, amount=None, quantity=None)
    rows = pl.concat([rows, rows[30:31]])  # the same line twice
    report = run(rows)
    assert report["verdict"] == "warnings" and report["quarantined"] == 4
    bad = pl.read_parquet(QUARANTINE).sort("at")
    assert [re.findall(r"(?:^|; )(\w+):", reason) for reason in bad["reason"]] == [
        ["product_known"],
        ["product_known"],
        ["quantity_readable", "amount_readable"],
        ["not_repeated"],
    ]
    assert accepted().height == N - 3
    assert read_json(ACCEPTED / "meta.json")["quarantined"] == 4


def test_returns_are_set_aside_and_do_not_count_as_bad(shop: Path) -> None:
    rows = changed(sales(), 0, 100, quantity=-1.0, amount=-2.0)  # more than the twentieth that may be bad
    rows = changed(rows, 500, 1, quantity=-1.0, product_id=None)  # broken outweighs returned
    report = run(rows)
    assert (report["quarantined"], report["set_aside"]) == (1, 100)
    fates = pl.read_parquet(QUARANTINE)["fate"].value_counts()
    assert dict(fates.iter_rows()) == {"set_aside": 100, "quarantined": 1}
    assert accepted()["quantity"].min() == 1


def test_anonymous_and_free_lines_are_kept(shop: Path) -> None:
    report = run(changed(changed(sales(), 0, 50, customer_id=None), 60, 20, amount=0.0))
    assert report["verdict"] == "passed" and report["accepted"] == N


def test_too_many_bad_rows_stop_the_run_after_the_report_was_written(shop: Path) -> None:
    run(sales())
    before = folder_checksums(ACCEPTED)
    with pytest.raises(
        QualityFailure, match=r"5\.6% of the rows are quarantined where 5\.0% may be \(amount_readable: 67 rows\)"
    ) as caught:
        run(changed(sales(), 0, 67, amount=None))
    assert "\n" not in str(caught.value)
    assert read_json(Path("data/quality/transactions.json"))["verdict"] == "failed"
    assert "the run stops here" in Path("data/quality/transactions.html").read_text()
    assert pl.read_parquet(QUARANTINE).height == 67
    assert folder_checksums(ACCEPTED) == before


def test_the_command_ends_with_one_line_and_not_zero(shop: Path) -> None:
    run(sales())
    changed(sales(), 0, 600, amount=None).write_parquet("files/transactions.parquet")
    collect("transactions")
    command = [sys.executable, "-m", "components", "validate", "transactions"]
    ended = subprocess.run(command, env={"PYTHONPATH": str(ROOT), "SHOP_DATA": "data"}, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1 and "50.0% of the rows are quarantined" in ended.stderr


def test_a_wrong_column_type_stops_before_any_row_is_read(shop: Path) -> None:
    run(sales())
    part = next(Path("data/collected/transactions").glob("part-*"))
    pl.read_parquet(part).with_columns(pl.col("quantity").cast(pl.Int64)).write_parquet(part)
    with pytest.raises(QualityFailure, match="types"):
        validate("transactions")
    assert pl.read_parquet(QUARANTINE).height == 0


def test_a_missing_table_passes_empty_handed(shop: Path) -> None:
    collect("stock")
    validate("stock")
    assert read_json(Path("data/accepted/stock/meta.json"))["missing"]
    assert read_json(Path("data/quality/stock.json"))["verdict"] == "missing"
    assert "not in this shop" in Path("data/quality/stock.html").read_text()
    assert pl.read_parquet("data/quarantine/stock.parquet").columns == [*TABLES["stock"].schema, "fate", "reason"]


def test_products_come_first(shop: Path) -> None:
    sales().write_parquet("files/transactions.parquet")
    collect("transactions")
    with pytest.raises(MissingTable, match="validate products first"):
        validate("transactions")


def test_without_a_products_table_no_product_is_unknown(shop: Path) -> None:
    Path("files/products.csv").unlink()
    assert run(sales())["verdict"] == "passed"


def test_a_row_from_the_future_is_quarantined_and_the_end_stays(shop: Path) -> None:
    report = run(changed(sales(), 600, 1, at=datetime(2099, 1, 1, tzinfo=UTC)))
    assert report["as_of"] == "2024-03-01T00:00:00+00:00" and report["quarantined"] == 1


def test_data_is_compared_with_what_was_released(shop: Path) -> None:
    assert "Nothing was released before" in _page(run(sales()))
    keep_reference("transactions")
    later = sales().with_columns(pl.col("at").dt.offset_by("1d"), pl.col("amount") * 30)
    report = run(later)
    failing = [finding["name"] for finding in report["findings"] if not finding["passed"]]
    assert report["reference_as_of"] == "2024-03-01T00:00:00+00:00" and failing == ["amount_psi"]
    with pytest.raises(QualityFailure, match=r"rows_ratio 0\.5"):
        run(later.tail(N // 2))


def _page(report: dict[str, Any]) -> str:
    return Path(f"data/quality/{report['table']}.html").read_text()


def test_a_release_makes_nothing_downstream_stale(shop: Path) -> None:
    run(sales().head(1000))
    keep_reference("transactions")
    run(sales())
    before = read_json(ACCEPTED / "meta.json")
    assert "reference" not in before
    shutil.rmtree("shop")
    run(sales())
    assert read_json(ACCEPTED / "meta.json") == before


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows(shop: Path) -> None:
    page = _page(run(changed(sales(), 0, 1, product_id="<script>alert(1)</script>")))
    assert "&lt;script&gt;alert(1)" in page and "<script" not in page
    assert not re.findall(r"""(?:src|href)=|url\(|@import|https?://""", page)
    assert page.count("<rect") == 9  # one per week


def test_the_same_data_give_the_same_outputs(shop: Path) -> None:
    rows = changed(sales(), 0, 9, quantity=0.0)
    run(rows)
    folders = [Path("data") / name for name in ("collected/transactions", "accepted", "quarantine", "quality")]
    before = [folder_checksums(folder) for folder in folders]
    shutil.rmtree("data")
    run(rows)
    assert [folder_checksums(folder) for folder in folders] == before


@hypothesis_settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(piece=st.integers(1, 900), broken=st.sets(st.integers(0, N - 1), min_size=1, max_size=20))
def test_every_row_goes_one_way_however_large_the_pieces(
    shop: Path, monkeypatch: pytest.MonkeyPatch, piece: int, broken: set[int]
) -> None:
    monkeypatch.setattr(sifting, "PIECE", max(piece, 150))
    bad = pl.int_range(pl.len()).is_in(list(broken))
    rows = sales().with_columns(basket_id=pl.when(bad).then(None).otherwise("basket_id"))
    report = run(rows)
    assert report["accepted"] + report["quarantined"] == N and report["quarantined"] == len(broken)
    assert sorted(pl.read_parquet(QUARANTINE)["at"]) == sorted(rows.filter(bad)["at"])


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"kwargs": {"column": "colour", "min_value": 0}}, "expected columns of transactions.*got colour"),
        ({"kwargs": {"column": "colour", "min_value": 0}, "meta": {"level": "table"}}, "expected facts.*got colour"),
        ({"kwargs": {"column": "basket_id", "min_value": 0}}, "wrong cannot be evaluated"),
        ({"kwargs": {"column": "amount"}}, "transactions.json: .*min_value and max_value"),
        ({"type": "expect_the_unexpected", "kwargs": {}}, "transactions.json: .*expect_the_unexpected"),
        ({"meta": {"level": "rows"}}, r"expected meta\.name, meta\.level"),
        ({"meta": {"name": "columns"}}, "columns twice"),
    ],
)
def test_mistakes_in_a_suite_are_told(shop: Path, stated: dict[str, Any], message: str) -> None:
    run(sales())
    path = Path("expectations/transactions.json")
    suite = read_json(path)
    wrong = {"type": "expect_column_values_to_be_between", "kwargs": {}, "severity": "warning"} | stated
    wrong["meta"] = {"name": "wrong", "level": "row", "on_failure": "report"} | stated.get("meta", {})
    write_json(path, suite | {"expectations": [*suite["expectations"], wrong]})
    with pytest.raises(DataError, match=message):
        validate("transactions")


def test_stability_index_has_its_known_value() -> None:
    import numpy as np

    assert population_stability(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    expected = 0.25 * np.log(0.75 / 0.5) + -0.25 * np.log(0.25 / 0.5)
    assert population_stability(np.array([0.5, 0.5]), np.array([0.75, 0.25])) == pytest.approx(expected)
    assert np.isfinite(population_stability(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


@pytest.mark.parametrize(("days_ago", "fresh"), [(1.5, True), (5, False)])
def test_a_dead_feed_is_measured_against_the_purchases(shop: Path, days_ago: float, fresh: bool) -> None:
    """By its own newest row a feed that died five days before the newest purchase would be fresh for ever."""
    run(sales())
    end = sales()["at"].max()
    assert isinstance(end, datetime)
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("quality:", "  stock: {kind: folder, path: files}\nquality:"))
    counted = end - timedelta(days=days_ago)
    pl.DataFrame({"product_id": ["p0"], "on_hand": [3.0], "at": [counted]}).write_parquet("files/stock.parquet")
    collect("stock")
    if fresh:
        validate("stock")
    else:
        with pytest.raises(QualityFailure, match=r"days_since_newest|newest row"):
            validate("stock")
    found = {one["name"]: one for one in read_json(Path("data/quality/stock.json"))["findings"]}
    assert found["days_since_newest"]["passed"] is fresh
