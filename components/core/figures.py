"""Figures for pages that work offline: inline SVG, the same bytes for the same figure."""

from __future__ import annotations

import io
from typing import Any

HASH_SALT = "report"  # matplotlib names clip paths by it; without one they differ from run to run


def svg(figure: Any) -> str:
    """A matplotlib figure as an <svg> element with its text as text."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": HASH_SALT, "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def canvas(rows: int = 1, columns: int = 1, width: float = 7.5, height: float = 3.2) -> tuple[Any, Any]:
    """A figure of inches and its grid of axes (rows, columns), without frames; no global state is touched."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=8)
    return figure, axes
