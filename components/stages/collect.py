"""collect: bring one shop table from its source into data/collected/, in canonical form.

The stage always runs, since only the source knows whether anything is new, but it leaves the files
alone where nothing is. Parts are whole months (UTC; of feedback, days), so that a new day changes one file of many.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from components.core.artifacts import file_sha256, read_json, write_json
from components.core.errors import DataError, MissingTable
from components.core.folders import replaced_folder
from components.core.params import read_params
from components.core.tables import (
    DATE,
    PARTS,
    Table,
    midnight,
    midnight_after,
    missing_columns,
    period_length,
    table_named,
)
from components.settings import settings
from components.sources.personal import mask_version, without_personal_data
from components.sources.shop import source_of
from components.sources.source import Source

log = logging.getLogger(__name__)

FORMAT = 1  # raise when the layout of the parts changes, so that old ones are written anew
WRONG_CLOCK = timedelta(days=90)
ROW_GROUP = 250_000  # rows; also the most that validate holds as a pandas frame


def collect(table: str) -> None:
    """Write data/collected/<table>/part-*.parquet and meta.json, or leave them where nothing is new.

    A shop without the table gets a folder that says so; raises DataError where the table is
    there but cannot be brought to the canonical columns.
    """
    params, target = read_params(), settings().data / "collected" / table
    try:
        source = source_of(table, params)
        state = _state(source, params)
        if _unchanged(target, state):
            log.info("%s: nothing new at the source", table)
            return
        _write(source, target, params)
    except pl.exceptions.PolarsError as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{table}: expected rows that can be read, got: {reason}; mend what sources.{table} names"
        ) from None
    except MissingTable as error:
        log.warning("%s; what needs this table is switched off", error)
        _write_missing(table, target)
        return
    _remember(target, state)


def keep_reference(table: str) -> None:
    """Keep the profile of the data just released, so that later data is compared with it.

    Copies data/quality/<table>.profile.json to shop/reference/<table>/<as_of>.json. A table without
    times, or of plans, takes the as_of of the transactions (or series) that were released with it.
    """
    here = settings()
    profile = here.data / "quality" / f"{table}.profile.json"
    if not profile.is_file():
        return
    content = read_json(profile)
    if "content" not in content:
        return  # of a table that the shop does not have: nothing can be compared with it
    sold = [here.data / "collected" / name / "meta.json" for name in ("transactions", "sales")]
    ends = [content["as_of"], *(read_json(meta)["as_of"] for meta in sold if meta.is_file())]
    as_of = next((end for end in ends if end is not None), None)
    if as_of is not None:
        write_json(here.home / "reference" / table / f"{_file_stem(as_of)}.json", content | {"as_of": as_of})


def _write(source: Source, target: Path, params: dict[str, Any]) -> None:
    table, timezone = table_named(source.table), str(params.get("timezone", "UTC"))
    lacking = missing_columns(source.found_columns(), table.name)
    if lacking:
        log.warning("%s: the source has no %s; what needs them is switched off", table.name, ", ".join(lacking))
    with replaced_folder(target) as folder:
        rows = _write_parts(without_personal_data(source.read(), table), table, folder)
        meta = {
            "table": table.name,
            "as_of": _as_of(folder, table, timezone),
            "rows": rows,
            "source": params["sources"][table.name],
            "missing_columns": lacking,
            "timezone": timezone,
            "content": _content(folder),
        }
        meta |= _covariates(folder, table) | _through(source)
        write_json(folder / "meta.json", meta | _reference(meta))
    log.info("%s: %d rows%s", table.name, rows, f", as of {meta['as_of']}" if meta["as_of"] else "")


def _through(source: Source) -> dict[str, int]:
    """Up to which number the rows go, for sources that number them."""
    through = source.through()
    return {} if through is None else {"through": through}


def _covariates(folder: Path, table: Table) -> dict[str, list[str]]:
    """The further columns that were kept, for tables that have such."""
    if not table.covariates:
        return {}
    columns = pl.read_parquet_schema(next(folder.glob("part-*.parquet")))
    return {"covariates": [name for name in columns if name not in table.schema]}


def _write_missing(table: str, target: Path) -> None:
    lacking = list(table_named(table).optional)
    with replaced_folder(target) as folder:
        meta = {"table": table, "as_of": None, "rows": 0, "missing": True, "source": None, "missing_columns": lacking}
        write_json(folder / "meta.json", meta)


def _write_parts(rows: pl.LazyFrame, table: Table, folder: Path) -> int:
    """One part per month or day, each sorted by time, then key, then all else, so that equal rows give equal bytes.

    Rows stream into one file per part first, so no more than one is ever sorted in memory.
    """
    if table.cut is None:
        return _write_part(rows, table, folder / "part-all.parquet")
    part = pl.col(table.cut).dt.strftime(PARTS[table.part]).fill_null("undated")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        rows.sink_parquet(pl.PartitionBy(scratch, key={"part": part}, include_key=False), mkdir=True)
        parts = sorted(Path(scratch).iterdir())
        if not parts:
            return _write_part(rows, table, folder / "part-none.parquet")
        return sum(
            _write_part(
                pl.scan_parquet(path, hive_partitioning=False),
                table,
                folder / f"part-{path.name.removeprefix('part=')}.parquet",
            )
            for path in parts
        )


def _write_part(rows: pl.LazyFrame, table: Table, path: Path) -> int:
    covariates = [name for name in rows.collect_schema() if name not in table.schema]
    part = rows.select(*table.schema, *covariates).sort([*table.order, *covariates]).collect()
    part.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP)
    return part.height


def _as_of(folder: Path, table: Table, timezone: str) -> str | None:
    """The end of the data: the midnight in the shop's timezone after the newest row, as ISO text in UTC.

    A few rows from a clock gone wrong must not move it: where the newest thousandth of the rows lies
    more than WRONG_CLOCK after all others, it is left out (and validate quarantines those rows). Where
    rows are periods, it is the end of the newest one. None for plans: they run ahead of the data.
    """
    if table.cut is None or table.ahead:
        return None
    rows = pl.scan_parquet(sorted(folder.glob("part-*.parquet")))
    if table.happened:
        rows = rows.drop_nulls(table.happened)
    times = rows.select(at=pl.col(table.cut).cast(pl.Datetime("us"))).drop_nulls()
    usual = times.select(pl.col("at").quantile(0.999, interpolation="lower")).collect().item()
    if usual is None:
        return None
    newest: datetime = times.filter(pl.col("at") <= usual + WRONG_CLOCK).select(pl.col("at").max()).collect().item()
    if table.schema[table.cut] == DATE:
        end = midnight(newest.date() + period_length(rows, table.key[0], table.cut), timezone)
    else:
        end = midnight_after(newest.replace(tzinfo=UTC), timezone)
    return end.isoformat()


def _content(folder: Path) -> str:
    """One hash over the parts' bytes."""
    parts = sorted(folder.glob("part-*.parquet"))
    return hashlib.sha256("".join(file_sha256(part) for part in parts).encode()).hexdigest()


