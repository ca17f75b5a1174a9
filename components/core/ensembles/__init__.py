"""Ensembles over a pool: select, blend, median, reciprocal-rank fusion (rrf) and stack, for every application.

A pool has one row per key, sorted by group, one nullable column per member (a member that cannot
score a row leaves null) and feature columns. Ensembles learn on out-of-fold rows only and never
load a model. One file each; `ENSEMBLE` at its end names the class.

Where answers are quantiles, what an ensemble says is put in order within each key, is never below 0,
and is shifted by what out-of-fold rows ask for (_conformal.py).
Where they are labels (unit "probability") those named class_* combine them, calibrate what they say and learn what
to reject (_classes.py); the others are not for them.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import polars as pl

from components.core.application import Application, Objective, Unit
from components.core.artifacts import read_json, write_json
from components.core.errors import DataError, ModelError, NotFitted
from components.core.metrics import Asked, group_offsets, ranks_within
from components.core.params import Params, parse


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """What the columns of a pool mean; saved with the ensemble, except what only fit needs."""

    keys: tuple[str, ...]
    members: tuple[str, ...]
    features: tuple[str, ...]
    unit: Unit
    objective: Objective | None = None
    stack: dict[str, Any] = field(default_factory=dict)
    level: str | None = None
    parts: tuple[str, ...] = ()
    scale: str | None = None
    reject: str | None = None

    @classmethod
    def of(cls, application: Application, members: list[str], features: list[str]) -> Self:
        """The pool of an application with these members and features."""
        return cls(
            application.keys,
            tuple(members),
            tuple(features),
            application.unit,
            application.objective,
            dict(application.stack),
            application.level,
            application.parts,
            application.scale,
            application.reject,
        )

    @property
    def needed(self) -> tuple[str, ...]:
        """Features without which no ensemble can tell one kind of row from another."""
        wanted = (self.level, *self.parts, self.scale, self.reject)
        return tuple(dict.fromkeys(name for name in wanted if name is not None))

    def only(self, members: Sequence[str]) -> Self:
        """The pool of an ensemble that heeds these members and no feature of its own."""
        return replace(self, members=tuple(members), features=self.needed)

    def column(self, features: np.ndarray, name: str) -> np.ndarray:
        """One feature's values, (n_rows,)."""
        return features[:, self.features.index(name)]

    def judge(self) -> Objective:
        """What fit maximises; raises NotFitted on a spec that was loaded, which only predicts."""
        if self.objective is None:
            raise NotFitted("a loaded ensemble predicts and has no objective; make a new one to fit")
        return self.objective

    def save(self, folder: Path) -> None:
        """Write pool.json."""
        kept = asdict(self)
        kept.pop("objective")
        if self.reject is None:  # pools without it are written as they were before there was any
            kept.pop("reject")
        write_json(folder / "pool.json", kept)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The spec that `save` wrote; without an objective it predicts but cannot fit."""
        kept = read_json(folder / "pool.json")
        lists = {name: tuple(kept[name]) for name in ("keys", "members", "features", "parts")}
        return cls(**kept | lists)


class Ensemble(Protocol):
    """Combines members' scores; fitted on out-of-fold rows only."""

    params_class: ClassVar[type[Params]]

    @property
    def spec(self) -> PoolSpec:
        """The pool it reads; after fit only the members and features that it heeds."""
        ...

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        """Learn from a pool and its truth (keys, label; a key without truth has label 0)."""
        ...

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Scores (n_rows,) of members (n_rows, n_members; NaN = none) and features (n_rows, n_features)."""
        ...

    def weights(self) -> dict[str, float]:
        """What each member (or feature) counts for, for the report; sums to 1."""
        ...

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


def ensemble_names() -> list[str]:
    """Every ensemble file on disk, by name."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def ensemble_class(name: str) -> type[Any]:
    """`ENSEMBLE` of components/core/ensembles/<name>.py: an Ensemble, made from a PoolSpec and its params."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in ensemble_names():
        raise ModelError(f"expected an ensemble ({', '.join(ensemble_names())}), got {name!r}; correct params.yaml")
    chosen: type[Any] = importlib.import_module(f"components.core.ensembles.{name}").ENSEMBLE
    return chosen


def make_ensemble(name: str, spec: PoolSpec, values: dict[str, Any]) -> Ensemble:
    """An unfitted ensemble with the parameters that params.yaml states; quantiles are made to cover what they claim."""
    chosen = ensemble_class(name)
    params = parse(chosen.params_class, values, f"ensembles.{name}")
    if spec.level is None:
        made: Ensemble = chosen(spec, params)
        return made
    from components.core.ensembles._conformal import Conformal  # it needs this module whole

    return Conformal(chosen(spec, params), spec, params)


def load_ensemble(name: str, folder: Path) -> Ensemble:
    """The ensemble that `save` wrote."""
    chosen: type[Ensemble] = ensemble_class(name)
    if PoolSpec.load(folder).level is not None:
        from components.core.ensembles._conformal import Conformal  # it needs this module whole

        chosen = Conformal
    return chosen.load(folder)


def predict(ensemble: Ensemble, pool: pl.DataFrame) -> pl.DataFrame:
    """The score table of an ensemble: keys and score, in the pool's row order."""
    spec = ensemble.spec
    missing = [column for column in (*spec.keys, *spec.members, *spec.features) if column not in pool.columns]
    if missing:
        raise DataError(f"the pool lacks {', '.join(missing)}, which the ensemble was fitted on; fit it again")
    members, features, offsets = pool_arrays(pool, spec)
    scores = ensemble.combine(members, features, offsets)
    if spec.level is None:
        return pool.select(*spec.keys, score=pl.Series(scores, dtype=pl.Float64))
    ordered = pl.col("score").clip(0).sort().over(spec.keys[:-1])
    return pool.select(*spec.keys, score=pl.Series(scores, dtype=pl.Float64)).with_columns(ordered)


