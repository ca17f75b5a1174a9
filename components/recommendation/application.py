"""What the shared stages must know about recommendation, as values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from components.core.application import Application, terms_of
from components.core.bundle import read_bundle
from components.core.errors import DataError
from components.core.gate import Gate
from components.core.metrics import ndcg_objective
from components.core.params import Params, parse
from components.recommendation.answer.answerer import Answerer, request_milliseconds
from components.recommendation.answer.logged import logged_keys
from components.recommendation.answer.prepared import prepare
from components.recommendation.evaluation.outcomes import KEYS, outcomes, summary
from components.recommendation.features.folds import featurise

CATALOGUE = "catalogue.parquet"
METRICS = (
    "ndcg@10", "recall@10", "precision@10", "f1@10", "phr@10",
    "ndcg@20", "recall@20", "precision@20", "f1@20", "phr@20",
    "repeat_recall@10", "explore_recall@10", "explore_list_recall@10", "novelty@10",
)  # fmt: skip

PREPARED = 20  # items of each known customer: two pages of ten


class GateParams(Params):
    """Rules before a release; slack is how much worse than the live release it may be."""

    ndcg_floor: float = Field(0.0, ge=0, description="nDCG@10 over known and new customers.")
    phr_floor: float = Field(0.0, ge=0, description="Share of customers with at least one hit in ten.")
    slack: float = Field(0.003, ge=0, description="nDCG@10 that may be lost against the live release.")
    slice_slack: float = Field(0.015, ge=0, description="The same within one protected slice.")
    protected: tuple[str, ...] = ("history=1-9 baskets", "history=10-49 baskets", "history=50+ baskets")
    ms_per_query: float = Field(50.0, gt=0, description="Processor time of one request that is not prepared.")
    max_mb: float = Field(2000.0, gt=0)
    slower: float = Field(3.0, ge=1, description="At most so many times the live release's processor time, and 5 ms.")
    larger: float = Field(2.0, ge=1, description="At most so many times the live release's size, and 50 MB.")
    off_policy_slack: float | None = Field(
        None,
        ge=0,
        description="Hits per shown product that logged answers may say, beyond doubt, to be lost against the live "
        "release; null asks for no second opinion.",
    )


def gates(values: Mapping[str, Any]) -> Sequence[Gate]:
    """Floors and slacks as rules."""
    chosen = parse(GateParams, dict(values), "recommendation.gates")
    return [
        Gate("ndcg@10", "higher", chosen.ndcg_floor, chosen.slack),
        Gate("phr@10", "higher", chosen.phr_floor, 4 * chosen.slack),
        *[Gate(f"{name}/ndcg@10", "higher", None, chosen.slice_slack) for name in chosen.protected],
        Gate("ms_per_query", "lower", chosen.ms_per_query, 5.0, share=chosen.slower - 1),
        Gate("mb", "lower", chosen.max_mb, 50.0, share=chosen.larger - 1),
    ]


def package(features: Path, bundle: Path) -> None:
    """What the service needs beside the models: catalogue, statistics, histories as of now, prepared answers.

    Raises DataError where the weights learned from a catalogue with other codes.
    """
    _check_codes(terms_of(features, CATALOGUE), features / CATALOGUE)
    shutil.copy(features / "catalogue.parquet", bundle / "catalogue.parquet")
    for part in ("statistics", "histories"):
        shutil.copytree(features / "now" / part, bundle / part)
    answerer = Answerer.of(read_bundle(bundle))
    prepare(answerer, PREPARED + answerer.exploration.reach).save(bundle / "answers")


def _check_codes(learned: Path, today: Path) -> None:
    """A code is a place in the catalogue: with other products, weights would speak of others than they mean."""
    then, now = (pl.read_parquet(path, columns=["product_id", "item"]) for path in (learned, today))
    if not then.equals(now):
        fresh = now.join(then, on="product_id", how="anti").height
        raise DataError(
            f"expected the catalogue that the weights learned from, but {fresh:,} products are new and "
            f"{then.height - now.height + fresh:,} are gone; train again: a refresh needs the same products"
        )


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
    gates=lambda values, features: gates(values),
    logged_keys=logged_keys,
)  # fmt: skip
