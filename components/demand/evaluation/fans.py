"""Fan charts: for a dozen series what was forecast, how surely, and what happened."""

from __future__ import annotations

from typing import Any

import polars as pl

from components.core.figures import canvas, svg

N_SERIES = 12
N_COLUMNS = 3
SHOWN_PERIODS = 26  # of history before the first origin
LINE, BAND, TRUTH, ORIGIN = "#0b7a75", "#9fd3cf", "#1c2733", "#b6c0ca"


def chosen_series(queries: pl.DataFrame, n: int = N_SERIES) -> list[str]:
    """Evenly spaced by volume within each class, fast ones first; the same series on every run."""
    volume = pl.col("y").list.mean().fill_null(0.0)
    sized = queries.group_by("series_id").agg(pl.col("series_class").first(), volume=volume.mean())
    classes = [
        part
        for _, part in sized.sort("series_class", "volume", "series_id").group_by("series_class", maintain_order=True)
    ]
    each = -(-n // max(len(classes), 1))
    picked = [part["series_id"][_spaced(part.height, each)].to_list() for part in classes]
    return [name for names in picked for name in names][:n]


def _spaced(size: int, n: int) -> list[int]:
    """The middles of n equal parts of `size` places, last place first."""
    n = min(n, size)
    return [(2 * part + 1) * size // (2 * n) for part in reversed(range(n))]


def fans_picture(queries: pl.DataFrame, truth: pl.DataFrame, scores: pl.DataFrame) -> str:
    """History, what happened, and the forecast with its bands at every origin."""
    series = chosen_series(queries)
    rows = -(-len(series) // N_COLUMNS)
    figure, grid = canvas(rows, N_COLUMNS, width=11.0, height=2.1 * rows)
    for axes, each in zip(grid.flat, series, strict=False):
        asked = queries.filter(pl.col("series_id") == each).sort("origin")
        _fan(axes, asked, truth, scores)
    for axes in grid.flat[len(series) :]:
        axes.set_visible(False)
    return svg(figure)


def _fan(axes: Any, asked: pl.DataFrame, truth: pl.DataFrame, scores: pl.DataFrame) -> None:
    for query in asked["query"]:
        answer = scores.filter(pl.col("query") == query)
        if answer.height:
            _bands(axes, answer.pivot(on="quantile", index="week", values="score").sort("week"))
    actual = happened(asked, truth)
    axes.plot(actual["week"], actual["y"], color=TRUTH, linewidth=1)
    for origin in asked["origin"]:
        axes.axvline(origin, color=ORIGIN, linewidth=0.7, linestyle=":")
    name = asked["title"][0] if "title" in asked.columns else asked["series_id"][0]
    axes.set_title(f"{str(name)[:38]} ({asked['series_class'][0]})".replace("$", r"\$"), fontsize=8)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(_dates()[0])
    axes.xaxis.set_major_formatter(_dates()[1])


def _dates() -> tuple[Any, Any]:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=5)
    return locator, ConciseDateFormatter(locator)


def _bands(axes: Any, wide: pl.DataFrame) -> None:
    """Outermost pair of quantiles palest; the middle one as a line."""
    levels = sorted((name for name in wide.columns if name != "week"), key=float)
    weeks = wide["week"].to_list()
    for low, high in zip(levels[: len(levels) // 2], levels[::-1], strict=False):
        axes.fill_between(weeks, wide[low].to_list(), wide[high].to_list(), color=BAND, alpha=0.6, linewidth=0)
    middle = min(levels, key=lambda level: abs(float(level) - 0.5))
    axes.plot(weeks, wide[middle].to_list(), color=LINE, linewidth=1.4, marker="o", markersize=2.5)


def happened(asked: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """week, y of one series: the latest known periods up to its last origin, then the truth after it."""
    last = asked.sort("origin").row(-1, named=True)
    n = min(len(last["y"]), SHOWN_PERIODS + last["horizon"])
    step = pl.int_range(-n, 0) * last["period_days"]
    past = pl.DataFrame({"y": last["y"][-n:]}, schema={"y": pl.Float64})
    past = past.select(week=(pl.lit(last["origin"]) + pl.duration(days=step)).cast(pl.Date), y="y")
    known = truth.join(asked.select("query"), on="query", how="semi").select("week", y=pl.col("label").cast(pl.Float64))
    later = known.filter(pl.col("week") >= last["origin"]).unique("week")
    return pl.concat([past, later]).sort("week")
