"""A shop's own database: one query per table, streamed in batches so that memory stays bounded."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from components.core.errors import DataError, ParamsError
from components.core.params import Params
from components.sources.conform import conform, joined
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
        self._spool: Path | None = None

    def read(self) -> pl.LazyFrame:
        return joined([pl.scan_parquet(path) for path in self._spooled() if path.name != "found.parquet"])

    def found_columns(self) -> list[str]:
        return list(pl.read_parquet_schema(self._spooled()[0].parent / "found.parquet"))

    def fingerprint(self) -> dict[str, Any] | None:
        return None  # nothing about a database is both cheap and certain

    def through(self) -> None:
        return None  # its rows have no numbers

    def _spooled(self) -> list[Path]:
        if self._spool is None:
            self._spool = Path(tempfile.mkdtemp(prefix="shop-sql-"))
            atexit.register(shutil.rmtree, self._spool, ignore_errors=True)  # frames read it after we are gone
            self._fill(self._spool)
        return sorted(self._spool.glob("*.parquet"))

    def _fill(self, folder: Path) -> None:
        for number, batch in enumerate(self._batches()):
            found = renamed(batch.lazy(), self.params.columns, self.table)
            if number == 0:
                found.head(0).collect().write_parquet(folder / "found.parquet")
            conform(found, self.table, self.timezone).collect().write_parquet(folder / f"batch-{number:06}.parquet")

    def _batches(self) -> Iterator[pl.DataFrame]:
        """Batches of the query's rows, at least one (without rows, it still tells the columns)."""
        import sqlalchemy

        try:
            engine = sqlalchemy.create_engine(self._url())
            with engine.connect().execution_options(stream_results=True) as connection:
                answer = connection.execute(sqlalchemy.text(self.params.query))
                names = list(answer.keys())
                yield _frame(names, [])
                for rows in answer.partitions(self.params.batch_rows):
                    yield _frame(names, [tuple(row) for row in rows])
            engine.dispose()
        except ImportError as error:
            raise ParamsError(
                f"{self.table}: the URL needs a driver that is not installed ({error}); install it"
            ) from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            # Only the driver's own words: SQLAlchemy's could repeat the URL, password and all.
            reason = str(getattr(error, "orig", None) or type(error).__name__)
            raise DataError(
                f"{self.table}: expected rows from the query of sources.{self.table}, got: {reason}; "
                f"correct the query, or the URL in {self.params.url_from}"
            ) from None

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
