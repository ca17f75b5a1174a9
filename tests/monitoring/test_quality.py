"""What the present weights are held against, and what is done about a challenger."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from components.monitoring.arms import judge
from components.monitoring.params import WatchParams
from components.monitoring.quality import BEFORE, OWN, Quality
from components.monitoring.sequential import Running

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PARAMS = WatchParams(min_answers=100)


def coin(share: float, n: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < share).astype(float)


def counted(quality: Quality, lineage: str, share: float, n: int, now: datetime = NOW, measure: str = "hit") -> Any:
    quality.follow(lineage, "")
    quality.count(lineage, measure, coin(share, n), now, PARAMS)
    return quality.measured(lineage, PARAMS)


def test_the_first_answers_make_the_baseline_and_are_not_held_against_it() -> None:
    quality = Quality()
    (few,) = counted(quality, "one", 0.4, 60)
    assert (few.baseline, few.whole) == (None, None)
    (enough,) = counted(quality, "one", 0.4, 60)
    assert enough.of == OWN and enough.whole is None
    (more,) = counted(quality, "one", 0.4, 500)
    assert more.n == 500 and more.whole.low < 0.4 < more.whole.high and not more.worse


def test_later_weights_are_held_against_all_that_came_before() -> None:
    quality = Quality()
    counted(quality, "one", 0.4, 400)
    counted(quality, "two", 0.2, 400)
    (third,) = counted(quality, "three", 0.3, 1000)
    assert third.of == BEFORE and third.baseline == pytest.approx(0.3, abs=0.03)
    (second,) = quality.measured("two", PARAMS)
    assert second.worse and second.baseline == pytest.approx(0.4, abs=0.05)


def test_the_first_answers_may_flatter() -> None:
    """Where nothing ever changes, a baseline that chance made too high must not become an alarm."""
    params, random, wrong = WatchParams(), np.random.default_rng(0), 0
    for _ in range(60):
        quality, alarmed = Quality(), False
        for day in range(60):
            quality.count("one", "hit", random.binomial(1, 0.3, 300).astype(float), NOW + timedelta(days=day), params)
            (found,) = quality.measured("one", params)
            alarmed = alarmed or bool(found.worse)
        wrong += alarmed
    assert wrong / 60 <= 0.05


def test_a_second_interval_begins_anew_at_a_price() -> None:
    quality = Quality()
    counted(quality, "one", 0.4, 100)
    for day in range(0, 30, 3):
        counted(quality, "one", 0.4, 50, NOW + timedelta(days=day))
    assert quality.begun["fresh/one/hit"]["number"] == 4
    whole, fresh = quality.running["live/one/hit"], quality.running["fresh/one/hit"]
    assert whole.n == 500 and fresh.n < 200 and fresh.alpha < whole.alpha / 10


def test_what_is_remembered_is_bounded_and_survives_json() -> None:
    quality = Quality()
    for number in range(20):
        counted(quality, f"lineage{number}", 0.4, 150)
        counted(quality, f"lineage{number}", 0.4, 150)
    assert len(quality.lineages) == len(quality.reached) == 6
    kept = Quality.from_json(json.loads(json.dumps(quality.as_json())))
    assert kept == quality
    quality.follow("lineage15", "")
    assert quality.lineages[-1] == "lineage15" and len(quality.lineages) == 6


def arms(champion: float, challenger: float, n: int, **more: float) -> Any:
    sides = [{"hit": Running(0.01).extended(coin(share, n, seed))} for seed, share in enumerate((champion, challenger))]
    return judge(*sides, **{"margin": 0.01, "min_answers": 100, "days": 3, "max_days": 14} | more)


def test_a_challenger_is_judged_by_intervals_of_both() -> None:
    assert arms(0.3, 0.5, 2000).outcome == "promote"
    assert arms(0.5, 0.3, 2000).outcome == "dismiss"
    assert arms(0.4, 0.4, 2000).outcome == "wait"
    assert arms(0.4, 0.4, 2000, margin=0.2).outcome == "promote"
    assert arms(0.4, 0.4, 2000, days=14).outcome == "undecided"
    few = arms(0.1, 0.9, 50)
    assert few.outcome == "wait" and "fewer than 100" in few.why and few.comparisons == ()


def test_a_harm_in_any_measure_weighs_more_than_a_gain_in_the_first() -> None:
    champion = {"hit": Running(0.01).extended(coin(0.3, 3000)), "corrected": Running(0.01).extended(coin(0.95, 3000))}
    challenger = {"hit": Running(0.01).extended(coin(0.5, 3000)), "corrected": Running(0.01).extended(coin(0.6, 3000))}
    found = judge(champion, challenger, 0.01, 100, 3, 14)
    assert found.outcome == "dismiss" and "corrected" in found.why
