"""How every benchmark ends: one table on the terminal and, if asked, one JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.core.artifacts import write_json


def publish(
    benchmark: str,
    data: str,
    rows: Sequence[dict[str, Any]],
    gain: dict[str, Any] | None = None,
    shipped: str | None = None,
    json_file: Path | None = None,
) -> None:
    """Print the rows and write {"benchmark", "data", "shipped", "rows", "gain"} to `json_file`.

    A row has name, kind ("single", "ensemble" or "peer"), metrics and seconds. `gain` is that of the
    ensemble chosen on validation over the best single model: metric, over, mean, low, high.
    """
    metrics = list(dict.fromkeys(metric for row in rows for metric in row["metrics"]))
    table = Table(title=f"{benchmark}: {data}")
    for heading in ("name", "kind", *metrics, "seconds"):
        table.add_column(heading, justify="left" if heading in ("name", "kind") else "right")
    for row in rows:
        figures = [f"{row['metrics'][metric]:.4f}" if metric in row["metrics"] else "" for metric in metrics]
        name = f"[bold]{row['name']}[/bold]" if row["name"] == shipped else row["name"]
        table.add_row(name, row["kind"], *figures, f"{row['seconds']:.1f}")
    console = Console(width=max(Console().width, 60 + 14 * len(metrics)))
    console.print(table)
    if gain:
        words = "{metric} of {of} over {over}: {mean:+.4f} [{low:+.4f}, {high:+.4f}]"
        console.print(words.format_map({"of": shipped, **gain}))
    if json_file:
        result = {"benchmark": benchmark, "data": data, "shipped": shipped, "rows": list(rows), "gain": gain}
        write_json(json_file, result)
