"""What evaluate's page shows of forecasts: pictures, and the tables behind them for `dvc plots`.

Everything is drawn from the test window: its queries and truth, the scores of models and ensembles, and
what the ensembles learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.core.artifacts import read_json
from components.core.figures import canvas, svg
from components.core.splits import fold_table
from components.demand.evaluation.fans import LINE, ORIGIN, TRUTH, fans_picture
from components.demand.evaluation.outcomes import outcomes
from components.demand.features.folds import CLASSES

MOST_LINES = 8  # models in one picture; the shipped one is always among them


def pictures(data: Path, metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(title, SVG) for the page of data/<application>, of which `metrics` are the figures."""
    shipped, tables = metrics["shipped"]["name"], plots(data, metrics)
    shown = _shown(metrics)
    few = {stem: table.filter(pl.col("name").is_in(shown)) for stem, table in tables.items()}
    drawn = [
        (f"Forecasts of {shipped} and what happened", _fans(data, shipped, metrics["rows"][shipped]["kind"])),
        ("Error by periods ahead", step_picture(few["by_step"], shown)),
        ("Error by volume class", class_picture(few["by_class"], shown)),
        ("Calibration: how often sales stay below each quantile", calibration_picture(few["calibration"], shown)),
    ]
    weights = [(f"Weights of {name}", weights_picture(table)) for name, table in weight_tables(data).items()]
    return drawn + weights


def _fans(data: Path, name: str, kind: str) -> str:
    queries, truth = (fold_table(data / "features", "test", table) for table in ("queries", "truth"))
    return fans_picture(queries, truth, pl.read_parquet(scores_file(data, name, kind)))


def plots(data: Path, metrics: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Tables over all models by the stem of their CSV file: by_step, by_class and calibration."""
    tables = {name: fold_table(data / "features", "test", name) for name in ("queries", "truth", "pool")}
    horizon = int(tables["queries"]["horizon"][0])
    parts: dict[str, list[pl.DataFrame]] = {"by_step": [], "by_class": [], "calibration": []}
    for name in metrics["rows"]:
        scores = pl.read_parquet(scores_file(data, name, metrics["rows"][name]["kind"]))
        found = outcomes(scores, **tables)
        for stem, table in (
            ("by_step", by_step(found, horizon)),
            ("by_class", by_class(found)),
            ("calibration", calibration(scores, tables["truth"])),
        ):
            parts[stem].append(table.select(pl.lit(name).alias("name"), pl.all()))
    return {stem: pl.concat(listed) for stem, listed in parts.items()}


def scores_file(data: Path, name: str, kind: str) -> Path:
    """Where the test scores of a single model or an ensemble lie."""
    if kind == "single":
        return data / "models" / name / "scores" / "test.parquet"
    return data / "ensembles" / "scores" / "test" / f"{name}.parquet"


def by_step(found: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """step, wape of `outcomes`; steps of which nothing is known are left out."""
    steps = [(step, *_ratio(found, f"wape@{step}")) for step in range(1, horizon + 1)]
    rows = [(step, error) for step, error, size in steps if size > 0]
    return pl.DataFrame(rows, schema={"step": pl.Int32, "wape": pl.Float64}, orient="row")


def by_class(found: pl.DataFrame) -> pl.DataFrame:
    """series_class (slow to fast), wape, wql, coverage, n of `outcomes`."""
    ratios = [
        pl.when(pl.col(f"{name} of").sum() > 0).then(pl.col(name).sum() / pl.col(f"{name} of").sum()).alias(name)
        for name in ("wape", "wql", "coverage")
    ]
    return found.group_by("series_class").agg(*ratios, n=pl.len()).sort("series_class", descending=True)


def _ratio(found: pl.DataFrame, metric: str) -> tuple[float, float]:
    above, size = float(found[metric].sum()), float(found[f"{metric} of"].sum())
    return (above / size if size > 0 else 0.0), size


def calibration(scores: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """quantile, below, at_or_below: shares of known periods with sales under (or at) that quantile.

    Units are counts: a quantile of a count is right where its level lies between the two shares
    (Czado, Gneiting and Held 2009); where many forecasts are 0, so are many sales.
    """
    cells = truth.join(scores.filter(pl.col("score").is_finite()), on=["query", "week", "quantile"], how="inner")
    under, at_or_under = pl.col("label") < pl.col("score"), pl.col("label") <= pl.col("score")
    return cells.group_by("quantile").agg(below=under.mean(), at_or_below=at_or_under.mean()).sort("quantile")


def weight_tables(data: Path) -> dict[str, pl.DataFrame]:
    """Per ensemble whose weights differ by part: part ("fast .5" of a class and a quantile), member, weight."""
    tables = {}
    for name, report in read_json(data / "ensembles" / "report.json").items():
        parts = {_part(label): weights for label, weights in (report.get("by_part") or {}).items()}
        rows = [(part, member, weight) for part in sorted(parts) for member, weight in parts[part].items()]
        if rows:
            tables[name] = pl.DataFrame(rows, schema=["part", "member", "weight"], orient="row")
    return tables


def _part(label: str) -> str:
    """ "level=0.5 series_class=0" of the pool's codes as "fast 0.5"."""
    codes = dict(pair.split("=") for pair in label.split())
    named = sorted(CLASSES)[int(codes["series_class"])] if "series_class" in codes else ""
    rest = [value for name, value in codes.items() if name != "series_class"]
    return " ".join(filter(None, [named, *rest]))


def _shown(metrics: Mapping[str, Any]) -> list[str]:
    """The best few by validation, the shipped one first: what a picture can hold."""
    rows, primary, shipped = metrics["rows"], metrics["primary"], metrics["shipped"]["name"]
    ranked = sorted(rows, key=lambda name: (name != shipped, rows[name]["validation"][primary]))
    return ranked[:MOST_LINES]


def _style(place: int) -> dict[str, Any]:
    """The first model, which ships, stands out."""
    if place == 0:
        return {"color": LINE, "linewidth": 2.2, "zorder": 3}
    return {"color": f"C{place}", "linewidth": 1.0}


def step_picture(table: pl.DataFrame, names: list[str]) -> str:
    """WAPE by periods ahead, a line per model."""
    figure, grid = canvas()
    axes = grid[0, 0]
    for place, name in enumerate(names):
        line = table.filter(pl.col("name") == name).sort("step")
        axes.plot(line["step"], line["wape"], marker="o", markersize=3, label=name, **_style(place))
    axes.set_xlabel("periods ahead")
    axes.set_ylabel("WAPE")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure)


