"""Who is asked for: series and products by their ids, new products by their category, and what is like a wrong name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from components.core.errors import DataError, UnknownName
from components.demand.answer.ask import ForecastAsk, NewProduct, shown
from components.demand.answer.expected import Expected, Whose
from components.demand.answer.nearest import Names

MOST = 1000  # series in one answer


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that was asked for in `field`, and the row of the series or the categories that answers for it."""

    series_id: str
    title: str
    category: str | None
    source: Whose
    row: int
    field: str


class Targets:
    """Everything that a release can be asked for.

    `catalogue` has product_id, title and category: products that may have no series, but whose category is known.
    """

    def __init__(self, series: Expected, categories: Expected, catalogue: pl.DataFrame | None = None) -> None:
        self._series, self._categories = series, categories
        self._ids = list(series.row_of)
        self._products = series.rows_of_products()
        self.series_of = {product: [self._ids[row] for row in rows] for product, rows in self._products.items()}
        self._folded = {name.casefold(): name for name in categories.row_of}
        self._names = Names(list(series.row_of), series.titles())
        self._category_names = Names(list(categories.row_of), list(categories.row_of))
        self._catalogue = {} if catalogue is None else _by_product(catalogue, list(categories.row_of))

    def count(self, ask: ForecastAsk) -> int:
        """How many series an answer would have; unknown names count as one."""
        return len(ask.new_products) + sum(len(self._products.get(name, [0])) for name in ask.series)

    def of(self, ask: ForecastAsk) -> list[Target]:
        """Every series and new product, once each, MOST at most; raises UnknownName, or DataError."""
        if not ask.series and not ask.new_products:
            raise DataError("series: expected at least one series or new product; name it by its id")
        found: dict[str, Target] = {}
        for targets in self._each(ask):
            for target in targets:
                found.setdefault(target.series_id, target)
            if len(found) > MOST:
                raise DataError(f"series: expected at most {MOST} in one request, got more; ask in several requests")
        return list(found.values())

    def _each(self, ask: ForecastAsk) -> Iterator[list[Target]]:
        for number, name in enumerate(ask.series):
            yield self.named(name, f"series.{number}")
        for number, product in enumerate(ask.new_products):
            yield self.new(product, f"new_products.{number}.")

    def named(self, name: str, field: str) -> list[Target]:
        """The series of that id, all series of the product of that id, or else the product's category."""
        known = self._series.row_of
        rows = [known[name]] if name in known else self._products.get(name, [])
        if rows:
            return [self._of_series(row, field) for row in rows]
        if name in self._catalogue:
            title, category = self._catalogue[name]
            return [Target(name, title, category, "category", self._categories.row_of[category], field)]
        raise _unknown(field, "series", name, self._names, list(known))

    def new(self, product: NewProduct, place: str) -> list[Target]:
        """A product that the release has no history of; one that it has is forecast from its own.

        `place` comes before the names of its fields.
        """
        if product.product_id in self._series.row_of or product.product_id in self._products:
            return self.named(product.product_id, f"{place}product_id")
        category = self._folded.get(product.category.casefold())
        if category is None:
            known = list(self._categories.row_of)
            raise _unknown(f"{place}category", "category", product.category, self._category_names, known)
        usual = self._catalogue.get(product.product_id, (product.product_id, ""))[0]
        row = self._categories.row_of[category]
        return [Target(product.product_id, product.title or usual, category, "category", row, f"{place}category")]

    def _of_series(self, row: int, field: str) -> Target:
        """The series, or its category where what ships cannot forecast the series."""
        name, category = self._ids[row], self._series.text("category", row)
        title = self._series.text("title", row) or name
        if np.isfinite(self._series.values[row]).all():
            return Target(name, title, category, "series", row, field)
        stand_in = self._categories.row_of.get(category or "")
        if stand_in is None:
            raise DataError(
                f"{field}: no model of the release can forecast {name!r}, and it has no category to go by; "
                "send it under another id as a new product with a category"
            )
        return Target(name, title, category, "category", stand_in, field)


def _by_product(catalogue: pl.DataFrame, categories: list[str]) -> dict[str, tuple[str, str]]:
    """Title and category of each product whose category can be forecast."""
    known = catalogue.filter(pl.col("category").is_in(categories))
    rows = known.select("product_id", pl.coalesce("title", "product_id"), "category").iter_rows()
    return {product: (title, category) for product, title, category in rows}


def _unknown(field: str, what: str, name: str, names: Names, some: list[str]) -> UnknownName:
    nearest = names.nearest(name)
    said = [f"{key} ({title})" if title != key else key for key, title in nearest]
    remedy = f"nearest are {', '.join(said)}" if said else f"it knows such as {', '.join(some[:3]) or 'none'}"
    more = "; a product without a history can be sent as a new product" if what == "series" else ""
    return UnknownName(field, f"no {what} {shown(name)} in the release", remedy + more, nearest)
