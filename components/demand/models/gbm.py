"""LightGBM over all series at once: one booster per quantile, forecasting every step directly.

A training row is a series, an origin and a step ahead (components.demand.lags), its label the units over the series'
scale at the origin and its weight that scale, so that what is minimised is the pinball loss of units. The boosters
learn what is to be added to a first guess: what sold under plans like the target's. Ke et al., "LightGBM: A Highly
Efficient Gradient Boosting Decision Tree" (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json, write_text
from components.core.boosting import BoostingParams, Count, Leaves, Part, settings
from components.core.errors import DataError, NotFitted
from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.forecaster import Forecaster
from components.demand.lags import features, matrix, scale_at
from components.demand.newcomers import Newcomers
from components.demand.response import Response
from components.memory import require_memory

CONTEXT = "gbm.json"
GUESSES = ("match_0", "match_1", "base_planned")
GUESSED = 0.9  # share of their mean that boosting starts from: medians lie below means


class GbmParams(BoostingParams):
    n_trees: Count = 100
    n_bags: int = Field(3, ge=1, description="Boosters per quantile, alike but for what they draw; their mean counts.")
    learning_rate: Part = 0.1
    n_leaves: Leaves = Field(20, description="More learn single series by heart.")
    min_rows_per_leaf: Count = 40
    feature_fraction: Part = 0.4
    row_fraction: Part = 0.4
    min_history: int = Field(8, ge=1, description="Periods before the first origin that is learned from.")
    max_rows: int = Field(250_000, ge=1, description="Of origins and steps, evenly, as many as give so many rows.")
    max_codes: int = Field(16, ge=0, description="A static of more codes is no feature: trees learn it by heart.")


class Rows(NamedTuple):
    """x (n_rows, n_features) float32, label and weight (n_rows,)."""

    x: np.ndarray
    label: np.ndarray
    weight: np.ndarray


class Gbm(Forecaster):
    """Global gradient boosting with quantile loss."""

    params_class: ClassVar[type[Params]] = GbmParams

    def __init__(self, params: Params | None = None) -> None:
        self.params = GbmParams.model_validate((params or GbmParams()).model_dump())
        self.boosters: list[list[Any]] = []  # of lightgbm, `n_bags` per quantile
        self.names: list[str] = []  # of the features
        self._context: dict[str, Any] | None = None

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        """Raises DataError where no series is longer than `min_history`, DoesNotFit where memory is short."""
        panel = Panel.of(train)
        self.response = Response.of(panel)
        self.newcomers = Newcomers.of(panel, self.response)
        self.quantiles = panel.quantiles
        self.statics = [
            name
            for number, name in enumerate(panel.static_names)
            if len(np.unique(panel.static[:, number])) in range(2, self.params.max_codes + 1)
        ]
        rows = self._training_rows(panel)
        bags = range(self.params.n_bags)
        self.boosters = [[self._boosted(rows, level, bag) for bag in bags] for level in panel.quantiles]
        self._context = self._as_json(panel)
        return self

    def forecast(self, panel: Panel) -> np.ndarray:
        self._check(panel)
        values = self.newcomers.forecast(panel, self.response)
        begun = np.isfinite(panel.y).any(axis=1)
        if begun.any():
            x, scale = self.rows(panel)
            added = [np.mean([booster.predict(x) for booster in bags], axis=0) for bags in self.boosters]
            ratios = np.column_stack(added) + self.guess(x)[:, None]
            values[begun] = (ratios.reshape(values.shape) * scale[:, None, None])[begun]
        return values

    def rows(self, panel: Panel) -> tuple[np.ndarray, np.ndarray]:
        """Features (n * horizon, n_features) of the panel's origin, and the series' scale there, (n,)."""
        length = panel.y.shape[1]
        scale = scale_at(panel, length, self.newcomers.level(panel))
        x, _ = self._features(panel, length, range(1, panel.horizon + 1), scale)
        return x, scale

    def guess(self, x: np.ndarray) -> np.ndarray:
        """(n_rows,) what boosting starts from, over scale."""
        guesses = x[:, [self.names.index(name) for name in GUESSES]].astype(np.float64)
        answer: np.ndarray = GUESSED * np.nan_to_num(guesses).mean(axis=1)
        return answer

    def contributions(self, x: np.ndarray, number: int) -> np.ndarray:
        """(n_rows, n_features + 1) over scale, of quantile `number`; the last column is where all begin."""
        parts = np.mean([booster.predict(x, pred_contrib=True) for booster in self.boosters[number]], axis=0)
        parts[:, -1] += self.guess(x)
        return parts

    def _features(
        self, panel: Panel, origin: int, steps: Sequence[int], scale: np.ndarray
    ) -> tuple[np.ndarray, list[str]]:
        """Columns as `names` has them, once it does: what a history is too short for, such as a year before, is NaN."""
        found = features(panel, origin, steps, self.response, scale)
        codes = {f"static_{name}": panel.static[:, panel.static_names.index(name)] for name in self.statics}
        full = [one | codes for one in found]
        names, unknown = self.names or list(full[0]), np.full(len(panel), np.nan)
        return matrix([{name: one.get(name, unknown) for name in names} for one in full]), names

    def _training_rows(self, panel: Panel) -> Rows:
        n, length = panel.y.shape
        pairs = self._pairs(length, panel.horizon, n)
        require_memory("gbm", n * len(pairs) * (70 + 5 * len(panel.known_names)) * 9)
        fallback = self.newcomers.level(panel)
        parts: list[Rows] = []
        self.names = []
        latest = max((origin for origin, _ in pairs), default=length)
        _, self.names = self._features(panel, latest, [1], scale_at(panel, latest, fallback))
        for origin in sorted({origin for origin, _ in pairs}):
            steps = [step for start, step in pairs if start == origin]
            scale = scale_at(panel, origin, fallback)
            x, _ = self._features(panel, origin, steps, scale)
            y = panel.y[:, [origin + step - 1 for step in steps]]
            began = np.isfinite(panel.y[:, :origin]).any(axis=1)
            kept = (np.isfinite(y) & began[:, None]).ravel()
            spread = np.repeat(scale, len(steps))[kept]
            parts.append(Rows(x[kept], y.ravel()[kept] / spread, spread))
        if not sum(len(part.label) for part in parts):
            raise DataError(
                f"gbm: expected a series longer than {self.params.min_history} periods, got {length} at most; "
                "lower demand.models.gbm.min_history"
            )
        joined = Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        return joined._replace(weight=joined.weight / joined.weight.mean())

    def _pairs(self, length: int, horizon: int, n: int) -> list[tuple[int, int]]:
        """Origins and steps whose target is known, at most `max_rows / n` of them, drawn evenly."""
        first = min(self.params.min_history, max(length - horizon, 1))
        steps = range(1, horizon + 1)
        pairs = [(origin, step) for origin in range(first, length) for step in steps if origin + step <= length]
        wanted = max(self.params.max_rows // n, 1)
        if len(pairs) <= wanted:
            return pairs
        drawn = np.random.default_rng(self.params.seed).choice(len(pairs), wanted, replace=False)
        return [pairs[number] for number in np.sort(drawn)]

    def _boosted(self, rows: Rows, level: float, bag: int) -> Any:
        import lightgbm

        loss = {"objective": "quantile", "alpha": float(level)}
        chosen = settings(self.params, 1.0, max_bin=127, force_col_wise=True, seed=self.params.seed + bag, **loss)
        categorical = [f"static_{name}" for name in self.statics]
        label = rows.label - self.guess(rows.x)
        data = lightgbm.Dataset(rows.x, label, weight=rows.weight, feature_name=self.names,
                                categorical_feature=categorical, params=chosen)  # fmt: skip
        return lightgbm.train(chosen, data, self.params.n_trees)

    def _check(self, panel: Panel) -> None:
        """Raises NotFitted, or DataError where the panel has other covariates or quantiles than those learned from."""
        context = self._fitted()
        for what in ("known", "past", "quantiles"):
            got, expected = _described(panel)[what], context[what]
            if got != expected:
                raise DataError(f"gbm: expected the {what} {expected} that it was fitted on, got {got}; fit it again")

    def _as_json(self, panel: Panel) -> dict[str, Any]:
        return _described(panel) | {
            "params": self.params.model_dump(),
            "statics": self.statics,
            "names": self.names,
            "response": self.response.as_json(),
            "newcomers": self.newcomers.as_json(),
        }

    def save(self, folder: Path) -> None:
        write_json(folder / CONTEXT, self._fitted())
        for number, bags in enumerate(self.boosters):
            for bag, booster in enumerate(bags):
                write_text(folder / f"booster_{number}_{bag}.txt", booster.model_to_string())

    @classmethod
    def load(cls, folder: Path) -> Self:
        import lightgbm

        context = read_json(folder / CONTEXT)
        model = cls(GbmParams(**context["params"]))
        model.response = Response.from_json(context["response"])
        model.newcomers = Newcomers.from_json(context["newcomers"])
        model.quantiles, model.statics = np.array(context["quantiles"]), context["statics"]
        model.names, model._context = context["names"], context
        model.boosters = [
            [lightgbm.Booster(model_file=folder / f"booster_{number}_{bag}.txt") for bag in range(model.params.n_bags)]
            for number in range(len(model.quantiles))
        ]
        return model

    def _fitted(self) -> dict[str, Any]:
        if self._context is None:
            raise NotFitted("gbm: expected a fitted model; call fit() or load() first")
        return self._context


def _described(panel: Panel) -> dict[str, Any]:
    return {"known": list(panel.known_names), "past": list(panel.past_names), "quantiles": panel.quantiles.tolist()}


MODEL = Gbm
