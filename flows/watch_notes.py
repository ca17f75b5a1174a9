"""What the watch remembers of one application, so that each look reads only what came in since the last.

    <SHOP_HOME>/watch/<application>/notes.json      up to which row the store was read, intervals, baselines, references
    <SHOP_HOME>/watch/<application>/<frame>-<n>.parquet   orders, answers that wait, counts; of bounded length

The parts are written before notes.json names them, so a killed look leaves the notes of the one before. Without
them (they may be deleted) the next look reads the store from its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import polars as pl

from components.core.artifacts import atomic_path, read_json, write_json
from components.core.errors import ArtifactError
from components.feedback.store import Store
from components.monitoring import observations, orders, shown
from components.monitoring.quality import Quality
from components.settings import settings
from flows.watched import Watched, lineage

PIECES = 25  # frames of the store that are taken in before what became of answers is counted
ORDERS_MOST = 500_000  # a shop with more of them is compared over fewer days
ORDERS_DAYS, SHOWN_DAYS, COUNTED_DAYS, ASKED_DAYS = 90, 60, 400, 60

_TOLD = ("event_id", "application", "kind", "at", "received_at", "request_id", "customer_id", "payload")
_INSTANT = pl.Datetime("us", "UTC")
_COUNTED = {"hour": _INSTANT, "application": pl.String, "kind": pl.String, "n": pl.Int64}
FRAMES: Mapping[str, Mapping[str, Any]] = {
    "orders": orders.SCHEMA,
    "shown": shown.SCHEMA,
    "counted": _COUNTED,
    "answers": observations.ANSWERS,
    "asked": observations.ASKED,
    "told": {name: _INSTANT if name in ("at", "received_at") else pl.String for name in _TOLD},
}


def folder_of(application: str) -> Path:
    """Where everything that the watch writes about one application stands."""
    return settings().home / "watch" / application


@dataclass(slots=True)
class Notes:
    """Frames by name, and what fits into JSON.

    cursor      the row up to which the store was read
    quality     what answers came to
    references  "inputs" or "answers" -> lineage -> {"from", "to", "rows", "features"}
    emitted     cause -> {"at", "weights"} of the event that asked for a retrain
    trail       quality over time, for the page
    """

    folder: Path
    frames: dict[str, pl.DataFrame]
    cursor: int = 0
    n: int = 0
    files: dict[str, str] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
    references: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    emitted: dict[str, dict[str, str]] = field(default_factory=dict)
    trail: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, application: str) -> Notes:
        """Those of the last look; empty before the first."""
        folder = folder_of(application)
        if not (folder / "notes.json").exists():
            return cls(folder, {name: pl.DataFrame(schema=schema) for name, schema in FRAMES.items()})
        kept = read_json(folder / "notes.json")
        quality = Quality.from_json(kept.pop("quality"))
        try:
            frames = {name: pl.read_parquet(folder / file) for name, file in kept["files"].items()}
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(
                f"{folder}: expected the frames that notes.json names, got: {error}; "
                "delete the folder, and the next look reads the store from its beginning"
            ) from None
        return cls(folder, frames, quality=quality, **kept)

    def save(self, frames: bool = True) -> None:
        """All of it, or nothing where this is killed half-way; `frames`: whether these have changed at all."""
        if frames or not self.files:
            self.n += 1
            self.files = {name: f"{name}-{self.n}.parquet" for name in self.frames}
            for name, file in self.files.items():
                with atomic_path(self.folder / file) as path:
                    self.frames[name].write_parquet(path)
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("folder", "frames", "quality")}
        write_json(self.folder / "notes.json", {**plain, "quality": self.quality.as_json()})
        for old in self.folder.glob("*.parquet"):
            if old.name not in self.files.values():
                old.unlink(missing_ok=True)

    def bring_up(self, one: Watched, store: Store) -> bool:
        """Take in what came since the last look, count what became of answers; returns whether a frame changed."""
        through, rows, settled = store.through(), 0, 0
        self.quality.follow(one.lineage, one.phase)
        for number, frame in enumerate(store.rows(after=self.cursor, through=through), start=1):
            self._take(one, frame)
            rows += frame.height
            if number % PIECES == 0:  # a long way to catch up: as if it had been looked at then
                settled += self._settle(one, min(one.now, cast(datetime, frame["received_at"].max())))
        self.cursor = through
        return rows + settled + self._settle(one, one.now) > 0

    def _settle(self, one: Watched, now: datetime) -> int:
        """Count what is known for good by `now`, forget what no later look needs; returns how many observations."""
        observed, self.frames["answers"] = observations.settled(
            self.frames["answers"], self.frames["told"], now, one.params.settle_hours
        )
        for (release, role, phase, measure), part in observed.group_by(
            "release", "role", "phase", "measure", maintain_order=True
        ):
            good, dealt = part["good"].to_numpy(), part.drop_nulls("unit")["good"].to_numpy()
            if role == "champion":
                of = lineage(one.application, str(release))
                self.quality.count(of, str(measure), good, now, one.params)
            if phase and phase == one.phase:
                self.quality.count_arm(one.phase, str(role), str(measure), dealt, one.params)
        self._forget(one, now)  # last: however long ago the last look was, what it waited for is here now
        return observed.height

    def _take(self, one: Watched, frame: pl.DataFrame) -> None:
        ours = pl.col("application") == one.application
        answers = frame.filter(ours & (pl.col("kind") == "impression"))
        feedback = frame.filter(pl.col("kind") != "impression")
        self.frames["orders"] = pl.concat([self.frames["orders"], orders.orders(feedback)])
        hour = pl.col("at").dt.truncate("1h")
        more = feedback.group_by("application", "kind", hour=hour).agg(n=pl.len().cast(pl.Int64)).select(*_COUNTED)
        self.frames["counted"] = pl.concat([self.frames["counted"], more])
        shows = shown.shown(answers)
        names = {release: lineage(one.application, release) for release in shows["release"].unique().to_list()}
        shows = shows.with_columns(pl.col("release").replace(names))  # a refresh goes on with what it goes on from
        self.frames["shown"] = shown.added(self.frames["shown"], shows)
        self.frames["told"] = pl.concat([self.frames["told"], feedback.select(_TOLD)])
        opened, self.frames["asked"] = observations.opened(
            answers.filter(_followed(one.params.answers_share)), self.frames["asked"], _phase(one)
        )
        self.frames["answers"] = pl.concat([self.frames["answers"], opened])

    def _forget(self, one: Watched, now: datetime) -> None:
        """What no later look can need, and what stands there twice."""

        def younger(column: str, days: float) -> pl.Expr:
            return pl.col(column).cast(pl.Date) > (now - timedelta(days=days)).date()

        frames, hours = self.frames, 3 * one.params.settle_hours / 24
        once = frames["orders"].filter(younger("at", ORDERS_DAYS)).unique("order_id", keep="last", maintain_order=True)
        frames["orders"] = once.sort("at", "order_id").tail(ORDERS_MOST)
        frames["shown"] = frames["shown"].filter(younger("day", SHOWN_DAYS))
        counts = frames["counted"].filter(younger("hour", COUNTED_DAYS)).group_by("hour", "application", "kind")
        frames["counted"] = counts.agg(pl.col("n").sum()).sort("hour", "application", "kind")
        frames["asked"] = frames["asked"].filter(younger("period", ASKED_DAYS))
        slow = pl.col("kind").is_in(["sales", "correction"])
        fresh = pl.max_horizontal("at", "received_at")
        limit = pl.when(slow).then(timedelta(days=observations.LOST_DAYS)).otherwise(timedelta(days=hours))
        frames["told"] = frames["told"].filter(fresh > now - limit)
        for kept in self.references.values():
            for name in kept.keys() - set(self.quality.lineages):
                del kept[name]


def _followed(share: float) -> pl.Expr:
    """All answers to a customer or none, so that the one before a purchase is among them."""
    who = pl.coalesce("customer_id", "request_id", "event_id")
    return who.hash(seed=7) % 1_000_000 < int(share * 1_000_000)


def _phase(one: Watched) -> pl.Expr:
    waiting = one.pointer.challenger
    given = pl.lit(False) if waiting is None else pl.col("at") >= waiting.since
    return pl.when(given).then(pl.lit(one.phase)).otherwise(pl.lit(""))
