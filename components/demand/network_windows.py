"""What a network reads: windows of a panel in which every series is of one size and every covariate of one unit.

A window is `input_periods` before an origin and the horizon after it. Its scale is what the series' scale was
at that origin (series_scale of components.demand.features.panel), so that training sees what an answer will
see, and sales times a constant give forecasts times that constant. Unknown periods are 0 under a mask, as
is what came before history.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from components.demand.features.panel import Panel, series_scale
from components.demand.network_response import Response


@dataclass(frozen=True)
class Layout:
    """What the networks were fitted to; other panels are brought into this form. One JSON object.

    lowest, highest, centre and spread have one value per covariate, first the known, then the past ones.
    """

    horizon: int
    quantiles: tuple[float, ...]
    known: tuple[str, ...]
    past: tuple[str, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def of(cls, panel: Panel) -> Self:
        """The layout of a train panel."""
        both = np.concatenate([panel.known, panel.past], axis=2).astype(np.float64)
        columns = [values[np.isfinite(values)] for values in both.reshape(-1, both.shape[2]).T]
        columns = [values if len(values) else np.zeros(1) for values in columns]
        return cls(
            horizon=panel.horizon,
            quantiles=tuple(panel.quantiles.tolist()),
            known=panel.known_names,
            past=panel.past_names,
            lowest=tuple(float(values.min()) for values in columns),
            highest=tuple(float(values.max()) for values in columns),
            centre=tuple(float(values.mean()) for values in columns),
            spread=tuple(float(values.std()) for values in columns),
        )

    @classmethod
    def from_json(cls, stated: dict[str, Any]) -> Self:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()
        }
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def cells(self, panel: Panel) -> np.ndarray:
        """(n, T + horizon, 2 + n_known + n_past) float32: units, mask, known covariates, past covariates.

        A covariate that is unknown or missing altogether is 0, the mean of train. One beyond what train
        has seen is taken to the nearest value seen: what it would do is not known, and a network says anything.
        """
        n, length, after = *panel.y.shape, panel.future.shape[1]
        cells = np.zeros((n, length + after, 2 + len(self.known) + len(self.past)), np.float32)
        cells[:, :length, 0] = np.maximum(np.nan_to_num(panel.y), 0.0)
        cells[:, :length, 1] = np.isfinite(panel.y)
        for number, name in enumerate(self.known):
            if name in panel.known_names:
                place = panel.known_names.index(name)
                both = np.concatenate([panel.known[:, :, place], panel.future[:, :, place]], axis=1)
                cells[:, :, 2 + number] = self._standard(both, number)
        for number, name in enumerate(self.past, len(self.known)):
            if name in panel.past_names:
                values = panel.past[:, :, panel.past_names.index(name)]
                cells[:, :length, 2 + number] = self._standard(values, number)
        return cells

    def _standard(self, values: np.ndarray, number: int) -> np.ndarray:
        spread = self.spread[number]
        if spread == 0:
            return np.zeros_like(values)
        inside = np.clip(values, self.lowest[number], self.highest[number])
        return np.nan_to_num((inside - self.centre[number]) / spread)


@dataclass(frozen=True)
class Windows:
    """Windows into cells (n_series, T, n_columns) by row and first period; the rest is as long as rows."""

    cells: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    scales: np.ndarray
    weights: np.ndarray
    response: Response
    length: int

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: np.ndarray) -> np.ndarray:
        """(n_chosen, length, n_columns + 1) float32: units over the window's scale, mask, known, response, past."""
        steps = self.starts[chosen][:, None] + np.arange(self.length)
        cut = self.cells[self.rows[chosen][:, None], steps]
        cut[:, :, 0] /= self.scales[chosen][:, None]
        first_past = 2 + self.response.centre.shape[1]
        expected = self.response.take(chosen).over(cut[:, :, 2:first_past])
        return np.concatenate([cut[:, :, :first_past], expected[:, :, None], cut[:, :, first_past:]], axis=2)

    def latest(self) -> np.ndarray:
        """The last window of every series that has one."""
        order = np.lexsort((self.starts, self.rows))
        return order[np.append(self.rows[order][1:] != self.rows[order][:-1], True)] if len(order) else order


def lessons(panel: Panel, layout: Layout, params: Any) -> Windows:
    """Every window of a train panel with `min_known` known periods before it and all of its horizon known.

    A window weighs its scale to the power of `volume_weight`, on average 1.
    """
    before, n_known = params.input_periods, len(layout.known)
    cells = np.pad(layout.cells(panel)[:, : panel.y.shape[1]], ((0, 0), (before, 0), (0, 0)))
    known = np.isfinite(panel.y)
    so_far = np.cumsum(known, axis=1)
    rows, starts, scales, responses = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], []
    for origin in range(1, panel.y.shape[1] - layout.horizon + 1):
        whole = known[:, origin : origin + layout.horizon].all(axis=1)
        fit = np.flatnonzero(whole & (so_far[:, origin - 1] >= params.min_known))
        rows.append(fit)
        starts.append(np.full(len(fit), origin))  # as many periods of padding lie before it
        scales.append(scale_at(panel.y, fit, origin))
        responses.append(Response.at(cells[fit], origin + before, scales[-1], n_known, params.shrinkage))
    weights = np.concatenate(scales) ** params.volume_weight
    return Windows(
        cells=cells,
        rows=np.concatenate(rows),
        starts=np.concatenate(starts),
        scales=np.concatenate(scales),
        weights=(weights / weights.mean() if len(weights) else weights).astype(np.float32),
        response=Response.joined(responses) if responses else Response.none(n_known),
        length=before + layout.horizon,
    )


def scale_at(y: np.ndarray, rows: np.ndarray, origin: int) -> np.ndarray:
    """The scale that `rows` of y (n, T) had at period `origin`, (n_rows,) float32."""
    return series_scale(y[rows, :origin])


def questions(panel: Panel, layout: Layout, params: Any) -> Windows:
    """The window at each row's origin; `panel` may be of other series and lengths than train."""
    n, length = panel.y.shape
    lacking = max(0, params.input_periods - length)
    beyond = max(0, layout.horizon - panel.future.shape[1])
    cells = np.pad(layout.cells(panel), ((0, 0), (lacking, beyond), (0, 0)))
    stop = length + lacking
    return Windows(
        cells=cells,
        rows=np.arange(n),
        starts=np.full(n, stop - params.input_periods),
        scales=panel.scale,
        weights=np.ones(n, np.float32),
        response=Response.at(cells, stop, panel.scale, len(layout.known), params.shrinkage),
        length=params.input_periods + layout.horizon,
    )
