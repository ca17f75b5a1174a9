"""Whether another retrain pays: its expected gain beside what past ones took, application by application."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from components import releases
from components.clock import now
from components.core.application import load_application
from components.core.artifacts import read_json
from components.core.tables import TABLES
from flows.learning_curve import LEVEL, Gain, Step, fit
from flows.ledger import UNCHANGED

LEARNED = ("transactions", "sales", "behaviour", "examples", "messages")  # whose rows are what there is to learn from
GROWTH = 2.0  # nothing is predicted beyond this much more data: a feed that long silent has rather died
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Amount:
    """What an application learned from: rows of its tables, until when, and how many come in a day."""

    rows: float
    as_of: datetime
    per_day: float

    def grown(self, at: datetime) -> float:
        """Rows that there should be by `at`, if they keep coming as they did."""
        days = max(0.0, (at - self.as_of).total_seconds() / 86400)
        return min(self.rows + self.per_day * days, GROWTH * self.rows)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one more retrain of one application should bring and take; None where nothing is known yet.

    gain     in the deciding metric, + is better
    least    the gain per processor hour that is worth it
    retrains past ones that the estimate was learned from
    """

    application: str
    metric: str
    before: float | None
    after: float | None
    gain: Gain | None
    cpu_seconds: float | None
    seconds: float | None
    energy_kwh: float | None
    least: float
    retrains: int

    @property
    def pays(self) -> bool:
        """Also where it cannot be told: the first retrains are how one finds out."""
        if self.gain is None or self.cpu_seconds is None:
            return True
        return self.gain.mean >= self.least * self.cpu_seconds / HOUR

    @property
    def words(self) -> str:
        """For a person who asks why it ran, or did not."""
        if self.gain is None or self.cpu_seconds is None:
            return f"{self.application}: no release, or no data at hand, to estimate a gain from"
        grown = f"{self.before:,.0f} -> {self.after:,.0f} rows" if self.before and self.after else "no new rows"
        gain = f"{self.metric} {self.gain.mean:+.5f} [{self.gain.low:+.5f}, {self.gain.high:+.5f}]"
        energy = f", {self.energy_kwh:.4f} kWh" if self.energy_kwh is not None else ""
        price = f"{self.cpu_seconds:.0f} CPU seconds{energy}"
        least = self.least * self.cpu_seconds / HOUR
        learned = f"{self.retrains} earlier retrains" if self.retrains else "the prior alone"
        verdict = "it pays" if self.pays else "it does not pay"
        return f"{self.application}: {grown}, expected {gain} ({learned}) for {price}; at least {least:.5f}: {verdict}"

    @property
    def gain_as_json(self) -> dict[str, float] | None:
        return asdict(self.gain) if self.gain is not None else None


def expectation(
    application: str, lines: Sequence[Mapping[str, Any]], folders: Iterable[Path], least: float
) -> Expectation:
    """What the shop's own past says, and the prior where it says nothing.

    Args:
        application: its name.
        lines: of the ledger, oldest first.
        folders: data/ of the last retrain and of the checkout, the best first.
        least: the gain per processor hour that is worth it.
    """
    folders = [folder for folder in folders if (folder / application / "features" / "data.json").is_file()]
    chosen, standing = load_application(application), releases.live(application)
    newest = _last(lines, application) or (amount_of(folders[0], application) if folders else None)
    seconds, cpu_seconds, energy, _ = _price(lines, folders, application)
    steps = _steps(lines, application)
    before = after = gain = None
    if newest is not None and standing is not None:
        before, after = _learned_from(lines, application, standing) or newest.rows, newest.grown(now())
        error = _error(releases.release_path(application, standing), chosen.primary, chosen.metrics[chosen.primary])
        gain = fit(steps, before, error).gain(before, max(after, before))
    return Expectation(
        application, chosen.primary, before, after, gain, cpu_seconds, seconds, energy, least, len(steps)
    )


def amount_of(data: Path, application: str) -> Amount:
    """What the features in `data` were made from."""
    read = read_json(data / application / "features" / "data.json")
    tables = [name for name in LEARNED if name in read["tables"]]
    metas = [read_json(data / "accepted" / name / "meta.json") for name in tables]
    ends = [datetime.fromisoformat(meta["as_of"]) for meta in metas if meta["as_of"]]
    rows = float(sum(meta["rows"] for meta in metas)) + _since(data / "accepted" / "feedback", max(ends, default=None))
    as_of = datetime.fromisoformat(read["as_of"])
    first = min((found for name in tables if (found := _first(data / "accepted" / name, name))), default=as_of)
    return Amount(rows, as_of, rows / max((as_of - first).total_seconds() / 86400, 1.0))