def pool_arrays(pool: pl.DataFrame, spec: PoolSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members (n_rows, n_members) float32 with NaN for null, features likewise, and group offsets."""
    as_floats = pool.select(pl.col([*spec.members, *spec.features]).cast(pl.Float32).fill_null(float("nan")))
    values = as_floats.to_numpy()
    split = len(spec.members)
    return values[:, :split], values[:, split:], group_offsets(pool[spec.keys[0]].to_numpy())


def labels(pool: pl.DataFrame, truth: pl.DataFrame, keys: tuple[str, ...]) -> np.ndarray:
    """The truth's label of every pool row, (n_rows,) float64; 0 where the truth is silent."""
    joined = pool.select(keys).join(truth.select(*keys, "label"), on=list(keys), how="left", maintain_order="left")
    return joined["label"].fill_null(0).to_numpy().astype(np.float64)


def truth_counts(pool: pl.DataFrame, truth: pl.DataFrame, group: str) -> np.ndarray:
    """True keys of each of the pool's groups, (n_groups,) float64, whether the pool holds them or not."""
    counts = truth.filter(pl.col("label") > 0).group_by(group).agg(n=pl.len())
    groups = pool.select(pl.col(group).unique(maintain_order=True))
    joined = groups.join(counts, on=group, how="left", maintain_order="left")
    return joined["n"].fill_null(0).to_numpy().astype(np.float64)


def asked_of(pool: pl.DataFrame, truth: pl.DataFrame, spec: PoolSpec, features: np.ndarray) -> Asked:
    """What an objective needs to know of a pool's rows."""
    return Asked(
        labels(pool, truth, spec.keys),
        group_offsets(pool[spec.keys[0]].to_numpy()),
        truth_counts(pool, truth, spec.keys[0]),
        None if spec.level is None else spec.column(features, spec.level).astype(np.float64),
    )


def parts_of(features: np.ndarray, spec: PoolSpec, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Row numbers of each part, by a name such as "level=0.1 series_class=2"; one part "" without names."""
    if not names:
        return {"": np.arange(len(features))}
    values = np.column_stack([spec.column(features, name) for name in names])
    distinct, codes = np.unique(values, axis=0, return_inverse=True)
    labelled = [" ".join(f"{n}={v:g}" for n, v in zip(names, row, strict=True)) for row in distinct]
    return {label: np.flatnonzero(codes.ravel() == number) for number, label in enumerate(labelled)}


def comparable(members: np.ndarray, offsets: np.ndarray, unit: Unit) -> np.ndarray:
    """Members on one scale. Ranks become the discount 1 / log2(1 + rank), a missing score becomes 0."""
    if unit != "rank":
        return members
    scaled = [1 / np.log2(1 + ranks_within(column, offsets)) for column in members.T]
    return np.nan_to_num(np.column_stack(scaled))
