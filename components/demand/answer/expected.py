"""What a release expects as things are planned: one row per series or category."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import polars as pl

from components.demand.answer.order import quantile_function

Whose = Literal["series", "category"]


@dataclass(frozen=True)
class Expected:
    """Rows of a queries frame by series id, with values (n, horizon, n_quantiles), NaN where nothing is known."""

    frame: pl.DataFrame
    values: np.ndarray
    row_of: dict[str, int]

    @classmethod
    def of(cls, frame: pl.DataFrame, values: np.ndarray) -> Self:
        """Rows found by series id."""
        return cls(frame, values, {name: row for row, name in enumerate(frame["series_id"].to_list())})

    def text(self, column: str, row: int) -> str | None:
        """A descriptive column's value; None where it is null or the shop keeps no such column."""
        found = self._columns.get(column)
        return None if found is None else found[row]

    def titles(self) -> list[str]:
        """Each row's title, else its id."""
        return [self.text("title", row) or name for name, row in self.row_of.items()]

    def weeks(self, row: int) -> list[date]:
        """First day of each period that is forecast."""
        origin, days = self._columns["origin"][row], self._columns["period_days"][row]
        return [origin + timedelta(days=days * step) for step in range(self._columns["horizon"][row])]

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        """What requests read one by one, as lists: ten times as quick as asking a frame."""
        names = {"title", "category", "product_id", "origin", "period_days", "horizon"}
        return {name: self.frame[name].to_list() for name in self.frame.columns if name in names}

    def rows_of_products(self) -> dict[str, list[int]]:
        """The rows of each product, where the shop says which product a series is of."""
        found: dict[str, list[int]] = {}
        for row, product in enumerate(self._columns.get("product_id", [])):
            if product is not None:
                found.setdefault(product, []).append(row)
        return found


def forecast(predict: Callable[[pl.DataFrame], pl.DataFrame], queries: pl.DataFrame, levels: np.ndarray) -> np.ndarray:
    """(n, horizon, n_quantiles) of a frame; NaN in the whole row of a series that what ships cannot forecast."""
    if queries.is_empty():
        return np.empty((0, 0, len(levels)))
    rows = queries.select("query", "origin", "period_days").with_row_index("row")
    found = predict(queries).join(rows, on="query", how="inner").filter(pl.col("score").is_finite())
    step = (pl.col("week").cast(pl.Date) - pl.col("origin")).dt.total_days() // pl.col("period_days")
    places = found.select("row", "quantile", "score", step=step)
    cube = np.full((queries.height, int(queries["horizon"][0]), len(levels)), np.nan)
    column = np.searchsorted(levels, places["quantile"].to_numpy() - 1e-9)
    cube[places["row"].to_numpy(), places["step"].to_numpy(), column] = places["score"].to_numpy()
    cube[~np.isfinite(cube).all(axis=(1, 2))] = np.nan
    return np.sort(np.maximum(cube, 0.0), axis=2)


def at_levels(values: np.ndarray, trained: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Quantiles (n_weeks, n_trained) at other levels, by the curve through those that were trained."""
    if np.array_equal(trained, wanted):
        return values
    return np.array([quantile_function(wanted, row, trained) for row in values])
