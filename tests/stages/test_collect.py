"""collect: canonical parts by month, the same bytes for the same rows, and no work where nothing is new."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from components.core.artifacts import folder_checksums, read_json, write_json
from components.core.errors import DataError
from components.stages.collect import collect, keep_reference

TARGET = Path("data/collected/transactions")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty shop whose transactions come from the folder `files`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_DATA", "data")
    monkeypatch.setenv("SHOP_HOME", "shop")
    Path("files").mkdir()
    params: dict[str, Any] = {
        "timezone": "America/New_York",
        "sources": {table: {"kind": "folder", "path": "files"} for table in ("transactions", "products")},
    }
    Path("params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


def lines(*days: int, start: datetime = datetime(2024, 1, 1, 12, tzinfo=UTC)) -> pl.DataFrame:
    n = range(len(days))
    return pl.DataFrame(
        {
            "basket_id": [f"b{i}" for i in n],
            "product_id": [f"p{i}" for i in n],
            "at": [start + timedelta(days=day) for day in days],
            "quantity": [1.0 for _ in n],
            "amount": [2.0 for _ in n],
        }
    )


def sold(*days: int) -> None:
    lines(*days).write_parquet("files/transactions.parquet")


def read() -> pl.DataFrame:
    return pl.read_parquet(sorted(TARGET.glob("part-*.parquet")))


def test_parts_are_months_in_order_of_time(shop: Path) -> None:
    sold(40, 3, 75, 1)
    collect("transactions")
    assert [path.name for path in sorted(TARGET.iterdir())] == [
        "meta.json",
        "part-2024-01.parquet",
        "part-2024-02.parquet",
        "part-2024-03.parquet",
    ]
    rows = read()
    assert rows["at"].is_sorted() and rows["basket_id"].to_list() == ["b3", "b1", "b0", "b2"]
    meta = read_json(TARGET / "meta.json")
    assert meta["rows"] == 4 and meta["missing_columns"] == ["customer_id", "store_id"]
    assert meta["as_of"] == "2024-03-17T04:00:00+00:00"  # midnight in New York, summer time by then


def test_the_same_rows_give_the_same_bytes_in_whatever_order_they_come(shop: Path) -> None:
    rows = lines(*range(0, 90, 2), *range(1, 90, 2))
    rows.write_parquet("files/transactions.parquet")
    collect("transactions")
    before = folder_checksums(TARGET)
    rows.sample(fraction=1, shuffle=True, seed=1).write_csv("files/transactions.csv")
    Path("files/transactions.parquet").unlink()
    collect("transactions")
    assert folder_checksums(TARGET) == before


def test_nothing_new_means_nothing_written(shop: Path) -> None:
    sold(1, 2)
    collect("transactions")
    before = TARGET.stat().st_mtime_ns
    collect("transactions")
    assert TARGET.stat().st_mtime_ns == before
    (TARGET / "part-2024-01.parquet").unlink()  # somebody took a part away
    collect("transactions")
    assert read().height == 2
    sold(1, 2, 3)
    collect("transactions")
    assert read().height == 3


def test_a_touched_source_with_the_same_rows_changes_no_output(shop: Path) -> None:
    sold(1, 2)
    collect("transactions")
    before = folder_checksums(TARGET)
    os.utime("files/transactions.parquet", ns=(1, 1))
    collect("transactions")
    assert folder_checksums(TARGET) == before


def test_changed_params_are_read_anew(shop: Path) -> None:
    sold(1)
    collect("transactions")
    params = yaml.safe_load(Path("params.yaml").read_text()) | {"timezone": "UTC"}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    collect("transactions")
    assert read_json(TARGET / "meta.json")["as_of"] == "2024-01-03T00:00:00+00:00"


def test_a_missing_table_is_told_and_tolerated(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for table in ("products", "stock"):  # no file, and not even named
            collect(table)
            meta = read_json(Path("data/collected") / table / "meta.json")
            assert (meta["rows"], meta["missing"]) == (0, True)
    assert "stock: not named under sources" in caplog.text and "products: no file" in caplog.text


def test_a_table_that_came_and_went(shop: Path) -> None:
    sold(1)
    collect("transactions")
    Path("files/transactions.parquet").unlink()
    collect("transactions")
    assert read_json(TARGET / "meta.json")["missing"] and not list(TARGET.glob("part-*"))
    sold(1)
    collect("transactions")
    assert read().height == 1


def test_a_source_that_fails_leaves_what_was_there(shop: Path) -> None:
    sold(1)
    collect("transactions")
    before = folder_checksums(TARGET)
    pl.DataFrame({"basket_id": ["b"]}).write_parquet("files/transactions.parquet")
    with pytest.raises(DataError, match="product_id"):
        collect("transactions")
    assert folder_checksums(TARGET) == before
    assert [path.name for path in Path("data/collected").iterdir() if path.is_dir()] == ["transactions"]


def test_rows_without_a_time_are_kept_for_validate_to_judge(shop: Path) -> None:
    Path("files/transactions.csv").write_text("basket_id,product_id,at,quantity,amount\nb,p,when?,1,1\n")
    collect("transactions")
    assert [path.name for path in TARGET.glob("part-*")] == ["part-undated.parquet"]
    assert read_json(TARGET / "meta.json")["as_of"] is None


def test_a_table_without_rows_has_one_empty_part(shop: Path) -> None:
    Path("files/transactions.csv").write_text("basket_id,product_id,at,quantity,amount\n")
    collect("transactions")
    assert read().height == 0 and "missing" not in read_json(TARGET / "meta.json")


def test_one_wrong_clock_does_not_move_the_end_of_the_data(shop: Path) -> None:
    sold(*range(60), 20_000)
    collect("transactions")
    assert read_json(TARGET / "meta.json")["as_of"] == "2024-03-01T05:00:00+00:00"


def profile(as_of: str, content: str = "other", **more: Any) -> dict[str, Any]:
    return {"table": "transactions", "as_of": as_of, "content": content, **more}


def test_the_reference_is_the_newest_released_profile_of_older_data(shop: Path) -> None:
    sold(1, 70)
    for name, as_of in (("1", "2024-01-05T05:00:00+00:00"), ("2", "2024-02-05T05:00:00+00:00"), ("3", "2025-01-01")):
        write_json(Path(f"shop/reference/transactions/{name}.json"), profile(as_of + "T05:00:00+00:00" * (name == "3")))
    collect("transactions")
    assert read_json(TARGET / "meta.json")["reference"]["as_of"] == "2024-02-05T05:00:00+00:00"


def test_releasing_data_does_not_change_what_was_collected(shop: Path) -> None:
    sold(1, 70)
    pl.DataFrame({"product_id": ["p"], "title": ["t"], "category": ["c"]}).write_parquet("files/products.parquet")
    for table in ("transactions", "products"):
        collect(table)
        meta = read_json(Path("data/collected") / table / "meta.json")
        write_json(Path(f"data/quality/{table}.profile.json"), profile(meta["as_of"], meta["content"], table=table))
    before = folder_checksums(Path("data/collected"))
    for table in ("transactions", "products"):
        keep_reference(table)
        collect(table)
    assert folder_checksums(Path("data/collected")) == before
    assert [path.name for path in Path("shop/reference/products").iterdir()] == ["20240312T040000Z.json"]
    sold(1, 70, 71)
    collect("transactions")
    assert read_json(TARGET / "meta.json")["reference"]["as_of"] == "2024-03-12T04:00:00+00:00"


def test_nothing_to_keep_without_a_profile(shop: Path) -> None:
    keep_reference("stock")
    assert not Path("shop").exists()
