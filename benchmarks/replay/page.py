"""The replay's page and tables: quality by week and arm, the retrains, what they cost and gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.replay.results import answers_by_week, errors_by_week
from benchmarks.replay.shop import ReplayShop
from components.core.artifacts import write_text
from components.core.figures import canvas, svg

TEMPLATE = Path(__file__).with_name("page.html.j2")
COLOURS = {"loop": "#0b7a75", "frozen": "#7a8794", "weekly": "#c8553d", "explore": "#3d6bc8"}


def print_tables(console: Console, result: Mapping[str, Any]) -> None:
    """What the arms reached over the last weeks, then the loop against each other arm."""
    arms = Table(title=f"replay of {result['data']}: weeks {result['from_week']} to {result['to_week']}")
    names = (
        "arm",
        "ndcg",
        "recall",
        "phr",
        "wape",
        "wql",
        "retrains",
        "refreshes",
        "seconds",
        "cpu_seconds",
        "energy_kwh",
    )
    for name in names:
        arms.add_column(name, justify="left" if name == "arm" else "right", no_wrap=True)
    for row in result["arms"]:
        arms.add_row(*(_text(row[name]) for name in names))
    console.print(arms)
    if not result["comparisons"]:
        return
    gaps = Table(title="the loop against the other arms, the same baskets and series")
    for name in ("against", "metric", "difference [95 %]"):
        gaps.add_column(name, no_wrap=True)
    for row in result["comparisons"]:
        gaps.add_row(row["against"], row["metric"], f"{row['mean']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]")
    console.print(gaps)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.0f}"


def _gain(value: Mapping[str, float] | None) -> str:
    return "-" if value is None else f"{value['mean']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]"


def write_page(path: Path, result: Mapping[str, Any], shops: Mapping[str, ReplayShop]) -> None:
    """One HTML file that works offline."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"figure": _text, "gain": _gain}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    pictures = [
        ("nDCG@10 of what was shown, by week", _lines(shops, "ndcg")),
        ("Share of baskets with a hit in ten, by week", _lines(shops, "phr")),
        ("Error of the forecast one week ahead (WAPE), by week", _lines(shops, "wape")),
    ]
    write_text(path, template.render(result=result, pictures=pictures))


def _lines(shops: Mapping[str, ReplayShop], metric: str) -> str:
    """A line per arm; a dot where a retrain moved the release at the week's end."""
    figure, axes = canvas(width=9.0, height=3.0)
    for name, shop in shops.items():
        weeks = errors_by_week(shop.root) if metric in ("wape", "wql") else answers_by_week(shop.root)
        axes[0][0].plot(weeks["week"], weeks[metric], color=COLOURS[name], label=name, linewidth=1.6)
        moved = _moved(shop, "demand" if metric in ("wape", "wql") else "recommendation")
        dots = weeks.filter(weeks["week"].is_in(moved))
        axes[0][0].plot(dots["week"], dots[metric], "o", color=COLOURS[name], markersize=4)
    axes[0][0].legend(frameon=False, fontsize=8, ncols=4)
    axes[0][0].set_xlabel("week; a dot: a new release answers from the next week on")
    return svg(figure)


def _moved(shop: ReplayShop, application: str) -> Sequence[int]:
    """Weeks at whose end another release of the application went live."""
    from benchmarks.replay.arm import played

    weeks = played(shop.root, "week")
    column = f"live_{application}"
    return weeks.filter(weeks[column] != weeks[column].shift(1))["week"].to_list() if column in weeks.columns else []
