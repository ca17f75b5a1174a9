"""Featurise: accepted shop tables become an application's folds."""

from __future__ import annotations

import logging
import shutil

import polars as pl

from components.core.application import Application, load_application
from components.core.artifacts import folder_checksums, read_json, write_json
from components.core.errors import MissingTable
from components.core.params import read_params, section
from components.settings import settings

log = logging.getLogger(__name__)


def featurise(application: str) -> None:
    """Write data/<application>/features/; raises MissingTable where nothing can be learned without a table."""
    chosen, data = load_application(application), settings().data
    tables = {table: scan for table in (*chosen.tables, *chosen.optional) if (scan := _accepted(table)) is not None}
    for table in chosen.tables:
        if table not in tables:
            raise MissingTable(f"{application} needs the table {table}, which sources has not; see docs/data.md")
    absent = [table for table in chosen.optional if table not in tables]
    if absent:
        log.info("%s goes without %s", application, ", ".join(absent))
    out = data / application / "features"
    shutil.rmtree(out, ignore_errors=True)
    params = read_params()
    values = section(params, application) | {"timezone": params.get("timezone", "UTC")}
    as_of = end_of_data(chosen)
    chosen.featurise(tables, as_of, values, out)
    checksums = {table: folder_checksums(data / "accepted" / table) for table in tables}
    write_json(out / "data.json", {"as_of": as_of, "tables": checksums})


def end_of_data(application: Application) -> str:
    """Until when the application's data goes, ISO: as the first of its tables that the shop has says."""
    for table in (*application.tables, *application.optional):
        if _accepted(table) is not None:
            as_of: str = read_json(settings().data / "accepted" / table / "meta.json")["as_of"]
            return as_of
    raise MissingTable(f"{application.name} found no table to learn from; see docs/data.md")


def _accepted(table: str) -> pl.LazyFrame | None:
    folder = settings().data / "accepted" / table
    return pl.scan_parquet(folder / "part-*.parquet") if any(folder.glob("part-*.parquet")) else None
