"""From the chance of a product at its place to that of being in the list at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.recommendation.answer.exploration import Exploration
from components.recommendation.answer.logged import logged_keys, shown_chances


@pytest.mark.parametrize(
    ("share", "depth", "shuffle_share", "n"),
    [
        (0.05, 10, 0.0, 10),
        (0.05, 10, 0.3, 10),
        (0.4, 3, 0.0, 5),
        (0.2, 8, 1.0, 4),
        (0.0, 10, 0.5, 6),
        (0.3, 20, 0.1, 1),
    ],
)
def test_chances_are_those_of_all_places_together(share: float, depth: int, shuffle_share: float, n: int) -> None:
    policy = Exploration(share=share, depth=depth, shuffle_share=shuffle_share)
    m = policy.reach
    for rank in range(n + m):
        logged = np.array([policy.propensity(rank, place, n, m) for place in range(n)])
        chances = shown_chances(policy, logged[logged > 0], np.full((logged > 0).sum(), n))
        assert chances == pytest.approx(np.full(len(chances), logged.sum())), f"rank {rank}"


def test_what_was_not_drawn_was_certain() -> None:
    policy = Exploration(share=0.05, shuffle_share=0.2)
    assert shown_chances(policy, np.ones(3), np.full(3, 3)).tolist() == [1.0, 1.0, 1.0]


def test_rows_get_items_and_chances_by_the_release_that_answered(tmp_path: Path) -> None:
    pl.DataFrame({"product_id": ["a", "b"], "item": [7, 8]}).write_parquet(tmp_path / "catalogue.parquet")
    rows = [("r1", "v1", "a", 0.95), ("r1", "v1", "new", 0.005), ("r2", "v2", "b", 1.0), ("r3", "gone", "b", 1.0)]
    shown = pl.DataFrame(rows, ["event_id", "release", "key", "propensity"], orient="row")
    manifests = {"v1": {"params": {"exploration": {"share": 0.05, "depth": 10}}}, "v2": {}}
    found = logged_keys(shown, tmp_path, manifests)
    assert found.select("event_id", "item").rows() == [("r1", 7), ("r1", None), ("r2", 8)]
    assert found["chance"].to_list() == pytest.approx([0.95, 0.01, 1.0])
    assert logged_keys(shown, tmp_path, {}).is_empty()
