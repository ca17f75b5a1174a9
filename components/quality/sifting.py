"""From a collected table to accepted parts and a quarantine file, one part at a time, or several small ones."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from components.core.artifacts import atomic_path
from components.core.errors import DataError
from components.core.tables import Table
from components.quality.conditions import with_conditions
from components.quality.labels import Labels
from components.quality.suite import Expectation, Suite

PIECE = 250_000  # rows: the most that is ever a pandas frame
LONGEST = 300  # characters of a text that is shown as an example; an event's payload may be long
BAD = {"row": pl.UInt32(), "place": pl.UInt32()}  # place: of the expectation in the suite


@dataclass(slots=True)
class Sifted:
    """Counts of rows: all, by fate, and failing ones by expectation."""

    collected: int = 0
    accepted: int = 0
    quarantined: int = 0
    set_aside: int = 0
    failed: dict[str, int] = field(default_factory=dict)

    def passed(self, expectation: Expectation) -> bool:
        """Over the whole table; `mostly` is the share that must hold."""
        allowed = (1 - float(expectation.kwargs.get("mostly", 1))) * self.collected
        return self.failed.get(expectation.name, 0) <= allowed


class Sieve:
    """The row expectations of one table, with what they need to know about the rest of the shop."""

    def __init__(
        self,
        table: Table,
        suite: Suite,
        as_of: str | None,
        products: pl.Series | None,
        timezone: str = "UTC",
        answered: pl.Series | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.table, self.suite, self.as_of, self.products, self.timezone = table, suite, as_of, products, timezone
        self.answered, self.labels = answered, labels

    def sift(self, parts: list[Path], accepted: Path, quarantine: Path) -> Sifted:
        """Write the accepted rows part by part into `accepted`, all others with `fate` and `reason` to `quarantine`."""
        sifted = Sifted(failed={expectation.name: 0 for expectation in self.suite.at("row")})
        with tempfile.TemporaryDirectory(dir=accepted) as scratch:
            for several in _together(parts):
                failing = self._failing(several)
                for number, part in enumerate(several):
                    found = failing.filter(pl.col("part") == number)
                    self._sift_part(part, found, accepted / part.name, Path(scratch) / part.name, sifted)
            with atomic_path(quarantine) as file:
                pl.scan_parquet(sorted(Path(scratch).iterdir())).sink_parquet(file)
        return sifted

    def _sift_part(self, part: Path, failing: pl.DataFrame, accepted: Path, rejected: Path, sifted: Sifted) -> None:
        rows, bad = pl.scan_parquet(part).with_row_index("row"), self._bad_rows(failing, sifted)
        if bad.is_empty():
            shutil.copyfile(part, accepted)
        else:
            kept = rows.join(bad.lazy(), on="row", how="anti", maintain_order="left").drop("row").collect()
            kept.write_parquet(accepted, row_group_size=PIECE)
        refused = rows.join(bad.lazy(), on="row", maintain_order="left").drop("row").collect()
        refused.write_parquet(rejected)
        aside, n_rows = refused.filter(pl.col("fate") == "set_aside").height, rows.select(pl.len()).collect().item()
        sifted.collected += n_rows
        sifted.accepted += n_rows - refused.height
        sifted.set_aside += aside
        sifted.quarantined += refused.height - aside

    def _bad_rows(self, failing: pl.DataFrame, sifted: Sifted) -> pl.DataFrame:
        """row, fate and reason of the rows that must not pass; broken outweighs set aside."""
        expectations = self.suite.at("row")
        for place, count in failing.group_by("place").len().iter_rows():
            sifted.failed[expectations[place].name] += count
        stated = pl.DataFrame(
            [(place, one.on_failure, one.name, one.says.rstrip(".")) for place, one in enumerate(expectations)],
            schema={"place": pl.UInt32, "on_failure": pl.String, "name": pl.String, "says": pl.String},
            orient="row",
        )
        refused = failing.join(stated, on="place").filter(pl.col("on_failure") != "report").sort("row", "place")
        broken = (pl.col("on_failure") == "quarantine").any()
        return refused.group_by("row", maintain_order=True).agg(
            fate=pl.when(broken).then(pl.lit("quarantined")).otherwise(pl.lit("set_aside")),
            reason=pl.concat_str("name", pl.lit(": "), "says").str.join("; "),
        )

    def _failing(self, parts: Sequence[Path]) -> pl.DataFrame:
        """One line per failing row and expectation: part (its place among these), row within it, place."""
        needed = self.suite.columns("row")
        if not needed:
            return pl.DataFrame(schema={"part": pl.Int32(), **BAD})
        # What many rows say alike is judged once: placements repeat from store to store.
        read = pl.concat([self._read(part, needed).with_columns(part=number) for number, part in enumerate(parts)])
        distinct = read.select(needed).unique(maintain_order=True)
        failing = self._failing_of(distinct)
        bad = distinct[failing["row"]].with_columns(failing["place"])
        return read.join(bad, on=needed, nulls_equal=True).select("part", *BAD)

    def _read(self, part: Path, needed: list[str]) -> pl.DataFrame:
        """`needed` columns of a part and the numbers of its rows."""
        rows = pl.scan_parquet(part)
        rows = with_conditions(rows, self.table, self.as_of, self.products, self.timezone, self.answered, self.labels)
        unknown = sorted(set(needed) - set(rows.collect_schema().names()))
        if unknown:
            raise DataError(
                f"expectations/{self.table.name}.json: expected columns of {self.table.name} or conditions of rows, "
                f"got {', '.join(unknown)}; correct the suite (docs/data.md lists both)"
            )
        return rows.select(needed).collect().with_row_index("row")

    def _failing_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        found = [
            pl.DataFrame({"row": start + pl.Series(outcome.rows, dtype=pl.UInt32), "place": place}, schema=BAD)
            for start in range(0, rows.height, PIECE)
            for place, outcome in enumerate(self.suite.check("row", rows.slice(start, PIECE).to_pandas()))
        ]
        return pl.concat(found) if found else pl.DataFrame(schema=BAD)


def _together(parts: Sequence[Path]) -> Iterator[list[Path]]:
    """Parts in their order, in lots of at most PIECE rows (or one part): a year of days is not judged day by day."""
    lot, n_rows = list[Path](), 0
    for part in parts:
        n_more = pl.scan_parquet(part).select(pl.len()).collect().item()
        if lot and n_rows + n_more > PIECE:
            yield lot
            lot, n_rows = [], 0
        lot.append(part)
        n_rows += n_more
    if lot:
        yield lot


def examples(quarantine: Path, per_reason: int = 3, at_most: int = 24) -> list[dict[str, Any]]:
    """A few rejected rows of every reason, the rarest reasons first, as JSON values."""
    rejected = pl.scan_parquet(quarantine)
    counts = rejected.group_by("reason").len().sort("len", "reason").collect()
    picked = [rejected.filter(pl.col("reason") == why).head(per_reason) for why in counts["reason"].head(at_most)]
    if not picked:
        return []
    rows = pl.concat(picked).head(at_most).collect()
    ordered = ["reason", "fate", *(name for name in rows.columns if name not in ("reason", "fate"))]
    times = [name for name, kind in rows.schema.items() if kind == pl.Datetime]
    written = [pl.col(times).dt.strftime("%Y-%m-%d %H:%M:%S UTC"), pl.col(pl.Date).cast(pl.String)]
    written += [pl.col(pl.String).str.slice(0, LONGEST)]
    return rows.select(ordered).with_columns(written).to_dicts()
