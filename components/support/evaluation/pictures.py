"""Pictures of how customers were understood: confusion, reliability, risk and coverage, every intent."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from components.core.figures import canvas, svg

LINE, FAINT, INK = "#0b7a75", "#b6c0ca", "#1c2733"
MOST_LABELS = 40  # rows of one picture; of more labels those that are confused most
INCHES = 0.21  # of one row


def confusion_picture(table: pl.DataFrame) -> str:
    """wanted by rows, decided by columns: the share of a row's messages that was understood so."""
    names = _most_confused(table)
    counts = np.zeros((len(names), len(names)))
    within = table.filter(pl.col("wanted").is_in(names), pl.col("decided").is_in(names))
    for wanted, decided, n in within.select("wanted", "decided", "n").iter_rows():
        counts[names.index(wanted), names.index(decided)] = n
    totals = dict(table.group_by("wanted").agg(pl.col("n").sum()).iter_rows())
    shares = counts / np.maximum([[totals.get(name, 0)] for name in names], 1)
    side = 2.0 + INCHES * len(names)
    figure, grid = canvas(width=side, height=side)
    axes = grid[0, 0]
    axes.imshow(shares, cmap="Greens", vmin=0, vmax=1)
    for (row, column), n in np.ndenumerate(counts):
        if n:
            colour = "white" if shares[row, column] > 0.6 else INK
            axes.text(column, row, f"{n:.0f}", ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("understood")
    axes.set_ylabel("wanted")
    return svg(figure)


def _most_confused(table: pl.DataFrame) -> list[str]:
    """All labels by name; where they are too many, those with most mistakes."""
    wrong = pl.col("n").filter(pl.col("wanted") != pl.col("decided")).sum()
    ends = [table.group_by(label=end).agg(wrong=wrong) for end in ("wanted", "decided")]
    both = pl.concat(ends).group_by("label").agg(pl.col("wrong").sum())
    ranked = both.sort("wrong", "label", descending=[True, False])
    return sorted(ranked["label"].head(MOST_LABELS))


def reliability(table: pl.DataFrame, names: list[str]) -> str:
    """Mean probability of each bin against how often it is right; dots grow with the messages in a bin."""
    figure, grid = canvas(width=5.5, height=4.2)
    axes = grid[0, 0]
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, zorder=0)
    for place, name in enumerate(names):
        rows = table.filter(pl.col("name") == name).sort("confidence")
        style = _style(place)
        axes.plot(rows["confidence"], rows["accuracy"], label=name, **style)
        sizes = 4 + 120 * rows["n"] / max(rows["n"].sum(), 1)
        axes.scatter(rows["confidence"], rows["accuracy"], s=sizes, color=style["color"])
    axes.set_xlabel("probability of the likeliest intent")
    axes.set_ylabel("share that is right")
    _legend(axes)
    return svg(figure)


def risk_coverage(table: pl.DataFrame, names: list[str]) -> str:
    """Share answered, the surest first, against the share of wrong answers among them."""
    figure, grid = canvas()
    axes = grid[0, 0]
    for place, name in enumerate(names):
        rows = table.filter(pl.col("name") == name).sort("answered")
        axes.plot(rows["answered"], rows["risk"], label=name, **_style(place))
    axes.set_xlabel("share of messages answered, the surest first")
    axes.set_ylabel("wrong among those")
    axes.set_ylim(bottom=0)
    _legend(axes)
    return svg(figure)


def by_intent(table: pl.DataFrame) -> str:
    """A bar per intent, the worst on top, and how often it is right when it is understood (a tick)."""
    worst = table.sort("accuracy", "intent").head(MOST_LABELS).reverse()
    figure, grid = canvas(height=0.8 + INCHES * worst.height)
    axes, places = grid[0, 0], range(worst.height)
    axes.barh(places, worst["accuracy"], color=LINE, label="understood when wanted")
    known = worst["precision"].fill_null(float("nan"))
    axes.plot(known, places, "|", color=INK, markersize=9, label="wanted when understood")
    axes.set_yticks(places, [f"{name} ({n})" for name, n in worst.select("intent", "n").iter_rows()])
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of messages")
    _legend(axes)
    return svg(figure)


def _style(place: int) -> dict[str, Any]:
    """The first model, which ships, stands out."""
    if place == 0:
        return {"color": LINE, "linewidth": 2.2, "zorder": 3}
    return {"color": f"C{place}", "linewidth": 1.0}


def _legend(axes: Any) -> None:
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
