"""One release's rows in another's terms: codes and covariates are those of the data that a release was made from.

A code of a placement is frequent in one month's data and not in the next; a category's code is its place in
the alphabet of those that sell. Both are told by names here, so that models may rely on what they learned from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from components.core.errors import DataError
from components.demand.features.placements import PLACEMENTS

Back = Callable[[pl.DataFrame], pl.DataFrame]

ABSENT_IS_NONE = (*PLACEMENTS, "campaign")  # kinds of covariates of which saying nothing means that there is none


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
    _check(queries, known)
    return _as_coded(_as_told(queries, known), known), _with_features(pool, known), lambda scores: scores


def same_terms(ours: Path, theirs: Path) -> bool:
    """Whether weights that were trained for the bundle `theirs` may stay in the bundle `ours`."""
    queries, known = (pl.read_parquet(folder / "queries.parquet") for folder in (ours, theirs))
    try:
        _check(queries, known)
    except DataError:
        return False
    told = [name for name in queries.columns if name.startswith(("known_", "past_", "static_"))]
    told_then = [name for name in known.columns if name.startswith(("known_", "past_", "static_"))]
    return told == told_then and _as_coded(queries, known).select(told).equals(queries.select(told))


def _check(queries: pl.DataFrame, known: pl.DataFrame) -> None:
    """Raise DataError where no renaming helps."""
    (asked, learned) = (frame.row(0, named=True) for frame in (queries, known))
    for name in ("period_days", "quantiles"):
        if asked[name] != learned[name]:
            raise DataError(f"expected {name} {learned[name]}, which it was trained for, got {asked[name]}")
    if asked["horizon"] > learned["horizon"]:
        raise DataError(f"expected at most {learned['horizon']} periods ahead, got {asked['horizon']}")


def _as_told(queries: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Known and past covariates by name, in the order of `known`."""
    told = [name for name in known.columns if name.startswith(("known_", "past_"))]
    absent = [_silent(name) for name in told if name not in queries.columns]
    others = [name for name in queries.columns if not name.startswith(("known_", "past_"))]
    return queries.with_columns(absent).select(*others, *told)


def _silent(name: str) -> pl.Expr:
    """A list that says nothing, over history and, for what is known in advance, the horizon."""
    length = pl.col("y").list.len() + (pl.col("horizon") if name.startswith("known_") else 0)
    return pl.lit(_fill(name), pl.Float32).repeat_by(length).alias(name)


def _fill(name: str) -> float | None:
    kind, _, covariate = name.partition("_")
    return 0.0 if kind == "known" and covariate.split("_")[0] in ABSENT_IS_NONE else None


def _as_coded(queries: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Statics by the word beside them."""
    for column in [name for name in known.columns if name.startswith("static_")]:
        word = column.removeprefix("static_")
        codes = known.select(word, column).drop_nulls().unique(word)
        joined = queries.drop(column, strict=False).join(codes, on=word, how="left", maintain_order="left")
        queries = joined.with_columns(pl.col(column).fill_null(-1))
    return queries


def _with_features(pool: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The pool with every covariate that an ensemble may have learned from."""
    told = [name for name in known.columns if name.startswith("known_") and name not in pool.columns]
    return pool.with_columns(pl.lit(_fill(name), pl.Float32).alias(name) for name in told)
