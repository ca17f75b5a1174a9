"""What a source is: one shop table, read lazily, already in canonical form."""

from __future__ import annotations

from typing import Any, Protocol

import polars as pl


class Source(Protocol):
    """Every row known so far, in canonical columns, times in UTC.

    Raises MissingTable where the shop has no such table, DataError where it has
    one that cannot be brought to the canonical columns.
    """

    table: str

    def read(self) -> pl.LazyFrame:
        """The rows, oldest first where the source knows an order; collect sorts in any case."""
        ...

    def found_columns(self) -> list[str]:
        """Canonical columns that the source really has, as opposed to those filled with null."""
        ...

    def fingerprint(self) -> dict[str, Any] | None:
        """Something cheap that changes when the rows may have; None: nothing cheap is known."""
        ...

    def through(self) -> int | None:
        """The number of the newest row, of sources that number theirs: up to it, the same rows can be had again."""
        ...
