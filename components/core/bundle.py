"""What is released: one folder from which the shipped model or ensemble answers, anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """Members, the ensemble that they answer through (None where a single model does by itself), and the manifest."""

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
    """The bundle in `folder` while it is being packaged: not sealed yet, so nothing is compared.

    Raises ArtifactError where a part was written by another version of the project and cannot be read.
    """
    manifest = read_json(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder}: expected format {FORMAT}, got {manifest.get('format')}; release it again")
    with _readable("manifest.json", folder):
        application, shipped, names = manifest["application"], manifest["shipped"], list(manifest["members"])
    members = dict[str, Model]()
    for name in names:
        with _readable(name, folder / "members" / name):
            members[name] = model_class(application, name).load(folder / "members" / name)
    ensemble = None
    through = shipped["name"] if shipped["kind"] == "ensemble" else shipped.get("through")
    if through is not None:
        with _readable(through, folder / "ensemble"):
            ensemble = ensembles.load_ensemble(through, folder / "ensemble")
    return Bundle(folder, manifest, members, ensemble)


@contextmanager
def _readable(what: str, folder: Path) -> Iterator[None]:
    """Whatever goes wrong within is an ArtifactError: an old format may fail in any way, and has a remedy."""
    try:
        yield
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"{folder}: expected {what} as this version of the project writes it, "
            f"got {type(error).__name__}: {error}; package and release it again"
        ) from error
