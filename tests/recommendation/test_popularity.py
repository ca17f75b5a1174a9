"""Popularity: arithmetic that can be done by hand."""

from __future__ import annotations

import polars as pl
import pytest

from components.recommendation.models.popularity import Popularity, PopularityParams


def test_counts_halve_with_each_half_life(queries_of) -> None:
    train = pl.DataFrame(
        {
            "customer": [1, 1, None, 2],
            "basket": [0, 1, 2, 3],
            "item": [0, 1, 1, 3],
            "days_ago": [0.0, 10.0, 20.0, 10.0],
            "weight": [1.0, 1.0, 1.0, 0.5],
        }
    )
    queries = queries_of(train, [0, 1, 2, 3])
    answer = Popularity(PopularityParams(half_life_days=10)).fit(train).predict(queries)
    for query in (1, 2):
        scores = answer.filter(pl.col("query") == query).sort("item")["score"].to_list()
        assert scores == pytest.approx([1.0, 0.5 + 0.25, 0.0, 0.25])
