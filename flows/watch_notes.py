"""What the watch remembers of one application, so that each look reads only what came in since the last.

    <SHOP_HOME>/watch/<application>/notes.json      up to which row the store was read, intervals, baselines, references
    <SHOP_HOME>/watch/<application>/<frame>-<n>.parquet   orders, answers that wait, counts; of bounded length

The parts are written before notes.json names them, so a killed look leaves the notes of the one before. Without
them (they may be deleted) the next look reads the store from its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from components.core.artifacts import atomic_path, read_json, write_json
from components.core.errors import ArtifactError
from components.feedback.store import Store
from components.monitoring import observations, orders, shown
from components.monitoring.arms import alpha_of_each
from components.monitoring.sequential import Running
from components.settings import settings
from flows.watched import Watched, lineage

ORDERS_MOST = 500_000  # a shop with more of them is compared over fewer days
ORDERS_DAYS, SHOWN_DAYS, COUNTED_DAYS, ASKED_DAYS = 90, 60, 400, 60
BASELINES = 3  # lineages before this one whose quality is what this one should reach
LINEAGES = 6  # that are remembered

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

    running     "live/<lineage>/<measure>" and "canary/<challenge>/<role>/<measure>" -> interval
    reached     lineage -> measure -> [observations, their sum]
    baselines   lineage -> measure -> {"mean", "n", "of"}
    references  "inputs" or "answers" -> lineage -> {"from", "to", "rows", "features"}
    lineages    those that were live, the present one last
    emitted     cause -> {"at", "version"} of the event that asked for a retrain
    trail       quality over time, for the page
    """

    folder: Path
    frames: dict[str, pl.DataFrame]
    cursor: int = 0
    n: int = 0
    files: dict[str, str] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    reached: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    baselines: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    references: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    lineages: list[str] = field(default_factory=list)
    emitted: dict[str, dict[str, str]] = field(default_factory=dict)
    trail: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, application: str) -> Notes:
        """Those of the last look; empty before the first."""
        folder = folder_of(application)
        if not (folder / "notes.json").exists():
            return cls(folder, {name: pl.DataFrame(schema=schema) for name, schema in FRAMES.items()})
        kept = read_json(folder / "notes.json")
        running = {name: Running.from_json(state) for name, state in kept.pop("running").items()}
        try:
            frames = {name: pl.read_parquet(folder / file) for name, file in kept["files"].items()}
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(
                f"{folder}: expected the frames that notes.json names, got: {error}; "
                "delete the folder, and the next look reads the store from its beginning"
            ) from None
        return cls(folder, frames, running=running, **kept)

    def save(self, frames: bool = True) -> None:
        """All of it, or nothing where this is killed half-way; `frames`: whether these have changed at all."""
        if frames or not self.files:
            self.n += 1
            self.files = {name: f"{name}-{self.n}.parquet" for name in self.frames}
            for name, file in self.files.items():
                with atomic_path(self.folder / file) as path:
                    self.frames[name].write_parquet(path)
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("folder", "frames", "running")}
        running = {name: state.as_json() for name, state in self.running.items()}
        write_json(self.folder / "notes.json", {**plain, "running": running})
        for old in self.folder.glob("*.parquet"):
            if old.name not in self.files.values():
                old.unlink(missing_ok=True)

    def bring_up(self, one: Watched, store: Store) -> bool:
        """Take in what came since the last look, count what became of answers; returns whether a frame changed."""
        through, rows = store.through(), 0
        self._follow(one.lineage)
        for frame in store.rows(after=self.cursor, through=through):
            self._take(one, frame)
            rows += frame.height
        self.cursor = through
        settled = self._settle(one)
        self._forget(one)  # last: however long ago the last look was, what it waited for is here now
        return rows + settled > 0

    def arm(self, phase: str, role: str) -> dict[str, Running]:
        """Intervals of one side of a challenge, by measure."""
        prefix = f"canary/{phase}/{role}/"
        return {name.removeprefix(prefix): state for name, state in self.running.items() if name.startswith(prefix)}

    def _settle(self, one: Watched) -> int:
        """Returns how many observations were made."""
        observed, self.frames["answers"] = observations.settled(
            self.frames["answers"], self.frames["told"], one.now, one.params.settle_hours
        )
        for (release, role, phase, measure), part in observed.group_by(
            "release", "role", "phase", "measure", maintain_order=True
        ):
            if role == "champion":
                self._count_live(one, lineage(one.application, str(release)), str(measure), part["good"])
            if phase and phase == one.phase:
                self._count_arm(one, f"canary/{phase}/{role}/{measure}", part.drop_nulls("unit")["good"])
        return observed.height

    def _take(self, one: Watched, frame: pl.DataFrame) -> None:
        ours = pl.col("application") == one.application
        answers = frame.filter(ours & (pl.col("kind") == "impression"))
        feedback = frame.filter(pl.col("kind") != "impression")
        every = pl.concat([self.frames["orders"], orders.orders(feedback)])
        self.frames["orders"] = every.unique("order_id", keep="last", maintain_order=True)
        hour = pl.col("at").dt.truncate("1h")
        more = feedback.group_by("application", "kind", hour=hour).agg(n=pl.len().cast(pl.Int64)).select(*_COUNTED)
        both = pl.concat([self.frames["counted"], more]).group_by("hour", "application", "kind").agg(pl.col("n").sum())
        self.frames["counted"] = both.sort("hour", "application", "kind")
        shows = shown.shown(answers)
        names = {release: lineage(one.application, release) for release in shows["release"].unique().to_list()}
        shows = shows.with_columns(pl.col("release").replace(names))  # a refresh goes on with what it goes on from
        self.frames["shown"] = shown.added(self.frames["shown"], shows)
        self.frames["told"] = pl.concat([self.frames["told"], feedback.select(_TOLD)])
        opened, self.frames["asked"] = observations.opened(
            answers.filter(_followed(one.params.answers_share)), self.frames["asked"], _phase(one)
        )
        self.frames["answers"] = pl.concat([self.frames["answers"], opened])

    def _forget(self, one: Watched) -> None:
        """What no later look can need."""

        def younger(column: str, days: float) -> pl.Expr:
            return pl.col(column).cast(pl.Date) > (one.now - timedelta(days=days)).date()

        frames, hours = self.frames, 3 * one.params.settle_hours / 24
        frames["orders"] = frames["orders"].filter(younger("at", ORDERS_DAYS)).sort("at", "order_id").tail(ORDERS_MOST)
        frames["shown"] = frames["shown"].filter(younger("day", SHOWN_DAYS))
        frames["counted"] = frames["counted"].filter(younger("hour", COUNTED_DAYS))
        frames["asked"] = frames["asked"].filter(younger("period", ASKED_DAYS))
        slow = pl.col("kind").is_in(["sales", "correction"])
        fresh = pl.max_horizontal("at", "received_at")
        limit = pl.when(slow).then(timedelta(days=observations.LOST_DAYS)).otherwise(timedelta(days=hours))
        frames["told"] = frames["told"].filter(fresh > one.now - limit)
        self._forget_lineages(one.phase)

    def _follow(self, lineage: str) -> None:
        """It becomes the last, also where it was rolled back to."""
        if self.lineages[-1:] != [lineage]:
            self.lineages = [*(name for name in self.lineages if name != lineage), lineage][-LINEAGES:]

    def _forget_lineages(self, phase: str) -> None:
        known = set(self.lineages)
        kept: list[dict[str, Any]] = [self.reached, self.baselines, *self.references.values()]
        for by_lineage in kept:
            for name in by_lineage.keys() - known:
                del by_lineage[name]
        for name in list(self.running):
            what, of, *_ = name.split("/")
            if of not in known if what == "live" else of != phase:
                del self.running[name]

    def _count_live(self, one: Watched, of: str, measure: str, good: pl.Series) -> None:
        """Towards the baseline where there is none yet, then towards the interval that is held against it."""
        sums = self.reached.setdefault(of, {}).setdefault(measure, [0, 0.0])
        baselines = self.baselines.setdefault(of, {})
        if measure not in baselines and (before := self._before(of, measure, one.params.min_answers)):
            baselines[measure] = before
        sums[0], sums[1] = sums[0] + good.len(), sums[1] + float(good.sum())
        if measure in baselines:
            name = f"live/{of}/{measure}"
            state = self.running.get(name) or Running(one.params.quality_alpha)
            self.running[name] = state.extended(good.to_numpy())
        elif sums[0] >= one.params.min_answers:
            baselines[measure] = {"mean": sums[1] / sums[0], "n": sums[0], "of": "its own first answers"}

    def _before(self, of: str, measure: str, min_answers: int) -> dict[str, Any] | None:
        """What the lineages before `of` reached together; None where too little is known of them."""
        earlier = self.lineages[: self.lineages.index(of)] if of in self.lineages else self.lineages
        known = [self.reached[name][measure] for name in earlier if measure in self.reached.get(name, {})]
        n, total = sum(sums[0] for sums in known[-BASELINES:]), sum(sums[1] for sums in known[-BASELINES:])
        return {"mean": total / n, "n": n, "of": "the releases before"} if n >= min_answers else None

    def _count_arm(self, one: Watched, name: str, good: pl.Series) -> None:
        state = self.running.get(name) or Running(alpha_of_each(one.params.canary_alpha))
        self.running[name] = state.extended(good.to_numpy())


def _followed(share: float) -> pl.Expr:
    """All answers to a customer or none, so that the one before a purchase is among them."""
    who = pl.coalesce("customer_id", "request_id", "event_id")
    return who.hash(seed=7) % 1_000_000 < int(share * 1_000_000)


def _phase(one: Watched) -> pl.Expr:
    waiting = one.pointer.challenger
    return (
        pl.lit("")
        if waiting is None
        else pl.when(pl.col("at") >= waiting.since).then(pl.lit(one.phase)).otherwise(pl.lit(""))
    )
