"""What all classifiers of messages share: codes of the labels they know, and the score table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import polars as pl

from components.core.errors import DoesNotFit, ModelError, NotFitted
from components.core.model import Refits
from components.support.features.panel import EMBEDDING, encoders_of


class Classifier(ABC):
    """Answers with an unnormalised log score per label; see components.core.model.Model for the contract.

    Labels that its train table did not hold are left out, so it scores the label of what is out of scope only
    where it had examples of that.
    """

    refits: ClassVar[Refits] = "every_fold"
    codes = np.empty(0, np.int32)  # ascending; what the columns of `scores` stand for

    @abstractmethod
    def scores(self, queries: pl.DataFrame) -> np.ndarray:
        """(n, len(codes)) finite; raises NotFitted."""

    def predict(self, queries: pl.DataFrame) -> pl.DataFrame:
        """Score table: query, intent, score; in the order of the queries, then of the labels."""
        scores = self.scores(queries)
        return pl.DataFrame(
            {
                "query": np.repeat(queries["query"].to_numpy(), len(self.codes)),
                "intent": np.tile(self.codes, queries.height),
                "score": scores.astype(np.float64).ravel(),
            },
            schema={"query": pl.Int32, "intent": pl.Int32, "score": pl.Float64},
        )

    def _learn_codes(self, train: pl.DataFrame) -> np.ndarray:
        """Sets `codes`; every row's column, (n,). Raises DoesNotFit for fewer than two labels."""
        codes, columns = np.unique(train["intent"].to_numpy(), return_inverse=True)
        if len(codes) < 2:
            raise DoesNotFit(
                f"{self.name}: expected examples of two intents or more, got {len(codes)}; bring labelled messages"
            )
        self.codes = codes.astype(np.int32)
        return columns.astype(np.int64)

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    def _not_fitted(self) -> NotFitted:
        return NotFitted(f"{self.name}: expected a fitted model; call fit() or load() first")


def both(train: pl.DataFrame, valid: pl.DataFrame | None) -> pl.DataFrame:
    """For models that stop by themselves: what others keep for early stopping are examples like any other."""
    return train if valid is None or valid.is_empty() else pl.concat([train, valid.select(train.columns)])


def embeddings(table: pl.DataFrame, encoders: tuple[str, ...]) -> np.ndarray:
    """The encoders' columns side by side, (n, d) float32; each encoder's part has length one."""
    missing = [name for name in encoders if EMBEDDING + name not in table.columns]
    if missing:
        raise ModelError(
            f"expected embeddings of {', '.join(missing)}, got those of {', '.join(encoders_of(table)) or 'none'}; "
            "name the encoder in support.features.encoders of params.yaml and run featurise again"
        )
    return np.concatenate([table[EMBEDDING + name].to_numpy().astype(np.float32) for name in encoders], axis=1)