def _reference(meta: dict[str, Any]) -> dict[str, Any]:
    """The newest released profile of older data; never of these very rows, or a release would change its own inputs."""
    folder = settings().home / "reference" / meta["table"]
    for path in sorted(folder.glob("*.json"), reverse=True):
        profile = read_json(path)
        older = meta["as_of"] is None or datetime.fromisoformat(profile["as_of"]) < datetime.fromisoformat(
            meta["as_of"]
        )
        if older and profile.get("content") not in (None, meta["content"]):  # None: the table was not there then
            return {"reference": profile}
    return {}


def _file_stem(as_of: str) -> str:
    return datetime.fromisoformat(as_of).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _state(source: Source, params: dict[str, Any]) -> dict[str, Any] | None:
    """What decides whether the parts must be written anew; None where only reading can tell."""
    fingerprint = source.fingerprint()
    if fingerprint is None:
        return None
    block = [FORMAT, fingerprint, params["sources"][source.table], params.get("timezone")]
    block += [mask_version()] if table_named(source.table).personal else []
    return {"inputs": hashlib.sha256(json.dumps(block, sort_keys=True, default=str).encode()).hexdigest()}


def _state_file(target: Path) -> Path:
    # Beside the folder, not in it: DVC would take a changed mtime at the source for changed data.
    return target.with_name(f".{target.name}.state.json")


def _outputs(target: Path) -> dict[str, Any]:
    parts = {path.name: path.stat().st_size for path in sorted(target.glob("part-*.parquet"))}
    return {"parts": parts, "meta": file_sha256(target / "meta.json")}


def _unchanged(target: Path, state: dict[str, Any] | None) -> bool:
    """Whether `target` holds what was written from these inputs (and DVC checked out nothing else since)."""
    if state is None or not _state_file(target).is_file() or not (target / "meta.json").is_file():
        return False
    meta = read_json(target / "meta.json")
    same = read_json(_state_file(target)) == state | _outputs(target)
    return same and _reference(meta) == {key: meta[key] for key in ("reference",) if key in meta}


def _remember(target: Path, state: dict[str, Any] | None) -> None:
    if state is not None:
        write_json(_state_file(target), state | _outputs(target))
