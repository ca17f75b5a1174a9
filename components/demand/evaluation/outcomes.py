"""How good each forecast was: one row per series and origin, from which every figure and picture is made.

A metric with a column `<metric> of` is a ratio: sum(metric) / sum(metric of) over the rows of interest,
never the mean of the rows' own ratios, so that a week without sales divides nothing by zero.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import polars as pl

from components.demand.features.panel import KEYS

NEW_PERIODS = 13  # a series with a shorter history counts as new
PROMOTIONS = ("known_mailer", "known_display")  # of the series itself; known_mailer_rivals is of others


def outcomes(scores: pl.DataFrame, queries: pl.DataFrame, truth: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """One row per query, in the order of `queries`; null where no truth is known.

    A model that says nothing of a series is held to have forecast 0, or silence on what is hard would pay.

    wape        sum |y - median|, of sum |y|; wape@1 ... wape@horizon are the same for one step ahead
    wql         mean over the levels of twice the pinball loss (Koenker and Bassett 1978), of sum |y|
    bias        sum (median - y), of sum |y|: above 0 where too much was forecast
    wmae        sum weight |y - median|, of sum weight (`weight` of truth; 1 where it has none)
    coverage    periods with y within [lowest, highest quantile], of periods; null with one quantile only
    rmsse       root mean squared error over that of the one-step naive forecast (Hyndman and Koehler 2006),
                as in the M5 contest: one figure per series, over the periods of all its origins, against the
                history from its first sale to its first origin; it stands in the row of that origin, the
                others are null, and so is a series whose history never changes

    Slices: series_class, level, age ("new", "established") and promoted ("yes", "no": a mailer or display
    in the periods asked for). The median is the quantile nearest to .5.
    """
    asked = queries.select("query", "series_id", "origin", "period_days")
    cells = by_period(scores, truth).join(asked, on="query", how="inner", maintain_order="left")
    steps = range(1, int(queries["horizon"].max() or 0) + 1)  # type: ignore[arg-type]
    found = queries.select("query", **_slices(queries), headline=pl.lit(True))
    for part in (
        cells.group_by("query", maintain_order=True).agg(*_ratios(), *_by_step(steps)),
        _scaled_errors(cells, queries),
    ):
        found = found.join(part, on="query", how="left", maintain_order="left")
    return found


def by_period(scores: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """One row per query and week with known truth: y, weight, median, low, high, wql, n_levels; silence is 0."""
    known = truth.filter(pl.col("label").is_finite())
    if "weight" not in known.columns:
        known = known.with_columns(weight=pl.lit(1.0))
    known = known.with_columns(pl.col("weight").fill_nan(None).fill_null(1.0))
    said = known.filter(pl.col("quantile").is_in(scores["quantile"].unique().implode()))
    cells = said.join(scores.filter(pl.col("score").is_finite()), on=list(KEYS), how="left").sort(*KEYS)
    cells = cells.with_columns(pl.col("score").fill_null(0.0))
    levels = scores["quantile"].unique().sort()
    middle = min(levels.to_list(), key=lambda level: abs(level - 0.5), default=0.5)
    gap = pl.col("label") - pl.col("score")
    pinball = pl.max_horizontal(pl.col("quantile") * gap, (pl.col("quantile") - 1) * gap)
    return cells.group_by("query", "week", maintain_order=True).agg(
        y=pl.col("label").first().cast(pl.Float64),
        weight=pl.col("weight").first().cast(pl.Float64),
        median=pl.col("score").filter(pl.col("quantile") == middle).first(),
        low=pl.col("score").first(),
        high=pl.col("score").last(),
        wql=2 * pinball.mean(),
        n_levels=pl.len(),
    )


def _error() -> pl.Expr:
    return pl.col("y") - pl.col("median")


def _ratios() -> list[pl.Expr]:
    size = pl.col("y").abs().sum()
    banded = pl.col("n_levels") > 1
    inside = pl.col("y").is_between("low", "high").filter(banded)
    parts = {
        "wape": (_error().abs().sum(), size),
        "wql": (pl.col("wql").sum(), size),
        "bias": (-_error().sum(), size),
        "wmae": ((pl.col("weight") * _error().abs()).sum(), pl.col("weight").sum()),
        "coverage": tuple(pl.when(banded.any()).then(value) for value in (inside.sum(), banded.sum())),
    }
    return [
        expression.cast(pl.Float64).alias(name)
        for metric, pair in parts.items()
        for name, expression in zip((metric, f"{metric} of"), pair, strict=True)
    ]


def _by_step(steps: range) -> list[pl.Expr]:
    """wape of each step ahead; null where that period is not known."""
    ahead = (pl.col("week") - pl.col("origin")).dt.total_days() // pl.col("period_days") + 1
    pairs = {"": _error().abs(), " of": pl.col("y").abs()}
    return [
        value.filter(ahead == step).first().alias(f"wape@{step}{of}") for step in steps for of, value in pairs.items()
    ]


def _scaled_errors(cells: pl.DataFrame, queries: pl.DataFrame) -> pl.DataFrame:
    """query of each series' first origin, rmsse over the periods of all origins."""
    errors = cells.group_by("series_id", maintain_order=True).agg(mse=_error().pow(2).mean())
    first = queries.sort("origin", "query").unique("series_id", keep="first", maintain_order=True)
    scaled = first.select("query", "series_id", scale=_naive_error()).filter(pl.col("scale") > 0)
    joined = scaled.join(errors, on="series_id", how="inner", maintain_order="left")
    return joined.select("query", rmsse=(pl.col("mse") / pl.col("scale")).sqrt())


def _naive_error() -> pl.Expr:
    """Mean squared change from one known period to the next, from the first sale on."""
    sold = (pl.element() > 0).fill_null(False).cum_max()
    changes = pl.element().filter(sold).cast(pl.Float64).diff()
    return pl.col("y").list.eval(changes.pow(2)).list.mean()


def _slices(queries: pl.DataFrame) -> dict[str, pl.Expr]:
    begun = pl.col("y").list.eval(pl.element().is_not_null().cast(pl.UInt32).cum_max()).list.sum()
    return {
        "series_class": pl.col("series_class"),
        "level": _level(queries),
        "age": pl.when(begun < NEW_PERIODS).then(pl.lit("new")).otherwise(pl.lit("established")),
        "promoted": pl.when(_promoted(queries)).then(pl.lit("yes")).otherwise(pl.lit("no")),
    }


def _level(queries: pl.DataFrame) -> pl.Expr:
    named = [name for name in ("level", "static_level") if name in queries.columns]
    return pl.col(named[0]).cast(pl.String) if named else pl.lit("series")


def _promoted(queries: pl.DataFrame) -> pl.Expr:
    """Whether any mailer or display is known in the periods asked for: those beyond the history."""
    asked: list[Any] = [
        pl.col(name).list.slice(pl.col("y").list.len()).list.max().fill_null(0.0) > 0
        for name in PROMOTIONS
        if name in queries.columns
    ]
    return reduce(lambda one, other: one | other, asked, pl.lit(False))
