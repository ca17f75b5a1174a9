"""Which products a shop can deliver, from its counts per product and branch."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl


def with_stock(catalogue: pl.DataFrame, tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """The catalogue with a boolean column `in_stock`: some branch has more than none by its newest count.

    A product without any count is taken to be in stock, and so is every product of a shop without the
    table: a list that is not kept says nothing.
    """
    if "stock" not in tables:
        return catalogue.with_columns(in_stock=pl.lit(True))
    counted = catalogue.join(on_hand(tables["stock"]), on="product_id", how="left", maintain_order="left")
    return counted.with_columns(in_stock=pl.col("on_hand").fill_null(1.0) > 0).drop("on_hand")


def on_hand(stock: pl.LazyFrame) -> pl.DataFrame:
    """Units of each counted product over all branches: product_id, on_hand.

    The newest count of each branch holds; one below none counts as none, so that what one branch has
    oversold does not hide what another has.
    """
    newest = (
        stock.drop_nulls("on_hand")
        .group_by("product_id", "store_id")
        .agg(pl.col("on_hand").sort_by("at", "on_hand").last().clip(0))
    )
    return newest.group_by("product_id").agg(pl.col("on_hand").sum()).collect()
