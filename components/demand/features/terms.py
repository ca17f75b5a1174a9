"""The terms in which weights read data: names of covariates, codes of categories. Each data has its own.

A code of a placement is frequent in one month's data and not in the next; a category's code is its place in
the alphabet of those that sell. Both are told by names here, so that models may rely on what they learned from.
"""

from __future__ import annotations

import polars as pl

from components.core.errors import DataError
from components.demand.features.placements import PLACEMENTS

ABSENT_IS_NONE = (*PLACEMENTS, "campaign")  # kinds of covariates of which saying nothing means that there is none


def in_terms_of(queries: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Queries as those read them who learned from queries like `known`.

    Covariates that `known` has not are left out. Of those that only it has, a placement or campaign counts as 0
    and any other as unknown. A word that it has not met is the code -1.

    Raises:
        DataError: it is about other periods or quantiles, or fewer of them ahead.
    """
    _check(queries, known)
    return _as_coded(_as_told(queries, known), known)


def unsaid(name: str) -> float | None:
    """What it means that nothing is said of a covariate."""
    kind, _, covariate = name.partition("_")
    return 0.0 if kind == "known" and covariate.split("_")[0] in ABSENT_IS_NONE else None


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
    return pl.lit(unsaid(name), pl.Float32).repeat_by(length).alias(name)


def _as_coded(queries: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Statics by the word beside them."""
    for column in [name for name in known.columns if name.startswith("static_")]:
        word = column.removeprefix("static_")
        codes = known.select(word, column).drop_nulls().unique(word)
        joined = queries.drop(column, strict=False).join(codes, on=word, how="left", maintain_order="left")
        queries = joined.with_columns(pl.col(column).fill_null(-1))
    return queries
