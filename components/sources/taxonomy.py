"""A shop's taxonomy of what customers want: a folder with one file of rules and one of examples per intent.

It has two tables, `intents` and `examples`. The format is customer service's own (components/support/starter says
which), and is reached by name, as stages reach applications.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from components.core.artifacts import file_sha256
from components.core.errors import MissingTable
from components.core.params import Params
from components.settings import settings
from components.sources.conform import conform

FORMAT = "components.support.taxonomy"


class TaxonomyParams(Params):
    kind: Literal["taxonomy"]
    path: Path | None = Field(
        None, description="Folder of the intents, relative to SHOP_PROJECT; default: the starter that comes with this."
    )
    written: date = Field(
        date(2026, 11, 23), description="The day on which the examples were last worked on; default: the starter's."
    )


class Taxonomy:
    """One of the two tables of the folder. Raises DataError with file, field and remedy where it is not sound."""

    def __init__(self, table: str, params: TaxonomyParams) -> None:
        self.table, self.params = table, params

    def read(self) -> pl.LazyFrame:
        return conform(self._rows().lazy(), self.table)

    def found_columns(self) -> list[str]:
        return self._rows().columns

    def fingerprint(self) -> dict[str, Any] | None:
        files = sorted(path for path in self.folder.glob("*") if path.suffix in (".yaml", ".csv"))
        return {path.name: file_sha256(path) for path in files}

    def through(self) -> None:
        return None  # its rows have no numbers

    @property
    def folder(self) -> Path:
        """Where the files are, wherever the run works."""
        starter: Path = _format().STARTER
        return starter if self.params.path is None else settings().project / self.params.path

    def _rows(self) -> pl.DataFrame:
        kinds: Mapping[str, Callable[[], pl.DataFrame]] = {"intents": self._intents, "examples": self._examples}
        if self.table not in kinds:
            raise MissingTable(f"{self.table}: a taxonomy has {' and '.join(kinds)} only")
        return kinds[self.table]()

    def _intents(self) -> pl.DataFrame:
        """One row per intent; `definition` is the whole of its rules, as JSON."""
        found = _format().Taxonomy.load(self.folder)
        return pl.DataFrame(
            {"intent": list(found.names), "definition": [one.model_dump_json() for one in found.intents]}
        )

    def _examples(self) -> pl.DataFrame:
        """Messages with the intent that they have, `out_of_scope` where that is none."""
        format_ = _format()
        return format_.messages(self.folder).with_columns(
            pl.col("intent").fill_null(format_.OUT_OF_SCOPE), written=pl.lit(self.params.written)
        )


def _format() -> Any:
    return importlib.import_module(FORMAT)
