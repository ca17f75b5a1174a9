"""Evaluate: every single model and every ensemble on the same test rows; validation chooses, the test confirms."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.core.application import ALONE, THROUGH, Application, load_application, scores_file
from components.core.artifacts import read_json, write_json
from components.core.gate import Gate, judge_all
from components.core.metrics import Interval, bootstrap, columns_of, overall
from components.core.params import read_params, section
from components.core.splits import fold_table
from components.settings import settings
from components.stages.evaluation_report import write_report

log = logging.getLogger(__name__)

LABELS = (  # columns that name a bar
    "ensemble", "slice", "series_class", "step", "quantile", "intent", "bin", "answered", "name", "input"
)  # fmt: skip


def evaluate(application: str) -> None:
    """Write metrics.json, plots/ and evaluation/ (per-query outcomes, the page) of an application."""
    chosen, data = load_application(application), settings().data / application
    params = section(read_params(), application)
    found = {fold: _outcomes(chosen, data, fold, params) for fold in ("validation", "test")}
    rows = {name: _row(chosen, data, name, found) for name in found["test"]}
    gates = chosen.gates(params.get("gates") or {}, data / "features")
    shipped, gain = choose(chosen, rows, found["test"], gates, _calibrated(chosen, data))
    if shipped["kind"] == "single" and (data / "ensembles" / ALONE / shipped["name"]).is_dir():
        shipped["through"] = THROUGH
    for name in rows:
        if rows[name]["kind"] == "ensemble":
            rows[name]["gain"] = asdict(
                paired(found["test"][name], found["test"][gain["over"]], chosen.primary, _sign(chosen))
            )
    metrics = {
        "application": application,
        "primary": chosen.primary,
        "better": chosen.metrics[chosen.primary],
        "as_of": read_json(data / "features" / "data.json")["as_of"],
        "shipped": shipped,
        "rows": rows,
        "gain": gain,
        "slices": {name: _slices(chosen, table) for name, table in found["test"].items()},
        "skipped": _skipped(data, list(params["models"])),
    }
    metrics["gate"] = _gate_figures(metrics)
    for folder in ("evaluation", "plots"):
        shutil.rmtree(data / folder, ignore_errors=True)
        (data / folder).mkdir()
    for stem, plot in (chosen.plots(data, metrics) if chosen.plots else {}).items():
        _labelled(plot).write_csv(data / "plots" / f"{stem}.csv")
    tables = [table.with_columns(pl.lit(name).alias("name")) for name, table in found["test"].items()]
    pl.concat(tables, how="diagonal_relaxed").write_parquet(data / "evaluation" / "outcomes.parquet")
    _write_plots(chosen, metrics, data)
    pictures = chosen.pictures(data, metrics) if chosen.pictures else []
    write_report(metrics, _learned(data), pictures, data / "evaluation" / "report.html")
    write_json(data / "metrics.json", metrics)
    log.info("%s: %s", application, shipped["reason"])


def _outcomes(application: Application, data: Path, fold: str, params: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """Per-group outcomes of every model and ensemble that has scores for the fold."""
    queries, truth, pool = (fold_table(data / "features", fold, name) for name in ("queries", "truth", "pool"))
    files = {name: scores_file(data, name, "single", fold) for name in params["models"]}
    files |= {name: scores_file(data, name, "ensemble", fold) for name in params["ensembles"]}
    return {
        name: application.outcomes(pl.read_parquet(file), queries, truth, pool)
        for name, file in files.items()
        if file.is_file()
    }


def _headline(outcomes: pl.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    return columns_of(outcomes.filter("headline"), metric)


def _row(application: Application, data: Path, name: str, found: dict[str, dict[str, pl.DataFrame]]) -> dict[str, Any]:
    kind, report = _report(data, name)
    return {
        "kind": kind,
        "metrics": {
            metric: asdict(bootstrap(*_headline(found["test"][name], metric))) for metric in application.metrics
        },
        "summary": application.summary(pl.read_parquet(scores_file(data, name, kind)), data / "features"),
        "validation": {
            metric: overall(found["validation"][name].filter("headline"), metric) for metric in application.metrics
        },
        **{figure: report[figure] for figure in ("seconds", "bytes", "ms_per_query")},
    }


def _report(data: Path, name: str) -> tuple[str, dict[str, Any]]:
    """A model's own cost and that of what it answers through, or an ensemble's with that of the members it needs."""
    ensembles = read_json(data / "ensembles" / "report.json")
    if name not in ensembles:
        parts = [read_json(data / "models" / name / "report.json")]
        if (passed := data / "ensembles" / ALONE / "report.json").is_file():
            parts.append(read_json(passed)[name])
        return "single", _added(parts)
    members = read_json(data / "ensembles" / name / "model" / "pool.json")["members"]
    weights = ensembles[name]["weights"]
    used = [member for member in members if weights.get(member, 1.0) > 0]
    parts = [ensembles[name], *[read_json(data / "models" / member / "report.json") for member in used]]
    return "ensemble", _added(parts)


def _added(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {figure: sum(part[figure] for part in parts) for figure in ("seconds", "bytes", "ms_per_query")}


def choose(
    application: Application,
    rows: dict[str, Any],
    outcomes: dict[str, pl.DataFrame],
    gates: Sequence[Gate] = (),
    calibrated: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ships and why, and the best ensemble's gain over the best single model.

    Both are best on validation. The ensemble ships only where the test confirms its gain beyond
    noise (paired bootstrap) and no floor of the gates speaks against it. `calibrated` names the
    ensemble that passes a single model through with its bounds put right; it ships in that model's place.
    """
    metric, sign = application.primary, _sign(application)
    single = _best(rows, "single", metric, sign)
    ensemble = _best(rows, "ensemble", metric, sign)
    assert single is not None  # noqa: S101 - the ensemble stage refuses to go on without a member
    alone = _alone(single, (calibrated or {}).get(single))
    if ensemble is None:
        nothing = {"metric": metric, "over": single, "mean": 0.0, "low": 0.0, "high": 0.0}
        return alone("no ensemble was asked for"), nothing
    interval = paired(outcomes[ensemble], outcomes[single], metric, sign)
    gain = {"metric": metric, "of": ensemble, "over": single, **asdict(interval)}
    words = f"{interval.mean:+.4f} {metric} [{interval.low:+.4f}, {interval.high:+.4f}] against {single}"
    words += _closest(outcomes, rows, ensemble, single, metric, sign)
    refused = [
        verdict.reason for verdict in judge_all(_floors(gates), _figures(rows[ensemble]), None) if not verdict.passed
    ]
    if _judged(rows[ensemble], metric, sign) <= _judged(rows[single], metric, sign):
        return alone(f"validation prefers it to every ensemble (on the test {ensemble} had {words})"), gain
    if interval.low <= 0:
        return alone(f"validation chose {ensemble}, but the test does not confirm it ({words})"), gain
    if refused:
        return alone(f"{ensemble} gains {words}, but {'; '.join(refused)}"), gain
    reason = f"{ensemble} ships: validation chose it and the test confirms {words}"
    return {"name": ensemble, "kind": "ensemble", "reason": reason}, gain


