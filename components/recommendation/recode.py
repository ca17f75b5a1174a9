"""One release's rows in another's item codes: a code is a position in a catalogue, and catalogues grow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from components.recommendation.features.histories import LISTS

Back = Callable[[pl.DataFrame], pl.DataFrame]


def recode(
    ours: Path, theirs: Path, queries: pl.DataFrame, pool: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, Back]:
    """Queries and pool in the codes of the bundle `theirs`, and the way back for its scores.

    Products that `theirs` does not know are left out: it has never heard of them, so it cannot rank them.

    Args:
        ours: the bundle whose codes the rows carry.
        theirs: the bundle that shall score them.
    """
    mine, other = _codes(ours), _codes(theirs)
    if mine.equals(other):
        return queries, pool, lambda scores: scores
    codes = mine.join(other.rename({"item": "their_item"}), on="product_id").select("item", "their_item")
    queries = _recode_lists(_recode_lists(queries, "items", LISTS, codes), "candidates", ("candidates",), codes)
    return queries, _recode_column(pool, codes), lambda scores: _recode_column(scores, _reversed(codes))


def _codes(bundle: Path) -> pl.DataFrame:
    return pl.read_parquet(bundle / "catalogue.parquet").select("product_id", "item")


def _recode_lists(queries: pl.DataFrame, name: str, together: tuple[str, ...], codes: pl.DataFrame) -> pl.DataFrame:
    """The list column `name` in new codes; columns `together` lose the same elements."""
    flat = queries.select("query", *together).filter(pl.col(name).list.len() > 0).explode(together)
    coded = flat.join(codes, left_on=name, right_on="item", how="inner", maintain_order="left")
    coded = coded.with_columns(pl.col("their_item").cast(flat.schema[name]).alias(name)).drop("their_item")
    lists = coded.group_by("query", maintain_order=True).agg(together)
    joined = queries.drop(together).join(lists, on="query", how="left", maintain_order="left")
    empty = [pl.col(column).fill_null(pl.lit([], dtype=queries.schema[column])) for column in together]
    return joined.with_columns(empty).select(queries.columns)


def _recode_column(table: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    joined = table.join(codes, on="item", how="inner", maintain_order="left")
    return joined.with_columns(pl.col("their_item").cast(table.schema["item"]).alias("item")).select(table.columns)


def _reversed(codes: pl.DataFrame) -> pl.DataFrame:
    return codes.select(item="their_item", their_item="item")
