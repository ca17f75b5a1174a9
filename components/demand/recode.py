"""One release's rows in another's terms: codes and covariates are those of the data that its weights learned from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from components.demand.features.terms import in_terms_of, unsaid

Back = Callable[[pl.DataFrame], pl.DataFrame]


def recode(
    ours: Path, theirs: Path, queries: pl.DataFrame, pool: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, Back]:
    """Queries and pool as the bundle `theirs` learned to read them; its scores need no way back.

    Covariates that it does not know are left out. Of those that only it knows, a placement or campaign counts as
    0 and any other as unknown. A word that it has not met is the code -1.

    Args:
        ours: the bundle that the rows belong to.
        theirs: the bundle that shall score them.

    Raises:
        DataError: it forecasts other periods or quantiles, or fewer of them ahead.
    """
    known = pl.read_parquet(theirs / "queries.parquet")
    return in_terms_of(queries, known), _with_features(pool, known), lambda scores: scores


def _with_features(pool: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The pool with every covariate that an ensemble may have learned from."""
    told = [name for name in known.columns if name.startswith("known_") and name not in pool.columns]
    return pool.with_columns(pl.lit(unsaid(name), pl.Float32).alias(name) for name in told)
