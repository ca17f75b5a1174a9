"""A shop's own files: Parquet or CSV in one folder, read with as much patience as real exports need."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from components.core.errors import DataError, MissingTable
from components.core.params import Params
from components.settings import settings
from components.sources.conform import conform, joined
from components.sources.csv_files import scan_csv

SUFFIXES = (".parquet", ".csv", ".csv.gz")


class FolderParams(Params):
    kind: Literal["folder"]
    path: Path = Field(description="Folder with the files; a relative one starts at SHOP_PROJECT.")
    files: str | None = Field(None, description="Glob below the folder; default: <table>*.parquet or <table>*.csv.")
    columns: dict[str, str] = Field({}, description="Canonical column -> the name it has in the files.")
    timezone: str | None = Field(None, description="Of times without a zone; default: the shop's.")
    separator: str = Field(",", min_length=1, max_length=1, description="Between the fields of a CSV file.")
    encoding: str = Field("utf-8", description="Of CSV files, by Python's names: utf-8, latin-1, cp1252, utf-16.")
    decimal_comma: bool = Field(False, description='Numbers in CSV files are written "1,50".')


class Folder:
    """One table from all files that match; each file is brought to canonical types by itself.

    So an id that is a number in January's file and text in February's is no trouble, and
    neither is a column that appears only in later files.
    """

    def __init__(self, table: str, params: FolderParams, timezone: str) -> None:
        self.table, self.params = table, params
        self.timezone = params.timezone or timezone

    def read(self) -> pl.LazyFrame:
        return joined([conform(self._scan(path), self.table, self.timezone) for path in self.paths()])

    def found_columns(self) -> list[str]:
        names = (name for path in self.paths() for name in self._scan(path).collect_schema().names())
        return list(dict.fromkeys(names))

    def fingerprint(self) -> dict[str, Any] | None:
        # relative names: a worktree of the project reads the same files by other paths
        found = {path.relative_to(self.folder).as_posix(): path.stat() for path in self.paths()}
        return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}

    def through(self) -> None:
        return None  # its rows have no numbers

    @property
    def folder(self) -> Path:
        """Where the files are, wherever the run works."""
        return settings().project / self.params.path

    def paths(self) -> list[Path]:
        """The matching files by name; raises MissingTable where there are none."""
        if not self.folder.is_dir():
            raise DataError(
                f"{self.table}: expected the folder {self.folder}, which does not exist; "
                f"correct sources.{self.table}.path in params.yaml"
            )
        found = self.folder.glob(self.params.files or "*")
        paths = sorted(path for path in found if path.name.lower().endswith(SUFFIXES) and self._ours(path))
        if not paths:
            raise MissingTable(f"{self.table}: no file {self._pattern()} in {self.folder}")
        return paths

    def _ours(self, path: Path) -> bool:
        """Whether a file belongs to this table: transactions.csv, transactions_2024.parquet, transactions-1.csv."""
        if self.params.files:
            return True
        rest = path.name.lower().removeprefix(self.table)
        return rest != path.name.lower() and not rest[0].isalpha()

    def _pattern(self) -> str:
        return self.params.files or f"{self.table}*.parquet or {self.table}*.csv"

    def _scan(self, path: Path) -> pl.LazyFrame:
        try:
            frame = pl.scan_parquet(path) if path.suffix == ".parquet" else self._scan_csv(path)
            return renamed(frame, self.params.columns, self.table)
        except (pl.exceptions.PolarsError, UnicodeError, LookupError) as error:
            reason = str(error).split("\n")[0]
            raise DataError(
                f"{self.table}: expected a readable file, got {path} ({reason}); mend it, take it away, or correct "
                f"sources.{self.table} in params.yaml"
            ) from None

    def _scan_csv(self, path: Path) -> pl.LazyFrame:
        frame = scan_csv(path, self.params.separator, self.params.encoding)
        if not self.params.decimal_comma:
            return frame
        return frame.with_columns(pl.all().str.replace(r"^(\s*-?\d+),(\d+\s*)$", "${1}.${2}"))


def renamed(frame: pl.LazyFrame, columns: dict[str, str], table: str) -> pl.LazyFrame:
    """`frame` with canonical names; raises DataError where a mapped column is not there."""
    found = frame.collect_schema().names()
    wrong = sorted(name for name in columns.values() if name not in found)
    if wrong:
        raise DataError(
            f"{table}: expected the mapped column{'s' if len(wrong) > 1 else ''} {', '.join(wrong)}, "
            f"got {', '.join(found)}; correct sources.{table}.columns in params.yaml"
        )
    taken = [name for name in found if name in columns and name not in columns.values()]
    return frame.drop(taken).rename({theirs: ours for ours, theirs in columns.items()})
