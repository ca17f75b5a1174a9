"""Floors and the duel, with the words that a person reads."""

from typing import Literal

import pytest

from components.core.gate import Gate


@pytest.mark.parametrize(
    ("gate", "candidate", "champion", "passed", "words"),
    [
        (Gate("ndcg", "higher", 0.2), 0.1, None, False, "misses the floor"),
        (Gate("ndcg", "higher", 0.2), 0.3, None, True, "no champion"),
        (Gate("ndcg", "higher", 0.2, 0.01), 0.295, 0.3, True, "holds"),
        (Gate("ndcg", "higher", 0.2, 0.01), 0.28, 0.3, False, "worse than the live"),
        (Gate("wape", "lower", 0.5, 0.01), 0.4, 0.3, False, "worse than the live"),
        (Gate("wape", "lower", 0.5), 0.6, None, False, "misses the floor"),
        (Gate("ms", "lower", 25, float("inf")), 24, 1, True, "holds"),
        (Gate("ms", "lower", 25, 1.0, share=2.0), 7, 2, True, "slack 5"),
        (Gate("ms", "lower", 25, 1.0, share=2.0), 7.1, 2, False, "worse than the live 2 by more than 5"),
        (Gate("ms", "lower", 25, 1.0, share=2.0), 26, 20, False, "misses the floor 25"),
        (Gate("cover", "higher", None, 0.03, around=0.8), 0.77, 0.79, True, "cover beside 0.8: 0.77 holds"),
        (Gate("cover", "higher", None, 0.03, around=0.8), 0.83, 0.79, True, "holds"),
        (Gate("cover", "higher", None, 0.03, around=0.8), 0.75, 0.79, False, "worse than the live 0.79"),
        (Gate("cover", "higher", None, 0.03, around=0.8), 0.85, 0.81, False, "worse than the live 0.81"),
        (Gate("cover", "higher", None, 0.03, around=0.8), 0.85, 0.7, True, "holds"),
        (Gate("cover", "higher", None, 0.03, around=0.8), 0.2, None, True, "no champion"),
    ],
)
def test_verdicts(gate: Gate, candidate: float, champion: float | None, passed: bool, words: str) -> None:
    live = None if champion is None else {gate.metric: champion}
    verdict = gate.judge({gate.metric: candidate}, live)
    assert verdict.passed is passed and words in verdict.reason


def test_a_figure_that_is_missing_fails() -> None:
    assert not Gate("ndcg", "higher").judge({}, None).passed


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_figure_that_is_no_number_fails(better: Literal["higher", "lower"], figure: float) -> None:
    for gate in (Gate("ndcg", better), Gate("ndcg", better, floor=0.2), Gate("ndcg", better, slack=float("inf"))):
        for champion in (None, {"ndcg": 0.3}):
            verdict = gate.judge({"ndcg": figure}, champion)
            assert not verdict.passed and f"the candidate has {figure}" in verdict.reason


def test_a_champion_without_a_number_is_no_champion() -> None:
    verdict = Gate("ndcg", "higher", 0.2).judge({"ndcg": 0.3}, {"ndcg": float("nan")})
    assert verdict.passed and "no champion" in verdict.reason
    assert not Gate("ndcg", "higher", 0.2).judge({"ndcg": 0.1}, {"ndcg": float("nan")}).passed
