"""Splits by global time: everything before a cut-off is history, what follows is the truth.

    oof_1 | oof_2 | ... | validation | test        (each `horizon_days` long, oldest first)

Ensembles learn on the out-of-fold windows, validation chooses, the test window is scored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import polars as pl

from components.core.artifacts import read_json, write_json
from components.core.errors import DataError

Role = Literal["oof", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Fold:
    """One cut-off (UTC): rows at or after it are invisible to whatever is fitted for it."""

    name: str
    role: Role
    cutoff: datetime


def rolling_folds(first: datetime, as_of: datetime, horizon_days: int, n_oof: int) -> list[Fold]:
    """Back-to-back windows that end at `as_of`; raises DataError where history is too short."""
    n_windows = n_oof + 2
    needed = (n_windows + 1) * horizon_days
    if as_of - first < timedelta(days=needed):
        raise DataError(
            f"expected at least {needed} days of history for {n_windows} windows of {horizon_days} days, "
            f"got {(as_of - first).days}; lower split.horizon_days or split.oof_folds"
        )
    names: list[tuple[str, Role]] = [(f"oof_{number + 1}", "oof") for number in range(n_oof)]
    names += [("validation", "validation"), ("test", "test")]
    return [
        Fold(name, role, as_of - timedelta(days=horizon_days * (n_windows - position)))
        for position, (name, role) in enumerate(names)
    ]


def write_folds(folder: Path, folds: Sequence[Fold]) -> None:
    """Write folds.json, oldest first."""
    write_json(folder / "folds.json", [asdict(fold) | {"cutoff": fold.cutoff.isoformat()} for fold in folds])


def read_folds(folder: Path) -> list[Fold]:
    """The folds that featurise wrote, oldest first."""
    return [
        Fold(row["name"], row["role"], datetime.fromisoformat(row["cutoff"]))
        for row in read_json(folder / "folds.json")
    ]


def fold_table(features: Path, fold: str, table: Literal["train", "valid", "queries", "pool", "truth"]) -> pl.DataFrame:
    """One table of one fold: train, valid, queries (what models answer), pool (keys, features) or truth."""
    return pl.read_parquet(features / fold / f"{table}.parquet")
