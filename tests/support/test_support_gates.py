"""The rules before a release of customer service: which figures they let pass, and whom they protect."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.artifacts import write_json
from components.core.errors import ParamsError
from components.core.gate import judge_all
from components.support.evaluation.gates import gates

GUARDED = ("cancel_order", "talk_to_person")
GOOD = {
    "accuracy": 0.9, "language=en/accuracy": 0.9, "language=zh/accuracy": 0.88, "ece": 0.02, "ms_per_query": 5.0,
    "mb": 100.0, "intent=out_of_scope/accuracy": 0.8, **{f"intent={name}/accuracy": 0.9 for name in GUARDED},
}  # fmt: skip


@pytest.fixture
def features(tmp_path: Path) -> Path:
    intents = [{"name": name, "protected": name in GUARDED} for name in ("talk_to_person", "cancel_order", "invoice")]
    write_json(tmp_path / "taxonomy.json", {"intents": intents})
    return tmp_path


def lost(features: Path, figures: dict[str, float], live: dict[str, float] | None = None) -> set[str]:
    verdicts = judge_all(gates({}, features), GOOD | figures, None if live is None else GOOD | live)
    return {verdict.metric for verdict in verdicts if not verdict.passed}


@pytest.mark.parametrize(
    ("metric", "figure"),
    [("accuracy", 0.5), ("language=en/accuracy", 0.5), ("language=zh/accuracy", 0.5), ("ece", 0.06),
     ("intent=out_of_scope/accuracy", 0.3), ("ms_per_query", 41.0), ("mb", 401.0)],
)  # fmt: skip
def test_each_floor_speaks_for_itself(features: Path, metric: str, figure: float) -> None:
    assert lost(features, {}) == set()
    assert lost(features, {metric: figure}) == {metric}


def test_no_protected_intent_may_be_worse_than_live_beyond_slack(features: Path) -> None:
    worse = {"intent=cancel_order/accuracy": 0.7, "intent=invoice/accuracy": 0.1}
    assert lost(features, worse) == set(), "without a live release only floors speak"
    assert lost(features, worse, {"intent=invoice/accuracy": 1.0}) == {"intent=cancel_order/accuracy"}
    assert lost(features, {"intent=cancel_order/accuracy": 0.85}, {}) == set(), "within the slack"


def test_calibration_is_held_against_its_floor_alone(features: Path) -> None:
    assert lost(features, {"ece": 0.029}, {"ece": 0.001}) == set()


def test_a_shop_may_name_whom_it_protects_or_have_told_of_no_intents(features: Path, tmp_path: Path) -> None:
    named = [gate.metric for gate in gates({"protected": ["invoice"]}, features)]
    assert "intent=invoice/accuracy" in named and "intent=cancel_order/accuracy" not in named
    silent = {gate.metric for gate in gates({}, tmp_path / "nothing")}
    assert silent == set(GOOD) - {f"intent={name}/accuracy" for name in GUARDED}


def test_an_unknown_rule_is_refused(features: Path) -> None:
    with pytest.raises(ParamsError, match=r"support\.gates"):
        gates({"accuraccy_floor": 0.9}, features)
