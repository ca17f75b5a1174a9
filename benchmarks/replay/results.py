"""What the arms reached, week by week, and how they differ: the same baskets and series in every arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.replay.arm import ARMS, played
from benchmarks.replay.shop import ReplayShop
from components.core.artifacts import read_json
from components.core.metrics import Interval, bootstrap

LAST = 8  # weeks over which arms are compared: by then their models are not the same any more
LEVELS = (0.1, 0.5, 0.9)
FIELDS = ("at", "reason", "outcome", "words", "seconds", "cpu_seconds")  # of a line in retrains.jsonl


def answers_by_week(root: Path) -> pl.DataFrame:
    """week, baskets, ndcg, recall, phr of one arm."""
    means = [pl.col(name).mean() for name in ("ndcg", "recall", "phr")]
    return played(root, "answers").group_by("week").agg(pl.len().alias("baskets"), *means).sort("week")


def errors_by_week(root: Path) -> pl.DataFrame:
    """week, wape, wql and the share of series that had a forecast, of one arm; one week ahead."""
    rows = _losses(played(root, "forecasts"))
    sold = pl.col("units").sum()
    return (
        rows.group_by("week")
        .agg(
            wape=pl.col("missed").sum() / sold,
            wql=pl.col("lost").sum() / sold,
            forecast=pl.col("q0.5").is_not_null().mean(),
        )
        .sort("week")
    )  # fmt: skip


def _losses(forecasts: pl.DataFrame) -> pl.DataFrame:
    """`missed` = |units - median|, `lost` = twice the mean pinball loss; no forecast counts as one of nothing."""
    units = pl.col("units")
    at = {level: pl.col(f"q{level}").fill_null(0.0) for level in LEVELS}
    pinball = [pl.max_horizontal(level * (units - q), (level - 1) * (units - q)) for level, q in at.items()]
    return forecasts.with_columns(missed=(units - at[0.5]).abs(), lost=2 * pl.mean_horizontal(pinball))


def difference(ours: Path, theirs: Path, metric: str, weeks: int = LAST) -> Interval:
    """Ours minus theirs over the last weeks, per basket (or unit sold); the interval is over customers (or series)."""
    what, group, column = {
        "wape": ("forecasts", "series_id", "missed"),
        "wql": ("forecasts", "series_id", "lost"),
    }.get(metric, ("answers", "customer_id", metric))
    keys = ["week", "basket_id" if what == "answers" else "series_id"]
    mine, other = (_last(_losses(rows) if what == "forecasts" else rows, weeks)
                   for rows in (played(ours, what), played(theirs, what)))  # fmt: skip
    both = mine.join(other.select(*keys, there=column), on=keys).drop_nulls([column, "there"])
    of = pl.col("units").sum() if what == "forecasts" else pl.len()
    sums = both.group_by(group, maintain_order=True).agg(gap=(pl.col(column) - pl.col("there")).sum(), of=of)
    return bootstrap(sums["gap"].to_numpy(), sums["of"].to_numpy().astype(np.float64))


def _last(rows: pl.DataFrame, weeks: int) -> pl.DataFrame:
    return rows.filter(pl.col("week") > pl.col("week").max() - weeks)


def row_of(name: str, shop: ReplayShop, weeks: int = LAST) -> dict[str, Any]:
    """One arm's figures over the last weeks; retrains and refreshes by application, and what both cost together."""
    answers = _last(played(shop.root, "answers"), weeks)
    errors = _last(_losses(played(shop.root, "forecasts")), weeks)
    done = [line for line in shop.lines("retrains.jsonl") if line["outcome"] != "skipped"]
    retrains = sum(len(line["applications"]) for line in done if line["refit"])
    sold = float(errors["units"].sum())
    measured = bool(done) and all(line.get("energy_kwh") is not None for line in done)
    return {
        "arm": name,
        "says": ARMS[name].says,
        "ndcg": answers["ndcg"].mean(),
        "recall": answers["recall"].mean(),
        "phr": answers["phr"].mean(),
        "wape": float(errors["missed"].sum()) / sold if sold else None,
        "wql": float(errors["lost"].sum()) / sold if sold else None,
        "retrains": retrains,
        "refreshes": sum(len(line["applications"]) for line in done if not line["refit"]),
        "seconds": sum(line.get("seconds", 0.0) for line in done),  # a killed one could not say
        "cpu_seconds": sum(line.get("cpu_seconds", 0.0) for line in done),
        "energy_kwh": sum(line["energy_kwh"] for line in done) if measured else None,
    }


def retrains_of(shop: ReplayShop) -> list[dict[str, Any]]:
    """Every retrain of an arm by application: what was expected of it and what it gained (+ is better)."""
    return [
        {
            **{name: line.get(name) for name in FIELDS},
            "application": application,
            "predicted_gain": (line.get("predicted_gain") or {}).get(application),
            "realised_gain": (line.get("realised_gain") or {}).get(application),
        }
        for line in shop.lines("retrains.jsonl")
        for application in line["applications"]
        if line["refit"]
    ]


def opinions_of(shop: ReplayShop) -> list[dict[str, Any]]:
    """What the off-policy estimate said at each duel that had one."""
    found = []
    for path in sorted((shop.home / "verdicts").glob("*/*.json")):
        verdict = read_json(path)
        if verdict.get("opinion"):
            said = {"application": verdict["application"], "version": verdict["version"], "passed": verdict["passed"]}
            found.append(said | dict(verdict["opinion"]))
    return found


def comparisons(roots: Mapping[str, Path], weeks: int = LAST) -> list[dict[str, Any]]:
    """The loop against every other arm, metric by metric."""
    return [
        {"metric": metric, "arm": "loop", "against": other, **_interval(difference(roots["loop"], root, metric, weeks))}
        for other, root in roots.items()
        if other != "loop" and "loop" in roots
        for metric in ("ndcg", "recall", "phr", "wape", "wql")
    ]


def _interval(found: Interval) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high}
