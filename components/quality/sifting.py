"""From a collected table to accepted parts and a quarantine file, one month of rows at a time."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from components.core.artifacts import atomic_path
from components.core.errors import DataError
from components.core.tables import Table
from components.quality.conditions import with_conditions
from components.quality.suite import Expectation, Suite

PIECE = 250_000  # rows: the most that is ever a pandas frame
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
        self, table: Table, suite: Suite, as_of: str | None, products: pl.Series | None, timezone: str = "UTC"
    ) -> None:
        self.table, self.suite, self.as_of, self.products, self.timezone = table, suite, as_of, products, timezone

    def sift(self, parts: list[Path], accepted: Path, quarantine: Path) -> Sifted:
        """Write the accepted rows part by part into `accepted`, all others with `fate` and `reason` to `quarantine`."""
        sifted = Sifted(failed={expectation.name: 0 for expectation in self.suite.at("row")})
        with tempfile.TemporaryDirectory(dir=accepted) as scratch:
            for part in parts:
                self._sift_part(part, accepted / part.name, Path(scratch) / part.name, sifted)
            with atomic_path(quarantine) as file:
                pl.scan_parquet(sorted(Path(scratch).iterdir())).sink_parquet(file)
        return sifted

    def _sift_part(self, part: Path, accepted: Path, rejected: Path, sifted: Sifted) -> None:
        rows, bad = pl.scan_parquet(part).with_row_index("row"), self._bad_rows(part, sifted)
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

    def _bad_rows(self, part: Path, sifted: Sifted) -> pl.DataFrame:
        """row, fate and reason of the rows that must not pass; broken outweighs set aside."""
        failing = self._failing(part)
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

    def _failing(self, part: Path) -> pl.DataFrame:
        """One line per failing row and expectation of a part."""
        rows = with_conditions(pl.scan_parquet(part), self.table, self.as_of, self.products, self.timezone)
        needed = self.suite.columns("row")
        unknown = sorted(set(needed) - set(rows.collect_schema().names()))
        if unknown:
            raise DataError(
                f"expectations/{self.table.name}.json: expected columns of {self.table.name} or conditions of rows, "
                f"got {', '.join(unknown)}; correct the suite (docs/data.md lists both)"
            )
        if not needed:
            return pl.DataFrame(schema=BAD)
        read = rows.select(needed).collect()
        # What many rows say alike is judged once: placements repeat from store to store.
        distinct = read.unique(maintain_order=True)
        failing = self._failing_of(distinct)
        bad = distinct[failing["row"]].with_columns(failing["place"])
        return read.with_row_index("row").join(bad, on=needed, nulls_equal=True).select(*BAD)

    def _failing_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        found = [
            pl.DataFrame({"row": start + pl.Series(outcome.rows, dtype=pl.UInt32), "place": place}, schema=BAD)
            for start in range(0, rows.height, PIECE)
            for place, outcome in enumerate(self.suite.check("row", rows.slice(start, PIECE).to_pandas()))
        ]
        return pl.concat(found) if found else pl.DataFrame(schema=BAD)


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
    return rows.select(ordered).with_columns(written).to_dicts()
