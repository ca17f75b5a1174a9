"""What models of customer service are fitted on and asked with: a message is a group, its keys are the labels.

Per fold, below features/<fold>/:

    train    text (personal data masked), language ("en", "zh" or another), intent (code), family,
             and one column embedding_<encoder> per encoder
    valid    the same columns, families that train lacks: for early stopping; who needs none may learn from both
    queries  query, text, language, embedding_<encoder>
    pool     query, intent, reject: every label of every query, so a dense cube (n, L + 1); `reject` is 1 in the
             rows of `out_of_scope`
    truth    query, intent, label (1), name, language: one row per query

Beside the folds, labels.json lists the labels: a code is a place in that list. The L intents come first, in
alphabetical order, and `out_of_scope` (code L) last, whether or not there are examples of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from components.core.artifacts import read_json, write_json
from components.core.errors import DataError

KEYS = ("query", "intent")
REJECT = "reject"  # the column of the pool that flags the rows of OUT_OF_SCOPE
OUT_OF_SCOPE = "out_of_scope"
EMBEDDING = "embedding_"  # and the encoder's name
LABELS = "labels.json"

TRAIN_SCHEMA: dict[str, pl.DataType] = {
    "text": pl.String(), "language": pl.String(), "intent": pl.Int32(), "family": pl.String()
}  # fmt: skip
QUERIES_SCHEMA: dict[str, pl.DataType] = {"query": pl.Int32(), "text": pl.String(), "language": pl.String()}
POOL_SCHEMA: dict[str, pl.DataType] = {"query": pl.Int32(), "intent": pl.Int32(), REJECT: pl.Float32()}
TRUTH_SCHEMA: dict[str, pl.DataType] = {
    "query": pl.Int32(), "intent": pl.Int32(), "label": pl.Float64(), "name": pl.String(), "language": pl.String()
}  # fmt: skip


def in_order(intents: Iterable[str]) -> list[str]:
    """The labels by code: intents in alphabetical order, `out_of_scope` last."""
    return [*sorted({*intents} - {OUT_OF_SCOPE}), OUT_OF_SCOPE]


def write_labels(features: Path, labels: Sequence[str]) -> None:
    """Write labels.json; raises DataError where the order is not that of codes."""
    if list(labels) != in_order(labels):
        raise DataError(f"expected labels as in_order gives them, {OUT_OF_SCOPE} last, got {', '.join(labels)}")
    write_json(features / LABELS, list(labels))


def read_labels(features: Path) -> list[str]:
    """The names of the labels by code."""
    found: list[str] = read_json(features / LABELS)
    return found


def encoders_of(frame: pl.DataFrame) -> list[str]:
    """The encoders whose embeddings a train or queries frame has, in its order."""
    return [name.removeprefix(EMBEDDING) for name in frame.columns if name.startswith(EMBEDDING)]


def pool_of(queries: pl.Series, n_labels: int) -> pl.DataFrame:
    """The rows that members score: `n_labels` for every query, out of scope included, by query and code."""
    codes = pl.DataFrame({"intent": pl.Series(range(n_labels), dtype=pl.Int32)})
    rejected = (pl.col("intent") == n_labels - 1).cast(pl.Float32)
    cube = queries.cast(pl.Int32).alias("query").sort().to_frame().join(codes, how="cross", maintain_order="left_right")
    return cube.with_columns(rejected.alias(REJECT))
