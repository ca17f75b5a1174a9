"""A shop's own database: one query per table, streamed in batches so that memory stays bounded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from components.core.errors import DataError, MissingTable, ParamsError
from components.core.params import Params
from components.core.tables import conform
from components.sources.folder import renamed


class SqlParams(Params):
    kind: Literal["sql"]
    query: str = Field(description="A SELECT that names its columns as docs/data.md does, or see `columns`.")
    url_from: str = Field("SHOP_SQL_URL", description="Environment variable that holds the SQLAlchemy URL.")
    columns: dict[str, str] = Field({}, description="Canonical column -> the name it has in the query.")
    timezone: str | None = Field(None, description="Of times without a zone; default: the shop's.")
    batch_rows: int = Field(100_000, gt=0, description="Rows held in memory at once.")


class Sql:
    """One table from one query. The answer is spooled to a temporary folder and read lazily from there."""

    def __init__(self, table: str, params: SqlParams, timezone: str) -> None:
        self.table, self.params = table, params
        self.timezone = params.timezone or timezone
        self._spool: tempfile.TemporaryDirectory[str] | None = None

    def read(self) -> pl.LazyFrame:
        return pl.concat([pl.scan_parquet(path) for path in self._spooled() if path.name != "found.parquet"])

    def found_columns(self) -> list[str]:
        return list(pl.read_parquet_schema(self._spooled()[0].parent / "found.parquet"))

    def fingerprint(self) -> dict[str, Any] | None:
        return None  # nothing about a database is both cheap and certain

    def _spooled(self) -> list[Path]:
        if self._spool is None:
            self._spool = tempfile.TemporaryDirectory(prefix="shop-sql-")
            self._fill(Path(self._spool.name))
        return sorted(Path(self._spool.name).glob("*.parquet"))

    def _fill(self, folder: Path) -> None:
        for number, batch in enumerate(self._batches()):
            found = renamed(batch.lazy(), self.params.columns, self.table)
            if number == 0:
                found.head(0).collect().write_parquet(folder / "found.parquet")
            conform(found, self.table, self.timezone).collect().write_parquet(folder / f"batch-{number:06}.parquet")

    def _batches(self) -> Iterator[pl.DataFrame]:
        """Batches of the query's rows, at least one (without rows, it still tells the columns)."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self._url())
        try:
            with engine.connect().execution_options(stream_results=True) as connection:
                answer = connection.execute(sqlalchemy.text(self.params.query))
                names, empty = list(answer.keys()), True
                for rows in answer.partitions(self.params.batch_rows):
                    empty = False
                    yield _frame(names, [tuple(row) for row in rows])
                if empty:
                    yield _frame(names, [])
        except sqlalchemy.exc.NoSuchTableError as error:
            raise MissingTable(f"{self.table}: {error}") from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            # Only the driver's own words: SQLAlchemy's would repeat the URL's parts or the whole query.
            reason = str(getattr(error, "orig", None) or type(error).__name__)
            raise DataError(
                f"{self.table}: expected rows from the query of sources.{self.table}, got: {reason}; correct the query"
            ) from None
        finally:
            engine.dispose()

    def _url(self) -> str:
        url = os.environ.get(self.params.url_from)
        if not url:
            raise ParamsError(
                f"{self.table}: expected the database's URL in the environment variable {self.params.url_from}, "
                "which is not set; export it before the run"
            )
        return url


def _frame(names: list[str], rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows of any mixture of types: a column that is not of one type becomes text."""
    return pl.DataFrame({name: _series(name, [row[place] for row in rows]) for place, name in enumerate(names)})


def _series(name: str, values: list[Any]) -> pl.Series:
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
