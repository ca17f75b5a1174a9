"""One request's forecast: what the release expects, what it expects if promoted, and for products without a history.

What every series is expected to sell as things are planned is computed once, when a release is packaged or
loaded; only what a buyer plans differently is forecast on request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from components.core.artifacts import load_array, save_arrays
from components.core.bundle import Bundle, load_bundle
from components.core.errors import DataError, ModelError
from components.core.params import parse
from components.demand.answer.ask import Forecast, ForecastAsk, OrderAsk
from components.demand.answer.drivers import Driver, explain
from components.demand.answer.expected import Expected, Whose, at_levels, forecast
from components.demand.answer.order import OrderParams, Proposal, Terms, critical_ratio, propose
from components.demand.answer.siblings import Siblings, drivers_of
from components.demand.answer.targets import Target, Targets
from components.demand.answer.what_if import Plan, by_step, code_mix, known_names, planned, plans_of
from components.demand.features.panel import Panel
from components.demand.models.gbm import Gbm

REMEMBERED = 1024  # what-ifs, each a few numbers: a buyer's page asks the same again while others change

Predict = Callable[[pl.DataFrame], pl.DataFrame]  # queries -> score table
Explain = Callable[[Panel], list[list[Driver]]]  # a panel of one row -> the drivers of each period ahead
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
    ) -> None:
        self._predict, self._explain, self.order_params = predict, explain, order or OrderParams()
        self.horizon, self.period_days = int(queries["horizon"][0]), int(queries["period_days"][0])
        self.levels = np.array(queries["quantiles"][0].to_list(), np.float64)
        self.known, self._mix = known_names(queries), code_mix(queries)
        self._lock = threading.Lock()
        frames: dict[Whose, pl.DataFrame] = {"series": queries, "category": categories}
        values = ready or {whose: self._forecast(frame) for whose, frame in frames.items()}
        self.expected = {whose: Expected.of(frame, values[whose]) for whose, frame in frames.items()}
        self._targets = Targets(self.expected["series"], self.expected["category"])
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
        lies_ready = (folder / "forecasts").is_dir()
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
        )

    def save(self, folder: Path) -> None:
        """Lay what is expected of every series and category ready in a bundle's folder."""
        save_arrays(folder / "forecasts", {str(whose): each.values for whose, each in self.expected.items()})

    def warm(self) -> None:
        """Load what the first what-if would otherwise wait for."""
        self._forecast(self.expected["series"].frame[:1])

    @staticmethod
    def is_ready(ask: ForecastAsk) -> bool:
        """Whether the answer lies ready, so that no model needs to be asked."""
        return not (ask.promotions or ask.explain or ask.new_products)

    def answer(self, ask: ForecastAsk) -> list[Forecast]:
        """One forecast per series, in the order asked; raises UnknownName, or DataError naming the field."""
        horizon, levels = self._horizon(ask.horizon), self._levels(ask.quantiles)
        targets = self._targets.of(ask)
        weeks = {target.series_id: self.expected[target.source].weeks(target.row) for target in targets}
        plans = plans_of(ask.promotions, weeks, self._targets.series_of, self.known)
        values = self._values([(target, plans[target.series_id]) for target in targets])
        found = []
        for target, each in zip(targets, values, strict=True):
            drivers = self._drivers(target, plans[target.series_id], each) if ask.explain else None
            until = weeks[target.series_id][:horizon]
            units = at_levels(each[:horizon], self.levels, levels)
            found.append(
                Forecast(target.series_id, target.title, target.source, target.category, self.period_days,
                         tuple(until), tuple(levels.tolist()), units, drivers and drivers[:horizon])
            )  # fmt: skip
        return found

    def order(self, ask: OrderAsk) -> tuple[Forecast, Proposal, list[str]]:
        """The series' forecast, what to order, and what the buyer must know of how it was found."""
        if ask.new_product is None:
            several = [target.series_id for target in self._targets.named(ask.series_id, "series_id")]
            if len(several) > 1:
                raise DataError(f"series_id: expected one series, got a product of {len(several)}; name one of them, "
                                f"such as {', '.join(several[:5])}")  # fmt: skip
            asked = ForecastAsk((several[0],), promotions=ask.promotions)
        else:
            asked = ForecastAsk(new_products=(ask.new_product,), promotions=ask.promotions)
        (found,) = self.answer(asked)
        terms, notes = self._terms(ask, found)
        correlation = self.order_params.week_correlation
        return found, propose(found.values, self.levels, self.period_days, terms, correlation), notes

    def _terms(self, ask: OrderAsk, found: Forecast) -> tuple[Terms, list[str]]:
        """What the arithmetic needs, and notes on what was assumed."""
        review = self.order_params.review_days if ask.review_days is None else ask.review_days
        first, limit = found.weeks[0], self.horizon * self.period_days
        beyond = first + timedelta(days=limit)
        day = (ask.day - first).days if ask.day else 0
        if not 0 <= day < limit:
            raise DataError(
                f"day: expected one from {first} on and before {beyond}, which the release forecasts, got {ask.day}; "
                "correct it, or release anew on fresher data"
            )
        notes = []
        if day + ask.lead_time_days + review > limit:
            notes.append(f"the release forecasts {limit} days; from {beyond} on, demand is taken to go on as before")
        if found.source == "category":
            notes.append(f"no history of its own: taken to sell like a product of {found.category}")
        return Terms(ask.on_hand, ask.on_order, ask.lead_time_days, review, self._service(ask),
                     ask.pack_size, ask.minimum_order, day), notes  # fmt: skip

    def _service(self, ask: OrderAsk) -> float:
        if ask.costs is not None:
            return critical_ratio(*ask.costs)
        return self.order_params.service_level if ask.service_level is None else ask.service_level

    def _horizon(self, wanted: int | None) -> int:
        if wanted is not None and wanted > self.horizon:
            raise DataError(
                f"horizon: expected at most {self.horizon}, for which the release was trained, got {wanted}; "
                "ask for fewer, or raise demand.split.horizon and train again"
            )
        return wanted or self.horizon

    def _levels(self, wanted: tuple[float, ...] | None) -> np.ndarray:
        if not wanted:
            return self.levels
        low, high = self.levels[0], self.levels[-1]
        outside = [level for level in wanted if not low <= level <= high]
        if outside:
            raise DataError(
                f"quantiles: expected levels from {low:g} to {high:g}, for which the release was trained, "
                f"got {outside[0]:g}; ask within, or widen demand.features.quantiles and train again"
            )
        return np.unique(wanted)

    def _values(self, asked: Sequence[tuple[Target, Plan]]) -> list[np.ndarray]:
        """(horizon, n_quantiles) of each target; models are asked once for all that is planned differently."""
        replies: dict[tuple[Whose, Asked], np.ndarray] = {}
        for whose in self.expected:
            pairs = tuple(dict.fromkeys((each.row, plan) for each, plan in asked if each.source == whose and plan))
            if pairs:
                replies |= {(whose, pair): each for pair, each in zip(pairs, self._what_if(whose, pairs), strict=True)}
        found = []
        for target, plan in asked:
            as_is = self.expected[target.source].values[target.row]
            values = replies[target.source, (target.row, plan)] if plan else as_is
            found.append(values if target.source == "series" else self._stand_in(target, as_is, values))
        return found

    def _stand_in(self, target: Target, as_is: np.ndarray, values: np.ndarray) -> np.ndarray:
        """One product of its category, as such products spread, lifted as a promotion lifts their mean."""
        spread = self._siblings.values(target.category)
        if spread is None:
            return values
        before, after = as_is.mean(axis=1), values.mean(axis=1)
        return spread * np.divide(after, before, out=np.ones(len(values)), where=before > 0)[:, None]

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

    def _drivers(self, target: Target, plan: Plan, values: np.ndarray) -> tuple[list[Driver], ...]:
        if target.source == "category":
            as_is = self.expected["category"].values[target.row]
            usual, middle = self._stand_in(target, as_is, as_is), int(np.abs(self.levels - 0.5).argmin())
            return drivers_of(target.category or "", usual[:, middle], values[:, middle], self.period_days)
        if self._explain is None:
            raise DataError("explain: no model of this release can tell what drives a forecast; leave it out")
        panel = Panel.of(self._rows(target.source, [(target.row, plan)]))
        with self._lock:
            return tuple(self._explain(panel))

    def _forecast(self, queries: pl.DataFrame) -> np.ndarray:
        with self._lock:  # models are not promised to answer two threads at once
            return forecast(self._predict, queries, self.levels)


def _explainer(bundle: Bundle) -> Explain | None:
    """The shipped gbm's view; else that of one packaged beside what ships; else nothing can explain."""
    model, beside = bundle.members.get("gbm"), bundle.folder / "explainer"
    if model is None and beside.is_dir():
        model = Gbm.load(beside)
    if not isinstance(model, Gbm):
        return None
    gbm = model
    return lambda panel: [explain(gbm, panel, 0, step) for step in range(1, panel.horizon + 1)]


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
