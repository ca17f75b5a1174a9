"""What was understood of each test message, beside what its customer wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from components.core.application import scores_file
from components.core.classification import outcomes
from components.core.splits import fold_table
from components.support.features.panel import OUT_OF_SCOPE, read_labels

POINTS = 50  # at most, of a curve


def understood(data: Path, name: str, kind: str) -> pl.DataFrame:
    """One row per test message with a label, by query; see `judged`, and its text."""
    queries, truth, pool = (fold_table(data / "features", "test", table) for table in ("queries", "truth", "pool"))
    found = outcomes(pl.read_parquet(scores_file(data, name, kind)), queries, truth, pool)
    rows = judged(found, read_labels(data / "features"))
    return rows.join(queries.select("query", "text"), on="query", how="left", maintain_order="left").sort("query")


def judged(found: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """query, language, wanted, first, decided (names), confidence, certainty, right_first, right, of `outcomes`.

    `first` is the likeliest intent and `confidence` its probability, given that the message is in scope; `decided` may
    be out of scope. `certainty` orders messages by how gladly they are answered: the confidence times how little the
    detector speaks against it.
    """
    names = dict(enumerate(labels))
    first, decided = (pl.col(code).replace_strict(names, return_dtype=pl.String) for code in ("first", "decided"))
    named = found.select(
        "query", "language", "confidence",
        wanted="intent", first=first, decided=decided,
        certainty=pl.col("confidence") * (1 - pl.col("rejection").fill_null(0.0)),
    )  # fmt: skip
    return named.with_columns(
        right_first=pl.col("first") == pl.col("wanted"), right=pl.col("decided") == pl.col("wanted")
    )


def by_intent(rows: pl.DataFrame) -> pl.DataFrame:
    """intent, n, accuracy and precision (null where it was never understood) of `understood`, by name."""
    wanted = rows.group_by(intent="wanted").agg(n=pl.len(), accuracy=pl.col("right").mean())
    decided = rows.group_by(intent="decided").agg(precision=pl.col("right").mean())
    return wanted.join(decided, on="intent", how="left").sort("intent")


def confusion(rows: pl.DataFrame) -> pl.DataFrame:
    """wanted, decided, n: every pair that occurs."""
    return rows.group_by("wanted", "decided").agg(n=pl.len()).sort("wanted", "decided")


def risk_coverage(rows: pl.DataFrame) -> pl.DataFrame:
    """answered, risk: share of messages answered, the surest first, and the share of those that got it wrong.

    Whatever is out of scope counts as wrong when it is answered (El-Yaniv and Wiener 2010). At most POINTS rows.
    """
    ordered = rows.sort("certainty", "query", descending=[True, False])
    wrong = (~ordered["right_first"]).cast(pl.Float64).cum_sum()
    ends = np.unique(np.linspace(0, ordered.height, POINTS + 1).astype(np.int64)[1:])
    ends = ends[ends > 0]
    return pl.DataFrame(
        {"answered": (ends / max(ordered.height, 1)).round(3), "risk": wrong.to_numpy()[ends - 1] / ends}
    )


def in_scope(rows: pl.DataFrame) -> pl.DataFrame:
    """The messages that some intent fits: those of which a probability was promised."""
    return rows.filter(pl.col("wanted") != OUT_OF_SCOPE)


def mistakes(rows: pl.DataFrame, n: int) -> pl.DataFrame:
    """The `n` wrong ones of which it was surest, surest first."""
    return rows.filter(~pl.col("right")).sort("certainty", "query", descending=[True, False]).head(n)
