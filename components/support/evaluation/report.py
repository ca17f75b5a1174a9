"""What evaluate's page shows of customer service, and the tables behind it for `dvc plots`.

Everything is drawn from the test messages, which are masked: what was wanted, what was understood, how surely.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from components.core.calibration import calibration_bins
from components.support.evaluation import pictures as drawn
from components.support.evaluation.understood import (
    by_intent,
    confusion,
    in_scope,
    mistakes,
    risk_coverage,
    understood,
)

MOST_LINES = 6  # models in one picture; the shipped one is always among them
MOST_MISTAKES = 40
WORDS = "<style>.words th, .words td { white-space: normal; text-align: left; }</style>\n"  # others hold figures
COLUMNS = {
    "text": "message",
    "language": "language",
    "wanted": "wanted",
    "decided": "understood",
    "confidence": "how surely",
}


def pictures(data: Path, metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(title, SVG or table) for the page of data/<application>, of which `metrics` are the figures."""
    name = metrics["shipped"]["name"]
    rows, tables, shown = _understood(data, metrics, name), plots(data, metrics), _shown(metrics)
    few = {stem: table.filter(pl.col("name").is_in(shown)) for stem, table in tables.items()}
    return [
        (f"What {name} understood of what was wanted", drawn.confusion_picture(confusion(rows))),
        ("Reliability: how often an intent of that probability is right", drawn.reliability(few["reliability"], shown)),
        ("Risk and coverage: wrong among those answered", drawn.risk_coverage(few["risk_coverage"], shown)),
        (f"Every intent: how often {name} is right", drawn.by_intent(by_intent(rows))),
        (f"What {name} got wrong, where it was surest", mistakes_table(mistakes(rows, MOST_MISTAKES))),
    ]


def plots(data: Path, metrics: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Tables over all models by the stem of their CSV file: reliability, risk_coverage and by_intent."""
    parts: dict[str, list[pl.DataFrame]] = {"reliability": [], "risk_coverage": [], "by_intent": []}
    for name in metrics["rows"]:
        rows = _understood(data, metrics, name)
        for stem, table in (
            ("reliability", _bins(in_scope(rows))),
            ("risk_coverage", risk_coverage(rows)),
            ("by_intent", by_intent(rows)),
        ):
            parts[stem].append(table.select(pl.lit(name).alias("name"), pl.all()))
    return {stem: pl.concat(listed) for stem, listed in parts.items()}


def _understood(data: Path, metrics: Mapping[str, Any], name: str) -> pl.DataFrame:
    return understood(data, name, metrics["rows"][name]["kind"])


def _bins(rows: pl.DataFrame) -> pl.DataFrame:
    """bin (its upper end), n, confidence and accuracy of each bin that is not empty."""
    bins = calibration_bins(rows["confidence"].to_numpy(), rows["right_first"].to_numpy())
    return bins.select(pl.col("high").round(2).alias("bin"), "n", "confidence", "accuracy")


def _shown(metrics: Mapping[str, Any]) -> list[str]:
    """The best few by validation, the shipped one first: what a picture can hold."""
    rows, primary, shipped = metrics["rows"], metrics["primary"], metrics["shipped"]["name"]
    ranked = sorted(rows, key=lambda name: (name != shipped, -(rows[name]["validation"][primary] or 0.0)))
    return ranked[:MOST_LINES]


def mistakes_table(rows: pl.DataFrame) -> str:
    """A table of markup; what customers wrote is text in it, never markup."""
    if rows.is_empty():
        return "<p>Nothing: every test message was understood.</p>"
    shown = rows.select(*COLUMNS).with_columns(
        pl.col("text").str.slice(0, 200), pl.col("confidence").map_elements(lambda value: f"{value:.2f}", pl.String)
    )
    head = "".join(f"<th>{escape(title)}</th>" for title in COLUMNS.values())
    body = "".join(f"<tr>{_cells(row)}</tr>\n" for row in shown.iter_rows())
    return f'{WORDS}<div class="scroll"><table class="words">\n<tr>{head}</tr>\n{body}</table></div>'


def _cells(row: tuple[Any, ...]) -> str:
    return "".join(f"<td>{escape(str(value))}</td>" for value in row)