def class_picture(table: pl.DataFrame, names: list[str]) -> str:
    """WAPE of each volume class, a bar per model."""
    figure, grid = canvas()
    axes, classes = grid[0, 0], table["series_class"].unique().sort().to_list()
    width = 0.8 / max(len(names), 1)
    for place, name in enumerate(names):
        errors = dict(table.filter(pl.col("name") == name).select("series_class", "wape").iter_rows())
        colour = {"color": _style(place)["color"]}
        places = [spot + width * (place - len(names) / 2 + 0.5) for spot in range(len(classes))]
        axes.bar(places, [errors.get(each) or 0.0 for each in classes], width=0.9 * width, label=name, **colour)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_ylabel("WAPE")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure)


def calibration_picture(table: pl.DataFrame, names: list[str]) -> str:
    """Level against the share of sales below it; from strictly below to at or below, since sales are counts."""
    figure, grid = canvas(width=5.5, height=4.2)
    axes = grid[0, 0]
    axes.plot([0, 1], [0, 1], color=ORIGIN, linewidth=1, zorder=0)
    for place, name in enumerate(names):
        rows = table.filter(pl.col("name") == name).sort("quantile")
        aside = rows["quantile"] + 0.006 * (place - (len(names) - 1) / 2)
        style = _style(place)
        axes.vlines(aside, rows["below"], rows["at_or_below"], **style)
        middle = (rows["below"] + rows["at_or_below"]) / 2
        axes.plot(aside, middle, "o", markersize=4, color=style["color"], label=name)
    axes.set_xlabel("level of the quantile")
    axes.set_ylabel("share of sales below it")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure)


def weights_picture(table: pl.DataFrame) -> str:
    """A map of weights: members by columns, parts by rows."""
    members = table.group_by("member").agg(pl.col("weight").sum()).sort("weight", "member", descending=[True, False])
    names, parts = members["member"].to_list(), table["part"].unique(maintain_order=True).to_list()
    values = np.zeros((len(parts), len(names)))
    for part, member, weight in table.iter_rows():
        values[parts.index(part), names.index(member)] = weight
    figure, grid = canvas(width=1.6 + 0.9 * len(names), height=0.8 + 0.3 * len(parts))
    axes = grid[0, 0]
    axes.imshow(values, cmap="Greens", vmin=0, vmax=1, aspect="auto")
    for (row, column), weight in np.ndenumerate(values):
        colour = "white" if weight > 0.6 else TRUTH
        axes.text(column, row, f"{weight:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(parts)), parts)
    return svg(figure)
