"""How good each list was: one row per query, from which every figure is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from components.core.metrics import ranking_outcomes

KEYS = ("query", "item")
HISTORY = [("none", 0), ("1-9 baskets", 9), ("10-49 baskets", 49)]  # longer ones: "50+ baskets"


def outcomes(scores: pl.DataFrame, queries: pl.DataFrame, truth: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """One row per query of `truth`: measures at 10 and 20, repeat and explore apart, and slices.

    explore_recall@10 counts never-bought items in the one list of ten; explore_list_recall@10 is
    that of a list of never-bought items alone. Both are null where the basket held none.
    """
    events = queries.select("query", item="items", weight="weights").filter(pl.col("item").list.len() > 0)
    owned = events.explode("item", "weight").filter(pl.col("weight") >= 1).select(KEYS).unique()
    overall = ranking_outcomes(scores, truth, KEYS)
    ten = (
        scores.sort("query", "score", "item", descending=[False, True, False])
        .group_by("query", maintain_order=True)
        .head(10)
    )
    repeat, explore = truth.join(owned, on=KEYS, how="semi"), truth.join(owned, on=KEYS, how="anti")
    unowned = scores.join(owned, on=KEYS, how="anti")
    parts = [
        _recall(ten, repeat, "repeat_recall@10"),
        _recall(ten, explore, "explore_recall@10"),
        ranking_outcomes(unowned, explore, KEYS, ks=(10,)).select(
            "query", pl.col("recall@10").alias("explore_list_recall@10")
        ),
        _novelty(ten, pool),
    ]
    for part in parts:
        overall = overall.join(part, on="query", how="left", maintain_order="left")
    return overall.join(queries.select("query", "audience", **_slices()), on="query", how="left", maintain_order="left")


def _slices() -> dict[str, pl.Expr]:
    length: Any = pl
    for name, most in HISTORY:
        length = length.when(pl.col("n_baskets") <= most).then(pl.lit(name))
    return {"history": length.otherwise(pl.lit("50+ baskets")), "headline": pl.col("audience") != "anonymous"}


def _recall(listed: pl.DataFrame, truth: pl.DataFrame, name: str) -> pl.DataFrame:
    hits = truth.join(listed.select(KEYS), on=KEYS, how="semi").group_by("query").agg(n_hits=pl.len())
    asked = truth.group_by("query").agg(n_true=pl.len()).join(hits, on="query", how="left")
    return asked.select("query", (pl.col("n_hits").fill_null(0) / pl.col("n_true")).alias(name))


def _novelty(ten: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """Mean self-information of the list, bits (Zhou et al. 2010): -log2 of the share of buyers."""
    bits = -((pl.col("item_buyers") + 1) / (pl.col("item_buyers").max() + 1)).log(2)
    known = pool.select("query", "item", bits=bits)
    return ten.join(known, on=KEYS, how="left").group_by("query").agg(pl.col("bits").mean().alias("novelty@10"))


def summary(scores: pl.DataFrame, features: Path) -> dict[str, float]:
    """Measures of all lists together: the share of the catalogue that reaches some list of ten."""
    ranked = scores.sort("query", "score", "item", descending=[False, True, False])
    shown = ranked.group_by("query", maintain_order=True).head(10)["item"].n_unique()
    n_items = pl.scan_parquet(features / "catalogue.parquet").select(pl.len()).collect().item()
    return {"coverage@10": shown / max(n_items, 1)}
