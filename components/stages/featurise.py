"""Featurise: accepted shop tables, with what feedback adds to them, become an application's folds."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping

import polars as pl

from components.core.application import Application, load_application
from components.core.artifacts import folder_checksums, read_json, write_json
from components.core.errors import MissingTable
from components.core.params import read_params, section
from components.feedback.merge import Merged, with_feedback
from components.settings import settings

log = logging.getLogger(__name__)


def featurise(application: str) -> None:
    """Write data/<application>/features/; raises MissingTable where nothing can be learned without a table."""
    chosen, data, params = load_application(application), settings().data, read_params()
    timezone = str(params.get("timezone", "UTC"))
    own, feedback = _shop_tables(chosen), _accepted("feedback")
    found = Merged(own, {table: _end(table) for table in own})
    if feedback is not None:
        found = with_feedback(own, feedback, found.ends, (*chosen.tables, *chosen.optional), timezone)
    for table in chosen.tables:
        if table not in found.tables:
            raise MissingTable(f"{application} needs the table {table}, which sources has not; see docs/data.md")
    absent = [table for table in chosen.optional if table not in found.tables]
    if absent:
        log.info("%s goes without %s", application, ", ".join(absent))
    out = data / application / "features"
    shutil.rmtree(out, ignore_errors=True)
    as_of = end_of_data(chosen, found.ends)
    chosen.featurise(found.tables, as_of, section(params, application) | {"timezone": timezone}, out)
    read = [*own, *(["feedback"] if feedback is not None else [])]
    checksums = {table: folder_checksums(data / "accepted" / table) for table in read}
    write_json(out / "data.json", {"as_of": as_of, "tables": checksums})


def end_of_data(application: Application, ends: Mapping[str, str | None]) -> str:
    """Until when the application's data goes, ISO: as the first of its tables that the shop has says."""
    first = next((table for table in (*application.tables, *application.optional) if table in ends), None)
    if first is None:
        raise MissingTable(f"{application.name} found no table to learn from; see docs/data.md")
    as_of = ends[first]
    if as_of is None:
        raise MissingTable(
            f"{application.name}: expected {first} with a row whose time is known, got none; data/quality says what "
            "became of it"
        )
    return as_of


def _shop_tables(application: Application) -> dict[str, pl.LazyFrame]:
    names = (*application.tables, *application.optional)
    return {table: scan for table in names if (scan := _accepted(table)) is not None}


def _end(table: str) -> str | None:
    as_of: str | None = read_json(settings().data / "accepted" / table / "meta.json")["as_of"]
    return as_of


def _accepted(table: str) -> pl.LazyFrame | None:
    folder = settings().data / "accepted" / table
    return pl.scan_parquet(folder / "part-*.parquet") if any(folder.glob("part-*.parquet")) else None
