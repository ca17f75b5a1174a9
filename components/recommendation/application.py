"""What the shared stages must know about recommendation, as values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from components.core.application import Application
from components.core.bundle import read_bundle
from components.core.gate import Gate
from components.core.metrics import ndcg_objective, ranking_outcomes
from components.core.params import Params, parse
from components.recommendation.answer import Answerer, request_milliseconds
from components.recommendation.features import featurise
from components.recommendation.prepared import prepare

KEYS = ("query", "item")
METRICS = (
    "ndcg@10", "recall@10", "precision@10", "f1@10", "phr@10",
    "ndcg@20", "recall@20", "precision@20", "f1@20", "phr@20",
    "repeat_recall@10", "explore_recall@10", "explore_list_recall@10", "novelty@10",
)  # fmt: skip
HISTORY = [("none", 0), ("1-9 baskets", 9), ("10-49 baskets", 49)]  # longer ones: "50+ baskets"


class GateParams(Params):
    """Rules before a release; slack is how much worse than the live release it may be."""

    ndcg_floor: float = Field(0.0, ge=0, description="nDCG@10 over known and new customers.")
    phr_floor: float = Field(0.0, ge=0, description="Share of customers with at least one hit in ten.")
    slack: float = Field(0.003, ge=0, description="nDCG@10 that may be lost against the live release.")
    slice_slack: float = Field(0.015, ge=0, description="The same within one protected slice.")
    protected: tuple[str, ...] = ("history=1-9 baskets", "history=10-49 baskets", "history=50+ baskets")
    ms_per_query: float = Field(50.0, gt=0, description="Processor time of one request that is not prepared.")
    max_mb: float = Field(2000.0, gt=0)


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


def gates(values: Mapping[str, Any]) -> Sequence[Gate]:
    """Floors and slacks as rules."""
    chosen = parse(GateParams, dict(values), "recommendation.gates")
    return [
        Gate("ndcg@10", "higher", chosen.ndcg_floor, chosen.slack),
        Gate("phr@10", "higher", chosen.phr_floor, 4 * chosen.slack),
        *[Gate(f"{name}/ndcg@10", "higher", None, chosen.slice_slack) for name in chosen.protected],
        Gate("ms_per_query", "lower", chosen.ms_per_query, float("inf")),
        Gate("mb", "lower", chosen.max_mb, float("inf")),
    ]


def package(features: Path, bundle: Path) -> None:
    """What the service needs beside the models: catalogue, statistics, histories as of now, prepared answers."""
    shutil.copy(features / "catalogue.parquet", bundle / "catalogue.parquet")
    for part in ("statistics", "histories"):
        shutil.copytree(features / "now" / part, bundle / part)
    prepare(Answerer.of(read_bundle(bundle))).save(bundle / "answers")


APPLICATION = Application(
    name="recommendation",
    keys=KEYS,
    tables=("transactions", "products"),
    optional=("behaviour", "stock"),
    unit="rank",
    metrics=dict.fromkeys(METRICS, "higher"),
    slices=("audience", "history"),
    featurise=featurise,
    outcomes=outcomes,
    summary=summary,
    objective=ndcg_objective(10),
    stack={
        "objectives": [
            {"objective": "lambdarank", "lambdarank_truncation_level": 20},
            {"objective": "binary"},
        ]
    },
    package=package,
    milliseconds=lambda bundle: request_milliseconds(Answerer.load(bundle)),
    gates=gates,
)  # fmt: skip
