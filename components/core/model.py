"""What a model is, and how one is found by name: its file is its registration."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, cast, runtime_checkable

import polars as pl

from components.core.errors import ModelError
from components.core.params import Params, parse

Refits = Literal["every_fold", "first_and_last"]


@runtime_checkable
class Model(Protocol):
    """One predictor: fitted on a train table, answering with a score table.

    `refits` says how often a model is fitted for out-of-fold scores: at every
    cut-off, or (for costly networks) only at the first and at the test cut-off,
    where the first fit scores every earlier fold. Both are free of leakage.
    """

    params_class: ClassVar[type[Params]]
    refits: ClassVar[Refits]

    def __init__(self, params: Params | None = None) -> None: ...

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        """Learn from `train`; `valid` is for early stopping, `scratch` survives a killed run."""
        ...

    def predict(self, queries: pl.DataFrame) -> pl.DataFrame:
        """The application's keys and `score` (float64), one row per key; raises NotFitted."""
        ...

    def save(self, folder: Path) -> None:
        """Write npy, safetensors, JSON or text into `folder`; raises NotFitted."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that `save` wrote; predicts identically."""
        ...


def model_names(application: str) -> list[str]:
    """Every model file on disk, by name."""
    folder = Path(__file__).parent.parent / application / "models"
    return sorted(path.stem for path in folder.glob("[!_]*.py"))


def model_class(application: str, name: str) -> type[Model]:
    """`MODEL` of components/<application>/models/<name>.py."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in model_names(application):
        known = ", ".join(model_names(application))
        raise ModelError(f"{application} has no model {name!r}; known: {known}. Correct params.yaml")
    module = importlib.import_module(f"components.{application}.models.{name}")
    return cast(type[Model], module.MODEL)


def make_model(application: str, name: str, values: dict[str, Any]) -> Model:
    """An unfitted model with the parameters that params.yaml states."""
    chosen = model_class(application, name)
    return chosen(parse(chosen.params_class, values, f"{application}.models.{name}"))