def _best(rows: dict[str, Any], kind: str, metric: str, sign: int) -> str | None:
    names = [name for name in rows if rows[name]["kind"] == kind]
    return max(names, key=lambda name: _judged(rows[name], metric, sign), default=None)


def _judged(row: dict[str, Any], metric: str, sign: int) -> float:
    """The metric on validation, higher is better; what has no figure is worst."""
    value = row["validation"][metric]
    return -math.inf if value is None else sign * float(value)


def _alone(single: str, calibrated: str | None) -> Callable[[str], dict[str, Any]]:
    """What is said where a single model ships."""
    if calibrated is None:
        return lambda why: {"name": single, "kind": "single", "reason": f"{single} ships: {why}"}
    words = f"{single} ships, its bounds calibrated on out-of-fold rows ({calibrated})"
    return lambda why: {"name": calibrated, "kind": "ensemble", "reason": f"{words}: {why}"}


def _floors(gates: Sequence[Gate]) -> list[Gate]:
    """The rules that need no champion and no figure of a slice or of the bundle's own."""
    return [gate for gate in gates if gate.floor is not None and "/" not in gate.metric and gate.metric != "mb"]


def _figures(row: dict[str, Any]) -> dict[str, float]:
    figures = {name: value["mean"] for name, value in row["metrics"].items()} | row.get("summary", {})
    return figures | {"ms_per_query": row["ms_per_query"]}


