"""What ships: validation chooses, the test confirms, and floors may speak against."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.core.application import Application, load_application
from components.core.gate import Gate
from components.stages.evaluate import choose

N = 200


def application(better: str) -> Application:
    return replace(load_application("demand"), metrics={"loss": better})  # type: ignore[arg-type]


def row(kind: str, validation: float | None, test: np.ndarray, ms: float = 1.0) -> dict[str, Any]:
    figure = {"mean": float(test.mean()), "low": 0.0, "high": 0.0}
    return {"kind": kind, "validation": {"loss": validation}, "metrics": {"loss": figure}, "ms_per_query": ms}


def case(of_mix: float, better: str = "lower", **changes: Any) -> tuple[dict[str, Any], dict[str, pl.DataFrame]]:
    """A single model that loses about 1 a row, and a mix that is `of_mix` better on the test."""
    sign = -1 if better == "lower" else 1
    random = np.random.default_rng(0)
    single = 1 + 0.1 * random.normal(size=N)
    losses = {"single": single, "mix": single + sign * of_mix + 0.01 * random.normal(size=N)}
    rows = {"single": row("single", 1.0, losses["single"]), "mix": row("ensemble", 1.0 + sign * 0.1, losses["mix"])}
    rows["mix"] |= changes
    tables = {name: pl.DataFrame({"loss": values, "headline": [True] * N}) for name, values in losses.items()}
    return rows, tables


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_an_ensemble_ships_where_validation_and_test_agree(better: str) -> None:
    shipped, gain = choose(application(better), *case(0.1, better))
    assert (shipped["name"], gain["of"], gain["over"]) == ("mix", "mix", "single")
    assert gain["low"] == pytest.approx(0.1, abs=0.01), "better is positive, whatever the direction"
    shipped, _ = choose(application(better), *case(0.0, better))
    assert shipped["name"] == "single" and "does not confirm" in shipped["reason"]


def test_what_validation_does_not_prefer_does_not_ship() -> None:
    shipped, _ = choose(application("lower"), *case(0.1, validation={"loss": 1.2}))
    assert shipped["name"] == "single" and "validation prefers it" in shipped["reason"]


def test_no_figure_is_the_worst_figure() -> None:
    rows, tables = case(0.1, validation={"loss": None})
    assert choose(application("lower"), rows, tables)[0]["name"] == "single"
    rows["silent"] = row("single", None, np.ones(N))
    assert choose(application("lower"), rows, tables | {"silent": tables["single"]})[0]["name"] == "single"


def test_a_floor_or_the_latency_budget_speaks_against_an_ensemble() -> None:
    rows, tables = case(0.1, ms_per_query=80.0)
    shipped, _ = choose(application("lower"), rows, tables, [Gate("ms_per_query", "lower", 50.0)])
    assert shipped["name"] == "single" and "ms_per_query 80 misses the floor 50" in shipped["reason"]
    assert choose(application("lower"), rows, tables, [Gate("ms_per_query", "lower", 90.0)])[0]["name"] == "mix"
    assert choose(application("lower"), rows, tables, [Gate("loss", "lower", 0.5)])[0]["name"] == "single"


def test_a_single_model_ships_through_what_calibrates_it() -> None:
    rows, tables = case(0.0)
    rows["select"], tables["select"] = row("ensemble", 1.05, np.ones(N)), tables["single"]
    shipped, _ = choose(application("lower"), rows, tables, calibrated={"single": "select"})
    assert (shipped["name"], shipped["kind"]) == ("select", "ensemble") and shipped["reason"].startswith("single ships")
    assert choose(application("lower"), rows, tables, calibrated={"other": "select"})[0]["name"] == "single"
