"""Answer, one question, or a person: each rule speaks where it must, and what is doubtful is never answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.support.answer.ask import Ranked
from components.support.answer.decision import AnswerParams, Situation, decide

PARAMS = AnswerParams()


def ranked(*shares: tuple[str, float]) -> tuple[Ranked, ...]:
    return tuple(Ranked(name, name.title(), share) for name, share in shares)


SURE = Situation(ranked(("status", 0.9), ("cancel", 0.1)), frozenset({"status", "invoice"}))
CLOSE = replace(SURE, ranked=ranked(("status", 0.5), ("cancel", 0.4)))


def test_what_is_understood_and_known_is_answered() -> None:
    verdict = decide(SURE, PARAMS)
    assert (verdict.decision, verdict.intent) == ("answer", "status")


def test_two_close_intents_are_asked_about() -> None:
    verdict = decide(CLOSE, PARAMS)
    assert verdict.decision == "clarify" and verdict.intent is None
    assert verdict.between is not None and [each.name for each in verdict.between] == ["status", "cancel"]
    assert "50%" in verdict.why[0] and "40%" in verdict.why[0]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"wants_person": True}, "person"),
        ({"sentiment": -0.9}, "upset"),
        ({"urgent": True}, "urgent"),
        ({"failed": True}, "help"),
        ({"rejected": True}, "out of scope"),
        ({"foreign": True}, "language"),
        ({"denied": True}, "not wanted"),
        ({"facts": ("order_status",)}, "order_status"),
        ({"against": ("order_number",)}, "order_number"),
        ({"alone": frozenset()}, "without a person"),
        ({"ranked": ranked(("status", 0.3), ("cancel", 0.2))}, "30%"),
        ({"questions": 2, "needs": ("order_number",)}, "2 questions"),
    ],
)
def test_a_person_takes_over_and_is_told_why(change: dict[str, object], word: str) -> None:
    verdict = decide(replace(SURE, **change), PARAMS)  # type: ignore[arg-type]
    assert verdict.decision == "hand_over"
    assert word in " ".join(verdict.why)


def test_all_reasons_for_a_person_are_told() -> None:
    assert len(decide(replace(SURE, wants_person=True, urgent=True, rejected=True), PARAMS).why) == 3


def test_two_close_intents_that_both_need_a_person_are_not_asked_about() -> None:
    assert decide(replace(CLOSE, alone=frozenset({"invoice"})), PARAMS).decision == "hand_over"


def test_a_missing_need_is_asked_for_before_facts_are_missed() -> None:
    verdict = decide(replace(SURE, needs=("order_number",), facts=("order_status",)), PARAMS)
    assert (verdict.decision, verdict.asks, verdict.intent) == ("clarify", "order_number", "status")


def test_a_choice_of_the_customer_settles_what_models_doubt() -> None:
    verdict = decide(replace(CLOSE, chosen="status", rejected=True), PARAMS)
    assert (verdict.decision, verdict.intent) == ("answer", "status")


def test_nothing_is_asked_about_and_after_two_questions_handed_over() -> None:
    empty = Situation((), frozenset(), is_empty=True)
    assert decide(empty, PARAMS).decision == "clarify"
    assert decide(replace(empty, questions=2), PARAMS).decision == "hand_over"


def test_urgency_may_be_left_to_the_machine() -> None:
    assert decide(replace(SURE, urgent=True), AnswerParams(urgent_to_person=False)).decision == "answer"


@settings(deadline=None, max_examples=50)
@given(
    st.builds(
        Situation,
        ranked=st.lists(st.floats(0, 0.5), max_size=4).map(
            lambda shares: ranked(*((f"i{n}", share) for n, share in enumerate(sorted(shares, reverse=True))))
        ),
        alone=st.sets(st.sampled_from(["i0", "i1", "i2"])).map(frozenset),
        rejected=st.booleans(),
        needs=st.sampled_from([(), ("x",)]),
        facts=st.sampled_from([(), ("y",)]),
        urgent=st.booleans(),
        sentiment=st.floats(-1, 1),
        wants_person=st.booleans(),
        questions=st.integers(0, 3),
        is_empty=st.booleans(),
        denied=st.booleans(),
    ),
    st.floats(0.01, 0.5),
)
def test_an_answer_is_never_given_in_doubt(situation: Situation, sure: float) -> None:
    verdict = decide(situation, AnswerParams(sure=sure))
    assert verdict.why
    if verdict.decision == "answer":
        best = situation.ranked[0]
        assert best.probability >= sure and verdict.intent == best.name and best.name in situation.alone
        assert not (situation.rejected or situation.denied or situation.wants_person or situation.urgent)
        assert not (situation.needs or situation.facts)
