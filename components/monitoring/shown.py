"""What a release shows: facts of its answers and the keys it prefers, counted by day."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from components.feedback.rewards import FORECAST
from components.monitoring.drift import Distribution, of_keys, of_words

SCHEMA = {"release": pl.String, "day": pl.Date, "what": pl.String, "word": pl.String, "weight": pl.Float64}
KEYS, ANSWERS = "shown", "answers"
CHAMPION = pl.col("payload").str.json_path_match("$.role") == "champion"

_KEY = pl.Struct({"key": pl.String, "propensity": pl.Float64})


def shown(impressions: pl.DataFrame) -> pl.DataFrame:
    """Rows of SCHEMA: answers, answers by facet, and shown keys by the propensity with which each was shown.

    What a policy shows by chance weighs little, so that exploring does not look like drift. All keys of an answer
    weigh as much as one answer, since they were not chosen one by one. Only champions' answers count; a forecast
    counts for its series, whatever the period.
    """
    payload = pl.col("payload").str
    answers = impressions.filter((pl.col("kind") == "impression") & CHAMPION).select(
        release=payload.json_path_match("$.release"),
        day=pl.col("at").dt.date(),
        facets=payload.json_path_match("$.facets"),
        shown=payload.json_path_match("$.shown").str.json_decode(pl.List(_KEY)),
    )
    answers = answers.drop_nulls("release")
    return added(_empty(), pl.concat([_answers(answers), _facets(answers), _keys(answers)]))


def added(before: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """Both tables as one, equal rows summed, in one order."""
    keys = [name for name in SCHEMA if name != "weight"]
    return pl.concat([before, more]).group_by(keys).agg(pl.col("weight").sum()).sort(keys)


def between(table: pl.DataFrame, release: str, first: date, end: date) -> dict[str, dict[Any, float]]:
    """{fact: {word: weight}} of a release's answers from `first` on and before `end`."""
    chosen = table.filter((pl.col("release") == release) & (pl.col("day") >= first) & (pl.col("day") < end))
    # rounded, so that in which pieces they were summed does not decide which of two equal keys comes first
    summed = chosen.group_by("what", "word").agg(pl.col("weight").sum().round(9)).sort("what", "word")
    found: dict[str, dict[Any, float]] = {}
    for what, word, weight in summed.iter_rows():
        found.setdefault(what, {})[word] = weight
    return found


def reference(
    earlier: Mapping[str, Mapping[Any, float]], later: Mapping[str, Mapping[Any, float]]
) -> dict[str, Distribution]:
    """What answers are compared with: facets of both spans, keys in the order of the first as the second has them."""
    found = {
        name: of_words(dict(Counter(earlier.get(name) or {}) + Counter(later.get(name) or {})))
        for name in {*earlier, *later} - {KEYS}
    }
    return found | {KEYS: of_keys(earlier.get(KEYS) or {}, later.get(KEYS) or {})}


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=SCHEMA)


def _answers(answers: pl.DataFrame) -> pl.DataFrame:
    """How many there were, as one word."""
    tally = answers.group_by("release", "day").agg(weight=pl.len().cast(pl.Float64))
    return tally.select("release", "day", pl.lit(ANSWERS).alias("what"), pl.lit("").alias("word"), "weight")


def _facets(answers: pl.DataFrame) -> pl.DataFrame:
    """Different facets are few, so each text is parsed once."""
    tally = answers.drop_nulls("facets").group_by("release", "day", "facets").len()
    rows = [
        (release, day, name, str(word), float(n))
        for release, day, text, n in tally.iter_rows()
        for name, word in (json.loads(text) or {}).items()
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _keys(answers: pl.DataFrame) -> pl.DataFrame:
    listed = answers.select("release", "day", "shown", of=pl.col("shown").list.len())
    keys = listed.explode("shown").drop_nulls("shown").unnest("shown")
    word, share = pl.col("key").str.replace(FORECAST, ""), pl.col("propensity").fill_null(1.0) / pl.col("of")
    weighed = keys.group_by("release", "day", word=word).agg(weight=share.sum())
    return weighed.select("release", "day", pl.lit(KEYS).alias("what"), "word", "weight")
