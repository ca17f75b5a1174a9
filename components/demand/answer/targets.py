"""Who is asked for: series and products by their ids, new products by their category, and what is like a wrong name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core.errors import DataError
from components.demand.answer.ask import ForecastAsk, NewProduct, UnknownName
from components.demand.answer.expected import Expected, Whose
from components.demand.answer.nearest import Names


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that was asked for, and the row of the series or the categories that answers for it."""

    series_id: str
    title: str
    category: str | None
    source: Whose
    row: int


class Targets:
    """Everything that a release can be asked for."""

    def __init__(self, series: Expected, categories: Expected) -> None:
        self._series, self._categories = series, categories
        self._ids = list(series.row_of)
        self._products = series.rows_of_products()
        self.series_of = {product: [self._ids[row] for row in rows] for product, rows in self._products.items()}
        self._folded = {name.casefold(): name for name in categories.row_of}
        self._names = Names(list(series.row_of), series.titles())
        self._category_names = Names(list(categories.row_of), list(categories.row_of))

    def of(self, ask: ForecastAsk) -> list[Target]:
        """Every series and new product, once each; raises UnknownName, or DataError where nothing can answer."""
        if not ask.series and not ask.new_products:
            raise DataError("series: expected at least one series or new product; name it by its id")
        found: dict[str, Target] = {}
        for number, name in enumerate(ask.series):
            for target in self.named(name, f"series.{number}"):
                found.setdefault(target.series_id, target)
        for number, product in enumerate(ask.new_products):
            target = self.new(product, f"new_products.{number}")
            found.setdefault(target.series_id, target)
        return list(found.values())

    def named(self, name: str, field: str) -> list[Target]:
        """The series of that id, or all series of the product of that id."""
        known = self._series.row_of
        rows = [known[name]] if name in known else self._products.get(name, [])
        if not rows:
            raise _unknown(field, "series", name, self._names, list(known))
        return [self._of_series(row, field) for row in rows]

    def new(self, product: NewProduct, field: str) -> Target:
        """A product that the release does not know; one that it knows is forecast from its own history."""
        if product.product_id in self._series.row_of:
            return self._of_series(self._series.row_of[product.product_id], field)
        category = self._folded.get(product.category.casefold())
        if category is None:
            known = list(self._categories.row_of)
            raise _unknown(f"{field}.category", "category", product.category, self._category_names, known)
        title = product.title or product.product_id
        return Target(product.product_id, title, category, "category", self._categories.row_of[category])

    def _of_series(self, row: int, field: str) -> Target:
        """The series, or its category where what ships cannot forecast the series."""
        name, category = self._ids[row], self._series.text("category", row)
        title = self._series.text("title", row) or name
        if np.isfinite(self._series.values[row]).all():
            return Target(name, title, category, "series", row)
        stand_in = self._categories.row_of.get(category or "")
        if stand_in is None:
            raise DataError(
                f"{field}: no model of the release can forecast {name!r}, and it has no category to go by; "
                "send it under another id as a new product with a category"
            )
        return Target(name, title, category, "category", stand_in)


def _unknown(field: str, what: str, name: str, names: Names, some: list[str]) -> UnknownName:
    nearest = names.nearest(name)
    said = [f"{key} ({title})" if title != key else key for key, title in nearest]
    remedy = f"nearest are {', '.join(said)}" if said else f"it knows such as {', '.join(some[:3]) or 'none'}"
    more = "; a product without a history can be sent as a new product" if what == "series" else ""
    return UnknownName(field, f"no {what} {name!r} in the release", remedy + more, nearest)
