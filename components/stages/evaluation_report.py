"""The page that evaluate writes: which model ships and why, in pictures; works offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.artifacts import write_text
from components.core.figures import svg

TEMPLATE = Path(__file__).with_name("evaluation_report.html.j2")


def write_report(metrics: dict[str, Any], learned: dict[str, Any], pictures: list[tuple[str, str]], path: Path) -> None:
    """Render metrics.json, what the ensembles learned (weights, dropped features) and the application's own
    pictures (title, SVG) to one HTML file.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    sign = 1 if metrics["better"] == "higher" else -1
    rows = sorted(metrics["rows"].items(), key=lambda pair: -sign * pair[1]["metrics"][metrics["primary"]]["mean"])
    page = template.render(
        metrics=metrics,
        rows=rows,
        learned=learned,
        shown=list(rows[0][1]["metrics"]) if rows else [],
        models_svg=_models_picture(metrics, rows),
        slices_svg=_slices_picture(metrics, [name for name, _ in rows[:5]]),
        pictures=pictures,
        weights_svgs={name: _weights_picture(each["weights"]) for name, each in learned.items()},
    )
    write_text(path, page)


def _axes(n_rows: int, width: float = 7.5) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 0.6 + 0.34 * n_rows))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _models_picture(metrics: dict[str, Any], rows: list[tuple[str, dict[str, Any]]]) -> str:
    """The primary metric of each model with its interval, best on top."""
    figure, axes = _axes(len(rows))
    for place, (name, row) in enumerate(reversed(rows)):
        interval = row["metrics"][metrics["primary"]]
        colour = "#0b7a75" if row["kind"] == "ensemble" else "#7a8794"
        axes.plot([interval["low"], interval["high"]], [place, place], color=colour, linewidth=2)
        axes.plot(interval["mean"], place, "o", color=colour, markersize=9 if name == metrics["shipped"]["name"] else 5)
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    axes.set_xlabel(f"{metrics['primary']} on the test window, 95 % bootstrap interval")
    return svg(figure)


def _slices_picture(metrics: dict[str, Any], names: list[str]) -> str:
    """The primary metric by slice for the best few."""
    primary = metrics["primary"]
    labels = [label for label, figures in metrics["slices"][names[0]].items() if primary in figures]
    figure, axes = _axes(len(labels) + 1)
    for place, name in enumerate(names):
        values = [metrics["slices"][name].get(label, {}).get(primary, 0.0) for label in labels]
        axes.barh([row + 0.15 * (2 - place) for row in range(len(labels))], values, height=0.14, label=name)
    axes.set_yticks(range(len(labels)), [f"{label} (n={metrics['slices'][names[0]][label]['n']})" for label in labels])
    axes.set_xlabel(primary)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return svg(figure)


def _weights_picture(weights: dict[str, float]) -> str:
    """What counts most in one ensemble."""
    largest = sorted(weights.items(), key=lambda pair: -pair[1])[:15]
    figure, axes = _axes(len(largest), width=5.5)
    axes.barh(range(len(largest)), [value for _, value in reversed(largest)], color="#0b7a75")
    axes.set_yticks(range(len(largest)), [name for name, _ in reversed(largest)])
    axes.set_xlabel("weight, or share of gain in the trees")
    return svg(figure)