def shares(data: Path, applications: Sequence[str]) -> dict[str, float]:
    """How much of a retrain's cost is due to each application: by the seconds that its models took."""
    took = {name: _training_seconds(data, name) or 1.0 for name in applications}
    return {name: seconds / sum(took.values()) for name, seconds in took.items()}


def paired(difference: Mapping[str, float] | None, better: str) -> dict[str, float] | None:
    """The duel's difference with the sign that says better."""
    if difference is None:
        return None
    mean, low, high = (float(difference[name]) for name in ("mean", "low", "high"))
    return (
        {"mean": mean, "low": low, "high": high} if better == "higher" else {"mean": -mean, "low": -high, "high": -low}
    )


def _last(lines: Sequence[Mapping[str, Any]], application: str) -> Amount | None:
    """What the newest retrain that got so far had."""
    for line in reversed(lines):
        if application in (line.get("n_rows") or {}):
            as_of = datetime.fromisoformat(line["as_of"][application])
            return Amount(float(line["n_rows"][application]), as_of, float(line["rows_per_day"][application]))
    return None


def _learned_from(lines: Sequence[Mapping[str, Any]], application: str, version: str) -> float | None:
    """Rows that the weights of a release learned from, where a retrain made or met it; a refresh adds none to them."""
    for line in reversed(lines):
        if (line.get("champions") or {}).get(application) == version and application in (line.get("n_before") or {}):
            return float(line["n_before"][application])
        if (line.get("versions") or {}).get(application) == version and application in (line.get("n_rows") or {}):
            return float(line["n_rows" if line.get("refit", True) else "n_before"][application])
    return None


def _steps(lines: Sequence[Mapping[str, Any]], application: str) -> list[Step]:
    found = []
    for line in lines:
        gain = (line.get("realised_gain") or {}).get(application)
        if gain is None or not line.get("refit", True) or application not in (line.get("n_before") or {}):
            continue
        spread = (gain["high"] - gain["low"]) / (2 * LEVEL)
        found.append(Step(line["n_before"][application], line["n_rows"][application], gain["mean"], spread))
    return found


def _price(
    lines: Sequence[Mapping[str, Any]], folders: Sequence[Path], application: str
) -> tuple[float | None, float | None, float | None, int]:
    """Median seconds, processor seconds and kWh of past retrains, or what training took by the models' own reports."""
    past = [
        (line, line["cost_share"][application])
        for line in lines
        if line.get("refit", True)
        and application in (line.get("cost_share") or {})
        and line.get("outcome") != UNCHANGED  # such a one computed nothing
    ]
    if not past:
        took = next((found for folder in folders if (found := _training_seconds(folder, application))), None)
        return took, took, None, 0
    energies = [line["energy_kwh"] * share for line, share in past if line.get("energy_kwh") is not None]
    return (
        statistics.median(line["seconds"] * share for line, share in past),
        statistics.median(line["cpu_seconds"] * share for line, share in past),
        statistics.median(energies) if energies else None,
        len(past),
    )


def _training_seconds(data: Path, application: str) -> float:
    reports = sorted((data / application / "models").glob("*/report.json"))
    ensembles = data / application / "ensembles" / "report.json"
    learned = read_json(ensembles).values() if ensembles.is_file() else ()
    return sum(float(each.get("seconds") or 0.0) for each in (*map(read_json, reports), *learned))


def _error(release: Path, metric: str, better: str) -> float:
    """Of the live release on the test rows of its own making, as a loss that 0 would be the end of."""
    manifest = read_json(release / "manifest.json")
    figure = float(manifest["metrics"][manifest["shipped"]["name"]][metric]["mean"])
    return max(1.0 - figure, 1e-3) if better == "higher" else max(figure, 1e-3)


def _first(folder: Path, table: str) -> datetime | None:
    """The instant of the oldest row."""
    time, parts = TABLES[table].time, sorted(folder.glob("part-*.parquet"))
    if time is None or not parts:
        return None
    oldest: datetime | None = (
        pl.scan_parquet(parts).select(pl.col(time).min().cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    ).collect().item()  # fmt: skip
    return oldest


def _since(folder: Path, end: datetime | None) -> int:
    """Accepted feedback of later than the shop's own tables; what is earlier stands in them as well."""
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        return 0
    rows = pl.scan_parquet(parts)
    count: int = (rows if end is None else rows.filter(pl.col("at") >= end)).select(pl.len()).collect().item()
    return count
