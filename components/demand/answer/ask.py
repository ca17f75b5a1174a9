"""What a buyer asks of a release and what it answers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from components.demand.answer.drivers import Driver

SHOWN = 60  # characters of a wrong name that an error repeats


def shown(name: str) -> str:
    """A name that somebody sent, quoted, and cut where it is long."""
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")


@dataclass(frozen=True, slots=True)
class Planned:
    """What is planned for one series in one period, instead of what the release knows: covariate and value."""

    series_id: str
    week: date
    changes: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A product without a history, forecast from its category."""

    product_id: str
    category: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class ForecastAsk:
    """What is asked; `horizon` and `quantiles` are the release's own where they are None."""

    series: tuple[str, ...] = ()
    new_products: tuple[NewProduct, ...] = ()
    horizon: int | None = None
    quantiles: tuple[float, ...] | None = None
    promotions: tuple[Planned, ...] = ()
    explain: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Units of one series: values (n_weeks, n_quantiles), ascending in both the weeks and each row.

    `source` says whose history it was forecast from: its own, or the category's where it has none. `drivers` of
    each week, where asked, are of one model's median, which may be one of several that were combined.
    """

    series_id: str
    title: str
    source: Literal["series", "category"]
    category: str | None
    period_days: int
    weeks: tuple[date, ...]
    quantiles: tuple[float, ...]
    values: np.ndarray
    drivers: tuple[list[Driver], ...] | None = None


@dataclass(frozen=True, slots=True)
class OrderAsk:
    """A buyer's question about one series. Exactly one of `service_level` and `costs` may be given.

    Stock in units, times in days; `costs` are (too much, too little) per unit left over and per unit short.
    What is None is the release's own: `review_days`, the service level, and for `day`, that of the order, the
    first one after the data.
    """

    series_id: str
    on_hand: float
    lead_time_days: float
    on_order: float = 0.0
    review_days: float | None = None
    service_level: float | None = None
    costs: tuple[float, float] | None = None
    pack_size: float = 1.0
    minimum_order: float = 0.0
    day: date | None = None
    new_product: NewProduct | None = None
    promotions: tuple[Planned, ...] = ()
