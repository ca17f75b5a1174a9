"""What is released: one folder from which the shipped model or ensemble answers, anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from components.core import ensembles
from components.core.application import load_application
from components.core.artifacts import read_json, verify
from components.core.errors import ArtifactError
from components.core.model import Model, model_class

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Bundle:
    """Members, the ensemble over them (None where a single model ships), and the manifest."""

    folder: Path
    manifest: dict[str, Any]
    members: dict[str, Model]
    ensemble: ensembles.Ensemble | None

    def predict(self, queries: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
        """Score table over the pool's rows; rows that a single model cannot score are left out."""
        keys = list(load_application(self.manifest["application"]).keys)
        if self.ensemble is None:
            (model,) = self.members.values()
            return pool.select(keys).join(model.predict(queries), on=keys, how="inner", maintain_order="left")
        return ensembles.predict(
            self.ensemble, join_members(pool, {name: m.predict(queries) for name, m in self.members.items()}, keys)
        )


def join_members(pool: pl.DataFrame, scores: dict[str, pl.DataFrame], keys: list[str]) -> pl.DataFrame:
    """The pool with one nullable column per member, in the pool's row order."""
    for name, table in scores.items():
        pool = pool.join(table.select(*keys, pl.col("score").alias(name)), on=keys, how="left", maintain_order="left")
    return pool


def load_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`; raises ArtifactError where a byte differs from what was sealed."""
    verify(folder)
    return read_bundle(folder)


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder` while it is being packaged: not sealed yet, so nothing is compared."""
    manifest = read_json(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder}: expected format {FORMAT}, got {manifest.get('format')}; release it again")
    application = manifest["application"]
    members = {name: model_class(application, name).load(folder / "members" / name) for name in manifest["members"]}
    shipped = manifest["shipped"]
    ensemble = None
    if shipped["kind"] == "ensemble":
        ensemble = ensembles.ensemble_class(shipped["name"]).load(folder / "ensemble")
    return Bundle(folder, manifest, members, ensemble)
