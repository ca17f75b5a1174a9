"""CSV files as shops export them: everything as text, and one stray quote spoils one line, not the file."""

from __future__ import annotations

import atexit
import csv
import gzip
import itertools
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import polars as pl

log = logging.getLogger(__name__)

BATCH = 100_000  # lines held at once while a file is mended


def scan_csv(path: Path, separator: str, encoding: str) -> pl.LazyFrame:
    """Every field as text, nulls where a line is too short; what a line has too much is left out.

    No type is guessed: one guessed from the first lines would refuse or spoil later ones. A file that
    the fast reader cannot take whole is read again line by line.
    """
    frame = pl.scan_csv(
        path, separator=separator, infer_schema=False, truncate_ragged_lines=True, encoding="utf8-lossy"
    )
    if encoding == "utf-8" and _sound(frame):
        return frame
    return pl.concat([pl.scan_parquet(batch) for batch in _mended(path, separator, encoding)])


def _sound(frame: pl.LazyFrame) -> bool:
    """Whether every line can be parsed; costs one pass, which finds out before half the rows are written."""
    try:
        frame.select(pl.all().null_count()).collect(engine="streaming")
    except pl.exceptions.ComputeError as error:
        log.warning("%s; reading it line by line", " ".join(str(error).split("\n\n")[0].split()))
        return False
    return True


def _mended(path: Path, separator: str, encoding: str) -> list[Path]:
    """The file as Parquet batches, each physical line parsed by itself."""
    spool = Path(tempfile.mkdtemp(prefix="shop-csv-"))
    atexit.register(shutil.rmtree, spool, ignore_errors=True)
    with _opened(path, encoding) as stream:
        lines = (next(csv.reader([line], delimiter=separator), []) for line in stream)
        names = next(lines)
        for number, batch in enumerate(_batches(lines)):
            rows = [[field or None for field in line[: len(names)]] for line in batch]
            padded = [row + [None] * (len(names) - len(row)) for row in rows]
            frame = pl.DataFrame(padded, schema=dict.fromkeys(names, pl.String), orient="row")
            frame.write_parquet(spool / f"batch-{number:06}.parquet")
    return sorted(spool.iterdir())


def _batches(lines: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    """At least one batch, so that a file without lines still has its columns; empty lines are no rows."""
    rows = filter(None, lines)
    yield list(itertools.islice(rows, BATCH))
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _opened(path: Path, encoding: str) -> IO[str]:
    signed = "utf-8-sig" if encoding == "utf-8" else encoding
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=signed, errors="replace", newline="")
    return path.open(encoding=signed, errors="replace", newline="")
