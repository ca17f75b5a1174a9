"""Drift: chance seldom alarms, a real shift does, few rows say nothing."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.monitoring.drift import Distribution, Drift, counted, drifts, of_keys, of_numbers, of_words

WORDS = ["bread", "fruit", "milk", "soap", "tea"]


def sample(seed: int, rows: int = 400, shift: float = 0.0, tilt: float = 0.0) -> dict[str, dict]:
    """Two numbers and a word per row; `shift` moves the first number, `tilt` the words."""
    random = np.random.default_rng(seed)
    shares = np.array([0.3, 0.25, 0.2, 0.15, 0.1]) + tilt * np.array([-0.25, -0.2, 0, 0, 0.45])
    return {
        "amount": counted(pl.Series(random.lognormal(3 + shift, 0.5, rows).round(2))),
        "size": counted(pl.Series(random.poisson(6, rows))),
        "category": counted(pl.Series(random.choice(WORDS, rows, p=shares))),
    }


def reference(seed: int, rows: int = 400) -> dict[str, Distribution]:
    values = sample(seed, rows)
    return {
        "amount": of_numbers(values["amount"]),
        "size": of_numbers(values["size"]),
        "category": of_words(values["category"]),
    }


def alarms(before: dict[str, Distribution], now: dict[str, dict], **over: float) -> set[str]:
    found = drifts(before, now, **{"alpha": 0.05, "psi": 0.1, "min_rows": 100, **over})
    return {one.feature for one in found if one.alarm}


def test_without_drift_alarms_are_rare() -> None:
    """Benjamini and Hochberg hold the share of looks with any false alarm at alpha; the index only lowers it."""
    looks = 150
    wrong = sum(bool(alarms(reference(2 * seed), sample(2 * seed + 1), psi=0.0)) for seed in range(looks))
    assert wrong / looks <= 0.05 + 3 * (0.05 * 0.95 / looks) ** 0.5
    assert sum(bool(alarms(reference(2 * seed), sample(2 * seed + 1), psi=0.25)) for seed in range(looks)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_shifted_feature_is_found_and_only_that_one(seed: int) -> None:
    assert alarms(reference(seed), sample(seed + 100, shift=0.4)) == {"amount"}
    assert alarms(reference(seed), sample(seed + 100, tilt=1.0)) == {"category"}


def test_few_rows_say_nothing_however_different() -> None:
    (amount, *_) = drifts(reference(0), sample(1, rows=60, shift=3), 0.05, 0.1, 100)
    assert amount == Drift("amount", 60, 400, None, None, False)
    assert not alarms(reference(0, rows=60), sample(1, shift=3))


def test_many_rows_do_not_make_a_trifle_an_alarm() -> None:
    found = drifts(reference(0, 100_000), sample(1, 100_000, shift=0.05), 0.05, 0.1, 100)
    assert found[0].q is not None and found[0].q < 1e-6
    assert found[0].psi is not None and found[0].psi < 0.1 and not found[0].alarm


def test_a_feature_that_is_missing_now_says_nothing() -> None:
    now = sample(1)
    del now["size"]
    found = {one.feature: one for one in drifts(reference(0), now, 0.05, 0.1, 100)}
    assert found["size"].psi is None and not found["size"].alarm and found["amount"].psi is not None


def test_a_head_that_takes_more_or_changes_moves_the_bands() -> None:
    random = np.random.default_rng(0)
    catalogue = [f"p{number}" for number in range(500)]
    shares = 1 / np.arange(1, 501)
    shares /= shares.sum()

    def shown(p: np.ndarray, names: list[str] = catalogue) -> dict[str, float]:
        return counted(pl.Series(random.choice(names, 5000, p=p)))

    before = {"shown": of_keys(shown(shares), shown(shares))}
    steeper = shares**1.5 / (shares**1.5).sum()
    assert not alarms(before, {"shown": shown(shares)})
    assert alarms(before, {"shown": shown(steeper)}) == {"shown"}
    assert alarms(before, {"shown": shown(shares, catalogue[::-1])}) == {"shown"}


def test_a_long_tail_that_shows_other_keys_every_week_has_not_moved() -> None:
    random, shares = np.random.default_rng(0), 1 / np.arange(1, 10_001)

    def shown() -> dict[str, float]:
        return counted(pl.Series(random.choice(10_000, 2000, p=shares / shares.sum()).astype(str)))

    assert not any(alarms({"shown": of_keys(shown(), shown())}, {"shown": shown()}, psi=0.25) for _ in range(20))


@given(st.dictionaries(st.integers(-50, 50), st.integers(1, 9), min_size=1), st.lists(st.integers(-99, 99)))
@settings(max_examples=60, deadline=None)
def test_every_row_counts_once_and_json_changes_nothing(values: dict[int, int], more: list[int]) -> None:
    numbers = of_numbers({float(key): n for key, n in values.items()})
    words = of_words({str(key): float(n) for key, n in values.items()})
    keys = of_keys({str(key): 1.0 for key in more}, {str(key): float(n) for key, n in values.items()})
    for made, later in ((numbers, pl.Series(more, dtype=pl.Float64)), (words, pl.Series(map(str, more)))):
        assert made.n == sum(values.values())
        assert made.count(counted(later)).sum() == len(more)
        assert Distribution.from_json(json.loads(json.dumps(made.as_json()))) == made
    assert keys.n == sum(values.values())


def test_deciles_are_those_of_the_rows() -> None:
    edges = of_numbers({float(number): 10.0 for number in range(1, 11)}).edges
    assert edges == tuple(float(number) for number in range(1, 10))
