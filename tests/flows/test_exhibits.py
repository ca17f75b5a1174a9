"""What Prefect shows of a duel and of a decision; outside of a run, nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components import releases
from components.core.artifacts import seal, write_json, write_text
from components.core.errors import ReleaseRefused
from components.core.gate import Verdict
from flows import promotion
from flows.duel import Judgement
from flows.exhibits import told
from flows.release import release, rollback
from flows.second_opinion import Opinion
from flows.standing import Released

NAME = "recommendation"


def judged(gain: float) -> Judgement:
    opinion = Opinion(False, "says nothing: too few customers")
    rule = Verdict(gain > 0, "ndcg@10", "0.6 against 0.5")
    difference = {"mean": gain, "low": gain - 0.01, "high": gain + 0.01}
    figures = {"ndcg@10": 0.5 + gain, "mb": 1.0}
    return Judgement(gain > 0, [rule, opinion.verdict], difference, figures, {"ndcg@10": 0.5}, opinion)


@pytest.fixture
def shop(prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two sealed bundles in turn are judged by `judged`; the first is live. Returns its version."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.setenv("SHOP_DATA", str(tmp_path / "data"))
    (tmp_path / "params.yaml").write_text("{}")
    bundle = tmp_path / "data" / NAME / "bundle"
    for text in ("one", "two"):
        write_text(bundle / "model.txt", text)
        (bundle / "seal.json").unlink(missing_ok=True)
        write_json(bundle / "manifest.json", {"application": NAME, "as_of": "2025-12-31T00:00:00+00:00", "of": text})
        seal(bundle)
        if text == "one":
            releases.point(NAME, releases.put(bundle, NAME, {}), "first")
    return [str(releases.live(NAME))]


def shown() -> dict[str, Any]:
    """The newest of each artifact."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        kept = sorted(client.read_artifacts(), key=lambda one: str(one.created))
    return {str(one.key): one for one in kept}


def test_a_release_shows_its_duel_and_the_decision(shop: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "duel", lambda *_: judged(0.1))
    done = release(NAME, "a test")
    assert done.moved
    duel, decision = (shown()[f"{NAME}-{what}"] for what in ("duel", "decision"))
    rows = {row["metric"]: row for row in json.loads(duel.data)}
    assert rows["ndcg@10"] == {
        "metric": "ndcg@10", "candidate": 0.6, "champion": 0.5, "verdict": "passed", "reason": "0.6 against 0.5",
    }  # fmt: skip
    assert rows["paired difference"]["reason"].startswith("+0.1000 [+0.0900, +0.1100]")
    assert "too few customers" in rows["off_policy"]["reason"] and rows["mb"]["champion"] is None
    assert duel.description.startswith(f"{done.version} against {shop[0]}: passed.")
    assert "Second opinion: says nothing" in duel.description and decision.data == done.words

    back = rollback(NAME, why="wrong prices")
    assert shown()[f"{NAME}-decision"].data == back.words and "wrong prices" in back.words


def test_a_refusal_is_shown_too(shop: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "duel", lambda *_: judged(-0.1))
    with pytest.raises(ReleaseRefused) as refusal:
        release(NAME, "a test")
    assert releases.live(NAME) == shop[0]
    assert ": refused. Against the one before: -0.1000" in shown()[f"{NAME}-duel"].description
    assert shown()[f"{NAME}-decision"].data == f"{NAME}: {refusal.value}"


def test_a_server_that_fails_does_not_stop_a_release(shop: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no answer")

    monkeypatch.setattr(promotion, "duel", lambda *_: judged(0.1))
    for name in ("create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(f"prefect.artifacts.{name}", broken)
    assert release(NAME, "a test").version == releases.live(NAME) != shop[0]


def test_outside_of_a_run_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[Any]()
    monkeypatch.setattr("prefect.artifacts.create_markdown_artifact", lambda *given, **_: made.append(given))
    told(Released(NAME, "v1", True, "by hand"))
    assert not made
