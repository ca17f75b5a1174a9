"""One request's forecast: what the release expects, what it expects if promoted, and for products without a history.

What every series is expected to sell as things are planned is computed once, when a release is packaged or
loaded; only what a buyer plans differently is forecast on request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from components.core.artifacts import load_array, save_arrays
from components.core.bundle import Bundle, load_bundle
from components.core.errors import DataError, ModelError
from components.core.params import parse
from components.demand.answer.ask import Forecast, ForecastAsk, OrderAsk, shown
from components.demand.answer.drivers import Explained, explain
from components.demand.answer.expected import Expected, Whose, at_levels, forecast
from components.demand.answer.order import OrderParams, Proposal, propose
from components.demand.answer.scope import Scope, check_size
from components.demand.answer.siblings import Siblings, drivers_of
from components.demand.answer.targets import Target, Targets
from components.demand.answer.terms import terms_of
from components.demand.answer.what_if import Plan, by_step, code_mix, planned, plans_of, ranges_of
from components.demand.features.panel import Panel
from components.demand.models.gbm import Gbm

EXPLAINER = "gbm"  # the model that says what moves a forecast, whatever makes the forecast
REMEMBERED, FEW = 256, 20  # what-ifs of a few series: a buyer's page asks the same again while others change
QUICK_NUMBERS = 2000  # an answer of so many takes no longer than to hand it over to another thread

Predict = Callable[[pl.DataFrame], pl.DataFrame]  # queries -> score table
Explain = Callable[[Panel], list[Explained]]  # one for each row
Asked = tuple[int, Plan]  # a row and what is planned for it


class Forecasts:
    """One release, ready to answer."""

    def __init__(
        self,
        predict: Predict,
        queries: pl.DataFrame,
        categories: pl.DataFrame,
        order: OrderParams | None = None,
        explain: Explain | None = None,
        ready: dict[Whose, np.ndarray] | None = None,
        catalogue: pl.DataFrame | None = None,
    ) -> None:
        self._predict, self._explain, self.order_params = predict, explain, order or OrderParams()
        self.horizon, self.period_days = int(queries["horizon"][0]), int(queries["period_days"][0])
        self.levels = np.array(queries["quantiles"][0].to_list(), np.float64)
        self._scope = Scope(self.horizon, self.levels)
        self.known, self._mix = ranges_of(queries), code_mix(queries)
        self._lock = threading.Lock()
        frames: dict[Whose, pl.DataFrame] = {"series": queries, "category": categories}
        values = ready or {whose: self._forecast(frame) for whose, frame in frames.items()}
        self.expected = {whose: Expected.of(frame, values[whose]) for whose, frame in frames.items()}
        self._targets = Targets(self.expected["series"], self.expected["category"], catalogue)
        self._siblings = Siblings(self.expected["series"], self.levels)
        self._what_if = lru_cache(REMEMBERED)(self._planned)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a sealed bundle; raises ArtifactError where a byte differs from what was sealed."""
        forecasts = cls.of(load_bundle(folder))
        forecasts.warm()
        return forecasts

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """From a bundle whose members are loaded already; what lies ready in its folder is not computed again."""
        from components.demand.features.folds import pool_of

        folder, params = bundle.folder, bundle.manifest.get("params") or {}
        lies_ready, catalogue = (folder / "forecasts").is_dir(), folder / "catalogue.parquet"
        return cls(
            lambda queries: bundle.predict(queries, pool_of(queries)),
            pl.read_parquet(folder / "queries.parquet"),
            pl.read_parquet(folder / "categories.parquet"),
            explain=_explainer(bundle),
            order=parse(OrderParams, params.get("order") or {}, "demand.order"),
            ready={
                "series": load_array(folder / "forecasts", "series"),
                "category": load_array(folder / "forecasts", "category"),
            }
            if lies_ready
            else None,
            catalogue=pl.read_parquet(catalogue) if catalogue.is_file() else None,
        )

    def save(self, folder: Path) -> None:
        """Lay what is expected of every series and category ready in a bundle's folder."""
        save_arrays(folder / "forecasts", {str(whose): each.values for whose, each in self.expected.items()})

    def warm(self) -> None:
        """Load what the first what-if would otherwise wait for."""
        self._forecast(self.expected["series"].frame[:1])

    def is_quick(self, ask: ForecastAsk) -> bool:
        """Whether the answer lies ready and is short, so that no model needs to be asked and nobody waits for it."""
        if ask.promotions or ask.explain:
            return False
        return self._targets.count(ask) * self.horizon * len(ask.quantiles or self.levels) <= QUICK_NUMBERS

    def answer(self, ask: ForecastAsk) -> list[Forecast]:
        """One forecast per series, in the order asked; raises UnknownName, or DataError naming the field."""
        horizon, levels = self._scope.periods(ask.horizon), self._scope.quantiles(ask.quantiles)
        targets = self._targets.of(ask)
        check_size(len(targets), horizon, len(levels), ask.explain)
        return self._answered(targets, ask, horizon, levels)

    def _answered(
        self, targets: Sequence[Target], ask: ForecastAsk, horizon: int, levels: np.ndarray
    ) -> list[Forecast]:
        weeks = {target.series_id: self.expected[target.source].weeks(target.row) for target in targets}
        plans = plans_of(ask.promotions, weeks, self._targets.series_of, self.known)
        asked = [(target, plans[target.series_id]) for target in targets]
        values = self._values(asked)
        drivers = self._drivers(asked, values) if ask.explain else [None] * len(targets)
        return [
            Forecast(
                target.series_id, target.title, target.source, target.category, self.period_days,
                tuple(weeks[target.series_id][:horizon]), tuple(levels.tolist()),
                at_levels(each[:horizon], self.levels, levels), why and why[:horizon],
            )
            for target, each, why in zip(targets, values, drivers, strict=True)
        ]  # fmt: skip

    def order(self, ask: OrderAsk) -> tuple[Forecast, Proposal, list[str]]:
        """The series' forecast, what to order, and what the buyer must know of how it was found."""
        if ask.new_product is None:
            targets = self._targets.named(ask.series_id, "series_id")
        else:
            targets = self._targets.new(ask.new_product, "")
        if len(targets) > 1:
            raise DataError(f"series_id: expected one series, got a product of {len(targets)}; name one of them, "
                            f"such as {', '.join(target.series_id for target in targets[:5])}")  # fmt: skip
        (found,) = self._answered(targets, ForecastAsk(promotions=ask.promotions), self.horizon, self.levels)
        terms, notes = terms_of(ask, found, self.horizon, self.order_params)
        correlation = self.order_params.week_correlation
        return found, propose(found.values, self.levels, self.period_days, terms, correlation), notes

    def _values(self, asked: Sequence[tuple[Target, Plan]]) -> list[np.ndarray]:
        """(horizon, n_quantiles) of each target; models are asked once for all that is planned differently."""
        replies: dict[tuple[Whose, Asked], np.ndarray] = {}
        for whose in self.expected:
            pairs = tuple(dict.fromkeys((each.row, plan) for each, plan in asked if each.source == whose and plan))
            if pairs:
                what_if = self._what_if if len(pairs) <= FEW else self._planned
                replies |= {(whose, pair): each for pair, each in zip(pairs, what_if(whose, pairs), strict=True)}
        found = []
        for target, plan in asked:
            as_is = self.expected[target.source].values[target.row]
            values = replies[target.source, (target.row, plan)] if plan else as_is
            found.append(values if target.source == "series" else self._stand_in(target, as_is, values))
        return found

    def _stand_in(self, target: Target, as_is: np.ndarray, values: np.ndarray) -> np.ndarray:
        """One product of its category, as such products spread, lifted as a promotion lifts their mean."""
        spread = self._siblings.values(target.category)
        before, after = as_is.mean(axis=1), values.mean(axis=1)
        lift = np.divide(after, before, out=np.ones(len(values)), where=before > 0)
        found = values if spread is None else spread * lift[:, None]
        if not np.isfinite(found).all():
            raise DataError(
                f"{target.field}: no model of the release can forecast {shown(target.series_id)}, nor its category "
                f"{shown(target.category or '')}; leave it out, or name a category that sells"
            )
        return found

    def _planned(self, whose: Whose, pairs: tuple[Asked, ...]) -> np.ndarray:
        """(n, horizon, n_quantiles) of rows under what is planned for each."""
        values = self._forecast(self._rows(whose, pairs))
        if not np.isfinite(values).all():
            raise ModelError(
                "expected a forecast as for the release's own plan, got none; ask without promotions, and "
                "look into the log"
            )
        return values

    def _rows(self, whose: Whose, pairs: Sequence[Asked]) -> pl.DataFrame:
        chosen = self.expected[whose].frame[[row for row, _ in pairs]]
        return planned(chosen, [by_step(plan) for _, plan in pairs], self._mix)

    def _drivers(self, asked: Sequence[tuple[Target, Plan]], values: Sequence[np.ndarray]) -> list[Explained]:
        """Of each target; the model that explains is asked once for all series."""
        pairs = [(target.row, plan) for target, plan in asked if target.source == "series"]
        of_series = iter(self._explained(pairs) if pairs else [])
        return [
            next(of_series) if target.source == "series" else self._of_category(target, each)
            for (target, _), each in zip(asked, values, strict=True)
        ]

    def _explained(self, pairs: Sequence[Asked]) -> list[Explained]:
        if self._explain is None:
            raise DataError("explain: no model of this release can tell what drives a forecast; leave it out")
        panel = Panel.of(self._rows("series", pairs))
        with self._lock:
            return self._explain(panel)

    def _of_category(self, target: Target, values: np.ndarray) -> Explained:
        as_is = self.expected["category"].values[target.row]
        usual, middle = self._stand_in(target, as_is, as_is), int(np.abs(self.levels - 0.5).argmin())
        return drivers_of(target.category or "", usual[:, middle], values[:, middle], self.period_days)

    def _forecast(self, queries: pl.DataFrame) -> np.ndarray:
        with self._lock:  # models are not promised to answer two threads at once
            return forecast(self._predict, queries, self.levels)


def _explainer(bundle: Bundle) -> Explain | None:
    """The shipped gbm's view; else that of one packaged beside what ships; else nothing can explain."""
    model, beside = bundle.members.get(EXPLAINER), bundle.folder / "explainer"
    if model is None and beside.is_dir():
        model = Gbm.load(beside)
    if not isinstance(model, Gbm):
        return None
    gbm = model
    return lambda panel: explain(gbm, panel)


def request_milliseconds(forecasts: Forecasts, n: int = 20) -> float:
    """Processor time of one what-if on one series, median over series spread over the release.

    Processor time, because the time on the wall is also that of whatever else the machine does.
    """
    frame = forecasts.expected["series"].frame
    taken = []
    for row in np.unique(np.linspace(0, frame.height - 1, min(frame.height, n)).astype(int)).tolist():
        began = time.process_time()
        forecasts._forecast(forecasts._rows("series", [(row, ())]))
        taken.append(time.process_time() - began)
    return 1000 * float(np.median(taken))
