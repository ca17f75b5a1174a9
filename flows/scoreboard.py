"""What a run came to, for people: figures of every model and ensemble, the verdict, the next command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.core.artifacts import read_json

SHOWN = 4  # metrics in the table, the deciding one first; the report has them all
USUAL = ("recall@10", "phr@10", "ndcg@20", "ndcg@10", "wape", "rmsse", "coverage")  # beside the deciding one
PLAIN_WIDTH = 160  # columns where the output goes to a file, which has no width of its own


def metrics_of(data: Path, application: str) -> dict[str, Any]:
    """data/<application>/metrics.json, as evaluate wrote it."""
    found: dict[str, Any] = read_json(data / application / "metrics.json")
    return found


def rows_of(metrics: Mapping[str, Any], most: int = SHOWN) -> list[dict[str, str]]:
    """One row per single model and ensemble, best first, every figure as text, `most` metrics each."""
    primary = metrics["primary"]
    names = _columns(metrics)[:most]
    sign = -1 if metrics.get("better") == "lower" else 1
    order = sorted(metrics["rows"].items(), key=lambda row: -sign * row[1]["metrics"][primary]["mean"])
    return [_row(name, row, names, shipped=name == metrics["shipped"]["name"]) for name, row in order]


def _columns(metrics: Mapping[str, Any]) -> list[str]:
    primary = metrics["primary"]
    present = list(dict.fromkeys(name for row in metrics["rows"].values() for name in row["metrics"]))
    usual = [name for name in USUAL if name in present]
    return list(dict.fromkeys([primary, *(usual or present)]))[:SHOWN]


def _row(name: str, row: Mapping[str, Any], metrics: Sequence[str], shipped: bool) -> dict[str, str]:
    cells = {"": "*" if shipped else "", "name": name, "kind": str(row["kind"])}
    for metric in metrics:
        cells[metric] = _figure(row["metrics"].get(metric))
    return cells | {
        "seconds": f"{row.get('seconds') or 0:.1f}",
        "MB": f"{(row.get('bytes') or 0) / 1e6:.1f}",
        "ms": f"{row.get('ms_per_query') or 0:.2f}",
    }


def _figure(value: Mapping[str, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


def print_scores(console: Console, metrics: Mapping[str, Any]) -> None:
    """The table, what ships and why, and the models that stepped aside."""
    rows = rows_of(metrics, most=max(1, (console.width - 55) // 26))  # a figure with its interval takes 26 columns
    table = Table(title=f"{metrics['application']}: test rows up to {metrics['as_of']}, intervals of 95 %")
    for column in rows[0]:
        table.add_column(column, justify="left" if column in {"", "name", "kind"} else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values(), style="bold" if row[""] else None)
    console.print(table)
    shipped = metrics["shipped"]
    console.print(
        f"* ships: {shipped['name']} ({shipped['kind']}). {shipped['reason']}", highlight=False, soft_wrap=True
    )
    for name, reason in metrics.get("skipped", {}).items():
        console.print(f"stepped aside: {name}: {reason}", highlight=False, soft_wrap=True)


def quality_markdown(data: Path, tables: Sequence[str]) -> str:
    """The quality of each table as a list with links to the offline report pages."""
    lines = ["| table | verdict | report |", "|---|---|---|"]
    for table in tables:
        result = data / "quality" / f"{table}.json"
        if result.exists():
            lines.append(f"| {table} | {_quality(read_json(result))} | {result.with_suffix('.html').resolve()} |")
    return "\n".join(lines)


def _quality(result: Mapping[str, Any]) -> str:
    for key in ("verdict", "summary", "status"):
        if isinstance(result.get(key), str):
            return str(result[key])
    return "accepted" if result.get("success", True) else "accepted with warnings"
