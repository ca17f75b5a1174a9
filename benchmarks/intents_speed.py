"""Milliseconds per message of fitted models and ensembles: one message at a time, processor time, encoder included."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from components.core import ensembles
from components.core.application import ALONE, THROUGH
from components.core.bundle import join_members
from components.core.model import Model, model_class
from components.core.splits import fold_table
from components.support.encoders import encode
from components.support.features.panel import KEYS

N_MESSAGES = 60  # spread evenly over the test


def milliseconds(data: Path, models: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """What one message costs each of `models` and of the ensembles `names`, with the members and encoders it needs."""
    queries, pool = fold_table(data / "features", "test", "queries"), fold_table(data / "features", "test", "pool")
    asked = queries.gather_every(max(queries.height // N_MESSAGES, 1)).head(N_MESSAGES)
    singles = [asked.slice(place, 1) for place in range(asked.height)]
    fitted = {name: model_class("support", name).load(data / "models" / name / "model") for name in models}
    own = {name: typical([_predicts(model, one) for one in singles]) for name, model in fitted.items()}
    encoders = {name: encoders_of(model) for name, model in fitted.items()}
    reading = {
        each: typical([_reads(text, each) for text in asked["text"]]) for each in sorted({*sum(encoders.values(), ())})
    }

    def cost(members: Sequence[str]) -> float:
        needed = {each for member in members for each in encoders[member]}
        return sum(own[member] for member in members) + sum(reading[each] for each in needed)

    answered = {name: model.predict(asked) for name, model in fitted.items()}
    rows = join_members(pool.filter(pl.col("query").is_in(asked["query"].implode())), answered, list(KEYS))
    parts = rows.partition_by("query", maintain_order=True)
    folders = {name: data / "ensembles" / ALONE / name / THROUGH / "model" for name in models}
    folders |= {name: data / "ensembles" / name / "model" for name in names}
    found = {}
    for name, folder in folders.items():
        mixed = ensembles.load_ensemble(THROUGH if name in fitted else name, folder)
        found[name] = cost(mixed.spec.members) + typical([_combines(mixed, part) for part in parts])
    return found


def typical(tasks: Sequence[Callable[[], Any]]) -> float:
    """Median processor milliseconds of the tasks, after a first that warms up."""
    tasks[0]()
    spent = []
    for task in tasks:
        began = time.process_time()
        task()
        spent.append(1000 * (time.process_time() - began))
    return median(spent)


def encoders_of(model: Model) -> tuple[str, ...]:
    """The encoders whose embeddings a model reads; none where it reads the text itself."""
    return tuple(getattr(getattr(model, "params", None), "encoders", ()))


def _predicts(model: Model, one: pl.DataFrame) -> Callable[[], Any]:
    return lambda: model.predict(one)


def _reads(text: str, encoder: str) -> Callable[[], Any]:
    return lambda: encode([text], encoder)


def _combines(mixed: ensembles.Ensemble, part: pl.DataFrame) -> Callable[[], Any]:
    return lambda: ensembles.predict(mixed, part)
