"""Floors and the duel, with the words that a person reads."""

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
    ],
)
def test_verdicts(gate: Gate, candidate: float, champion: float | None, passed: bool, words: str) -> None:
    live = None if champion is None else {gate.metric: champion}
    verdict = gate.judge({gate.metric: candidate}, live)
    assert verdict.passed is passed and words in verdict.reason


def test_a_figure_that_is_missing_fails() -> None:
    assert not Gate("ndcg", "higher").judge({}, None).passed
