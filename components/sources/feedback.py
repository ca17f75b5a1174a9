"""The shop's own store of feedback as two tables: what was shown (impressions), what was done with it (feedback)."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from components.core.errors import MissingTable, ParamsError
from components.core.params import Params
from components.core.tables import table_named
from components.settings import settings
from components.sources.conform import conform

if TYPE_CHECKING:
    from components.feedback.store import Store

TABLES = ("impressions", "feedback")


class FeedbackParams(Params):
    kind: Literal["feedback"]


class Feedback:
    """The events of one table up to the newest one that the store has when it is first asked.

    They are spooled to a temporary folder, a few thousand at a time, and read lazily from there.
    Raises MissingTable where nobody has sent any yet.
    """

    def __init__(self, table: str) -> None:
        if table not in TABLES:
            raise ParamsError(
                f"params.yaml: sources.{table}: expected the kind feedback for {' and '.join(TABLES)} only; "
                "name another kind (docs/data.md)"
            )
        self.table = table

    def read(self) -> pl.LazyFrame:
        return pl.scan_parquet(sorted(self._spooled[0].glob("*.parquet")))

    def found_columns(self) -> list[str]:
        return list(table_named(self.table).schema)

    def fingerprint(self) -> dict[str, Any] | None:
        """The newest event of all, by number and id: another store would have another one there."""
        with _opened(self.table) as store:
            last = next(store.rows(after=self._newest - 1, through=self._newest))
        return {"through": self._newest, "last": last["event_id"][0]}

    def through(self) -> int | None:
        return self._spooled[1]

    @cached_property
    def _newest(self) -> int:
        """The number of the newest event of any kind, fixed when first asked for: nothing later is read."""
        with _opened(self.table) as store:
            newest = store.through()
        if not newest:
            raise MissingTable(f"{self.table}: nobody has sent any feedback yet")
        return newest

    @cached_property
    def _spooled(self) -> tuple[Path, int]:
        """A folder with this table's rows, and the number of its newest one."""
        folder, newest = Path(tempfile.mkdtemp(prefix="shop-feedback-")), 0
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # frames read it after we are gone
        with _opened(self.table) as store:
            for rows in store.rows(through=self._newest, kinds=self._kinds(store)):
                newest = int(rows["seq"][-1])
                conform(rows.lazy(), self.table).collect().write_parquet(folder / f"{newest:020}.parquet")
        if not newest:
            raise MissingTable(f"{self.table}: nobody has sent any yet")
        return folder, newest

    def _kinds(self, store: Store) -> set[str]:
        """What the table holds: kinds that nobody knows are feedback too, so that validate can say so."""
        found = {kind for _, kind in store.counts()}
        return found & {"impression"} if self.table == "impressions" else found - {"impression"}


@contextmanager
def _opened(table: str) -> Iterator[Store]:
    """The shop's store; raises MissingTable where there is none, since looking must not make one."""
    here = settings()
    if here.feedback_url is None and not (here.home / "feedback" / "events.sqlite").is_file():
        raise MissingTable(f"{table}: this shop has no store of feedback yet")
    from components.feedback.store import open_store

    store = open_store()
    try:
        yield store
    finally:
        store.close()
