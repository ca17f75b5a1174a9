"""The watch in view: one page over all applications that works offline, and the same in brief for Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from components.core.artifacts import read_json, write_text
from components.core.figures import canvas, svg

TEMPLATE = Path(__file__).with_name("watch_page.html.j2")
DECISIONS = 30  # the newest that the page lists
COLOURS = {"line": "#0b7a75", "band": "#cfe7e4", "baseline": "#b3261e", "renewed": "#7a8794"}
HIGHER = {"hit": "higher is better", "error": "lower is better", "corrected": "lower is better"}

Decision = Mapping[str, Any]


def write_page(folder: Path) -> None:
    """Render every application's latest decision below `folder` to index.html."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"instant": instant, "figure": figure}
    latest = [read_json(path) for path in sorted(folder.glob("*/latest.json"))]
    past = {one["application"]: _past(folder / one["application"]) for one in latest}
    pictures = {one["application"]: _pictures(one["trail"]) for one in latest}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_text(folder / "index.html", template.render(latest=latest, past=past, pictures=pictures, higher=HIGHER))


def rows_of(decision: Decision) -> list[dict[str, str]]:
    """Every figure of a decision as one row, with its alarm."""
    return [{name: figure(value) for name, value in row.items()} for row in _rows(decision)]


def markdown(decision: Decision) -> str:
    """What was decided and why, for a terminal and for Prefect's UI."""
    lines = [f"**{decision['application']}** ({decision['release'] or 'no release'}): {decision['decision']}"]
    alarms = [f"- {alarm['trigger']}: {alarm['words']}" for alarm in decision["alarms"]]
    lines += alarms or [f"- {decision['words']}"]
    if decision.get("held"):
        lines.append(f"- held: {decision['held']}")
    if decision["canary"]:
        lines.append(f"- {decision['canary']['words']}")
    if decision["asked"]:
        lines.append(f"- {decision['asked']}")
    return "\n".join(lines)


def instant(text: str) -> str:
    """An ISO instant as people read it."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")


def figure(value: Any) -> str:
    """A value as text: four decimals at most, thousands parted, nothing as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:.2g}" if abs(value) < 1e-3 else f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _rows(decision: Decision) -> list[dict[str, Any]]:
    found = decision["figures"]
    if not found:
        return []
    alarming = {alarm["trigger"] for alarm in decision["alarms"]}
    amount = found["amount"]
    rows = [
        _row("age of the weights, days", amount["age_days"], "age" in alarming),
        _row("events since then", amount["new_events"], "amount" in alarming),
        _row("age of the histories, days", amount["histories_days"], "refresh" in alarming),
    ]
    for what in ("orders", "answers"):
        for one in found[what]["features"]:
            rows.append(_row(f"{what}: {one['feature']}, PSI", one["psi"], one["alarm"]))
    for one in found["quality"]["measures"]:
        bounds = "" if one["low"] is None else f" [{one['low']:.4f}, {one['high']:.4f}]"
        rows.append(_row(f"{one['measure']}{bounds}, baseline {figure(one['baseline'])}", one["mean"], one["alarm"]))
    return rows


def _row(what: str, value: Any, alarm: bool) -> dict[str, Any]:
    return {"figure": what, "value": value, "alarm": alarm}


def _past(folder: Path) -> list[dict[str, Any]]:
    """The newest decisions, those that say the same again left out."""
    kept: list[dict[str, Any]] = []
    for path in sorted(folder.glob("[0-9]*T[0-9]*.json"), reverse=True):
        one = read_json(path)
        if kept and _gist(kept[-1]) == _gist(one):
            kept[-1] = one  # since when it has been so
        elif len(kept) == DECISIONS:
            break
        else:
            kept.append(one)
    return kept


def _gist(one: Decision) -> tuple[Any, ...]:
    return one["decision"], one["release"], [alarm["trigger"] for alarm in one["alarms"]], bool(one["canary"])


def _pictures(trail: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Live quality over time by measure; one with fewer than two points has no picture."""
    by_measure: dict[str, list[Mapping[str, Any]]] = {}
    for point in trail:
        by_measure.setdefault(point["measure"], []).append(point)
    return {name: _picture(points) for name, points in by_measure.items() if len(points) > 1}


def _picture(points: Sequence[Mapping[str, Any]]) -> str:
    """The mean and its interval since each lineage went live, the baseline it is held against, and each renewal."""
    drawn, ((axes,),) = canvas(width=9.5, height=2.8)
    lineages = list(dict.fromkeys(point["weights"] for point in points))
    for number, lineage in enumerate(lineages):
        own = [point for point in points if point["weights"] == lineage]
        at = [datetime.fromisoformat(point["at"]) for point in own]
        style: dict[str, Any] = {"label": None} if number else {}
        axes.fill_between(
            at, [point["low"] for point in own], [point["high"] for point in own], color=COLOURS["band"], linewidth=0
        )
        axes.plot(
            at, [point["mean"] for point in own], ".-", color=COLOURS["line"], **{"label": "mean, interval", **style}
        )
        known = [point["baseline"] for point in own]
        axes.plot(at, known, "--", color=COLOURS["baseline"], linewidth=1, **{"label": "baseline", **style})
        if number:
            axes.axvline(at[0], color=COLOURS["renewed"], linewidth=1, linestyle=":")
    low, high = min(point["low"] for point in points), max(point["high"] for point in points)
    axes.set_ylim(max(0, low - 0.05), min(1, high + 0.05))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.tick_params(axis="x", labelrotation=0)
    _short_dates(axes)
    return svg(drawn)


def _short_dates(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