def _sign(application: Application) -> int:
    return 1 if application.metrics[application.primary] == "higher" else -1


def _closest(
    outcomes: dict[str, pl.DataFrame], rows: dict[str, Any], ensemble: str, single: str, metric: str, sign: int
) -> str:
    """Said where another single model than validation's choice did better on the test: the gain over that one."""
    singles = [name for name in rows if rows[name]["kind"] == "single"]
    closest = max(singles, key=lambda name: sign * rows[name]["metrics"][metric]["mean"])
    if closest == single:
        return ""
    found = paired(outcomes[ensemble], outcomes[closest], metric, sign)
    return (
        f", and {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}] against {closest}, the best single model there"
    )


def paired(ours: pl.DataFrame, theirs: pl.DataFrame, metric: str, sign: int = 1) -> Interval:
    """Bootstrap of the per-group difference over the same groups, positive = ours is better."""
    (our_values, of), (their_values, _) = _headline(ours, metric), _headline(theirs, metric)
    return bootstrap(sign * (our_values - their_values), of)


def _slices(application: Application, outcomes: pl.DataFrame) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    for column in application.slices:
        known = outcomes.drop_nulls(column).sort(column, maintain_order=True)
        parts = known.partition_by(column, maintain_order=True)
        for part in parts:
            found = {name: figure for name in application.metrics if (figure := overall(part, name)) is not None}
            figures[f"{column}={part[column][0]}"] = found | {"n": part.height}
    return figures


def _gate_figures(metrics: dict[str, Any]) -> dict[str, float]:
    """Flat figures of what ships, for the gates: metric, slice/metric, latency and size."""
    name = metrics["shipped"]["name"]
    row = metrics["rows"][name]
    figures = {metric: values["mean"] for metric, values in row["metrics"].items()}
    for label, values in metrics["slices"][name].items():
        figures |= {f"{label}/{metric}": figure for metric, figure in values.items()}
    return figures | row["summary"] | {"ms_per_query": row["ms_per_query"], "mb": row["bytes"] / 1e6}


def _calibrated(application: Application, data: Path) -> dict[str, str]:
    """Single model -> the ensemble that passes it through unchanged but for calibrated bounds."""
    if application.level is None:
        return {}
    learned = read_json(data / "ensembles" / "report.json")
    passed = {name: each["weights"] for name, each in learned.items() if name == "select"}
    return {next(iter(weights)): name for name, weights in passed.items() if len(weights) == 1}


def _skipped(data: Path, names: list[str]) -> dict[str, str]:
    reports = {name: read_json(data / "models" / name / "report.json") for name in names}
    return {name: report["skipped"] for name, report in reports.items() if report["skipped"]}


def _learned(data: Path) -> dict[str, Any]:
    return {
        name: {"weights": r["weights"], "dropped": r["dropped"]}
        for name, r in read_json(data / "ensembles" / "report.json").items()
    }


def _write_plots(application: Application, metrics: dict[str, Any], data: Path) -> None:
    """CSV files for `dvc plots show`."""
    primary = metrics["primary"]
    models = [
        {"name": name, "kind": row["kind"], **{m: v["mean"] for m, v in row["metrics"].items()}}
        for name, row in metrics["rows"].items()
    ]
    pl.DataFrame(models).sort(primary).write_csv(data / "plots" / "models.csv")
    slices = [
        {"name": name, "slice": label, primary: figures[primary]}
        for name, table in metrics["slices"].items()
        for label, figures in table.items()
        if primary in figures
    ]
    _labelled(pl.DataFrame(slices)).write_csv(data / "plots" / "slices.csv")
    weights = [
        {"ensemble": name, "input": key, "weight": value}
        for name, learned in _learned(data).items()
        for key, value in list(learned["weights"].items())[:30]
    ]
    _labelled(pl.DataFrame(weights)).write_csv(data / "plots" / "weights.csv")


def _labelled(table: pl.DataFrame) -> pl.DataFrame:
    """With a `label` that no two rows share: DVC's bars add up rows of the same name."""
    keys = [name for name in table.columns if name in LABELS]
    return table.with_columns(label=pl.concat_str(keys, separator=", "))
