"""What every forecast is held against: the errors of the two floors, on the same queries and periods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from components.demand.evaluation.outcomes import by_period
from components.demand.features.panel import Panel
from components.demand.local import Local
from components.demand.models.moving_average import MovingAverage
from components.demand.models.seasonal_naive import SeasonalNaive

FLOORS: dict[str, type[Local]] = {"vs_moving_average": MovingAverage, "vs_seasonal_naive": SeasonalNaive}


def against_floors(found: pl.DataFrame, queries: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """`found`, the outcomes of a model, with its absolute error beside that of each floor's median.

    Per floor a ratio `vs_<floor>` of `vs_<floor> of`; null where no truth is known. Silence counts as 0 here too.
    """
    for name, errors in floor_errors(queries, truth).items():
        found = found.join(errors, on="query", how="left", maintain_order="left")
        both = pl.when(pl.col("wape").is_not_null() & pl.col(f"{name} of").is_not_null())
        found = found.with_columns(both.then("wape").alias(name), both.then(f"{name} of").alias(f"{name} of"))
    return found


def floor_errors(queries: pl.DataFrame, truth: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Per floor, with its default parameters: query, `vs_<floor> of` (sum of |y - median| over known periods)."""
    panel = Panel.of(queries)
    middle = panel.quantiles[np.abs(panel.quantiles - 0.5).argmin()]
    asked = replace(panel, quantiles=np.array([middle]))
    found = {}
    for name, floor in FLOORS.items():
        scores = asked.answer(floor().fit(queries).forecast(asked))  # they learn nothing: each query brings its history
        cells = by_period(scores, truth)
        error = (pl.col("y") - pl.col("median")).abs().sum()
        found[name] = cells.group_by("query", maintain_order=True).agg(error.alias(f"{name} of"))
    return found
