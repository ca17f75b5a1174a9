"""Champion and challenger: who answers whom, who steps in, and what a bad release cannot do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from components import releases
from components.core.errors import ArtifactError
from components.feedback.store import open_store
from components.recommendation.answer.answerer import Answerer
from serving import live as live_module
from serving.live import Live, Loaded, Standing
from serving.shadows import Shadows

Start = Callable[[], TestClient]
Eventually = Callable[[Callable[[], object]], None]

OLD, NEW, NEWEST = "20250701-00000001", "20250701-00000002", "20250701-00000003"
CUSTOMERS = [f"c{number}" for number in range(60)]


class Model:
    """Loads anything, except where told not to; counts."""

    loads: ClassVar[list[str]] = []
    refuses: ClassVar[set[str]] = set()

    @classmethod
    def load(cls, folder: Path) -> Self:
        if folder.name in cls.refuses:
            raise ArtifactError(f"{folder.name}: expected a model, got nothing; package again")
        cls.loads.append(folder.name)
        return cls()


@pytest.fixture
def pointers(monkeypatch: pytest.MonkeyPatch, home: Path) -> Callable[..., None]:
    """Moves the pointer to versions that are on no shelf, and forgets what `Model` did."""
    Model.loads, Model.refuses = [], set()
    monkeypatch.setattr(releases, "check_seal", lambda folder: None)
    monkeypatch.setattr(releases, "release_path", lambda application, version: home / version)
    at = datetime(2025, 7, 2, tzinfo=UTC)
    path = releases.pointer_path("demand")

    def move(version: str, challenger: str | None = None, mode: Any = "canary", share: float = 0.5) -> None:
        named = challenger and releases.Challenger(challenger, share, mode, at, "test")
        pointer = releases.Pointer("demand", version, at, "test", challenger=named or None)
        monkeypatch.setattr(releases, "pointer", lambda application: pointer)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(f"{version} {challenger} {mode} {share}")

    return move


def answering(live: Live[Model], unit: str | None) -> list[str]:
    return [loaded.version for loaded, _ in live.standing.choose(unit)]


def test_a_canary_answers_its_share_and_always_the_same(pointers: Callable[..., None]) -> None:
    live = Live("demand", Model)
    pointers(OLD, NEW, share=0.3)
    live.refresh()
    units = [f"unit {number}" for number in range(2000)]
    first = [answering(live, unit) for unit in units]
    assert all(each in ([NEW, OLD], [OLD]) for each in first)
    assert 0.25 < sum(len(each) == 2 for each in first) / len(first) < 0.35
    assert [answering(live, unit) for unit in units] == first
    assert answering(live, None) == [OLD], "whoever cannot be told again is the champion's"
    roles = {role for unit in units for _, role in live.standing.choose(unit)}
    assert roles == {"champion", "challenger"}


@given(unit=st.text(), share=st.floats(0.01, 0.99))
def test_a_standing_without_its_challenger_is_the_champions(unit: str, share: float) -> None:
    terms = releases.Challenger(NEW, share, "canary", datetime(2025, 7, 2, tzinfo=UTC), "test")
    old, new = Loaded(OLD, Model()), Loaded(NEW, Model())
    assert Standing(old, None, terms).choose(unit) == [(old, "champion")]
    assert Standing(old, new, None).choose(unit) == [(old, "champion")]
    assert Standing(old, new, terms).shadow(unit) is None
    nobody: Standing[Model] = Standing()
    assert nobody.choose(unit) == []


def test_who_is_loaded_is_not_loaded_again(pointers: Callable[..., None]) -> None:
    live = Live("demand", Model)
    for champion, challenger in ((OLD, NEW), (NEW, None), (NEW, OLD), (OLD, NEW)):
        pointers(champion, challenger)
        live.refresh()
        assert live.loaded is not None and live.loaded.version == champion
    assert Model.loads == [OLD, NEW, OLD], "a promoted challenger takes over at once; who left comes back anew"


def test_a_challenger_that_cannot_be_loaded_is_simply_not_there(pointers: Callable[..., None]) -> None:
    live = Live("demand", Model)
    pointers(OLD)
    live.refresh()
    champion = live.loaded
    Model.refuses = {NEW}
    pointers(OLD, NEW, share=0.99)
    live.refresh()
    assert live.loaded is champion and live.trouble is None
    assert live.challenger_trouble is not None and NEW in live.challenger_trouble
    assert {tuple(answering(live, customer)) for customer in CUSTOMERS} == {(OLD,)}
    pointers(OLD)
    live.refresh()
    assert live.challenger_trouble is None


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_and_dismisses_the_challenger(
    pointers: Callable[..., None],
) -> None:
    live = Live("demand", Model)
    pointers(OLD, NEW)
    live.refresh()
    Model.refuses = {NEWEST}
    pointers(NEWEST)
    live.refresh()
    assert answering(live, "c0") == [OLD]
    assert live.trouble is not None and NEWEST in live.trouble
    assert {tuple(answering(live, customer)) for customer in CUSTOMERS} == {(OLD,)}


def test_what_failed_is_tried_again_later_and_said_once(
    pointers: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    live = Live("demand", Model)
    Model.refuses = {OLD}
    pointers(OLD)
    live.refresh()
    live.refresh()
    monkeypatch.setattr(live_module, "RETRY_SECONDS", 0.0)
    pointers(OLD, NEW)
    live.refresh()
    live.refresh()
    assert live.loaded is None and Model.loads == []
    assert sum("refused" in record.message for record in caplog.records) == 1
    Model.refuses = set()
    live.refresh()
    assert live.loaded is not None and live.trouble is None, "the disk came back"


def test_a_pointer_that_cannot_be_read_changes_nothing(
    pointers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live("demand", Model)
    pointers(OLD)
    live.refresh()
    pointers(NEW)
    monkeypatch.setattr(releases, "pointer", lambda _: 1 / 0)
    live.refresh()
    assert answering(live, "c0") == [OLD] and live.trouble is not None


@pytest.fixture
def contested(released: str, other_bundle: Path) -> Callable[[str, float], str]:
    """Sets a challenger, a single model, beside the released ensemble; its version."""

    def challenge(mode: Any, share: float) -> str:
        version = releases.put(other_bundle, "recommendation", {})
        releases.challenge("recommendation", version, share, mode, "test")
        return version

    return challenge


def logged() -> list[tuple[str, str, str, str]]:
    """Request, role, release and unit of each impression."""
    import json

    store, found = open_store(), []
    for frame in store.rows(kinds={"impression"}):
        for row in frame.iter_rows(named=True):
            payload = json.loads(row["payload"])
            found.append((row["request_id"], payload["role"], payload["release"], payload["unit"]))
    store.close()
    return found


def test_a_canary_in_the_service(
    released: str, contested: Callable[[str, float], str], start: Start, eventually: Eventually
) -> None:
    challenger = contested("canary", 0.5)
    client = start()
    answers = {name: client.post("/recommend", json={"customer_id": name, "k": 5}).json() for name in CUSTOMERS}
    terms = releases.pointer("recommendation").challenger  # type: ignore[union-attr]
    for name, answer in answers.items():
        is_in = releases.in_canary(terms, name)
        assert answer["release"] == (challenger if is_in else released)
        assert {item["rung"] for item in answer["items"]} == {"single" if is_in else "ensemble"}
    eventually(lambda: len(logged()) == len(CUSTOMERS))
    for request_id, role, release, unit in logged():
        assert answers[unit]["request_id"] == request_id and answers[unit]["release"] == release
        assert role == ("challenger" if release == challenger else "champion")
    assert {role for _, role, _, _ in logged()} == {"champion", "challenger"}
    assert client.post("/recommend", json={}).json()["release"] == released
    said = client.get("/status").json()["releases"]["recommendation"]
    assert said["live"] == released
    assert (said["challenger"]["release"], said["challenger"]["mode"]) == (challenger, "canary")
    assert said["challenger"]["is_loaded"] and said["challenger"]["stepped_in"] == 0
    releases.dismiss_challenger("recommendation", "test")
    eventually(lambda: client.get("/status").json()["releases"]["recommendation"]["challenger"] is None)
    assert {client.post("/recommend", json={"customer_id": name}).json()["release"] for name in CUSTOMERS} == {released}


def test_a_challenger_that_fails_costs_nobody_an_answer(
    released: str,
    contested: Callable[[str, float], str],
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    challenger = contested("canary", 0.5)
    answer = Answerer.answer

    def fail(self: Answerer, ask: Any) -> Any:
        return 1 / 0 if self.scorer.kind == "single" else answer(self, ask)

    monkeypatch.setattr(Answerer, "answer", fail)
    client = start()
    replies = [client.post("/recommend", json={"customer_id": name}) for name in CUSTOMERS]
    assert {(reply.status_code, reply.json()["release"]) for reply in replies} == {(200, released)}
    terms = releases.pointer("recommendation").challenger  # type: ignore[union-attr]
    meant = sum(releases.in_canary(terms, name) for name in CUSTOMERS)
    said = client.get("/status").json()["releases"]["recommendation"]["challenger"]
    assert (said["release"], said["stepped_in"]) == (challenger, meant)
    eventually(lambda: len(logged()) == len(CUSTOMERS))
    for _, role, release, unit in logged():
        assert release == released, "who answered"
        assert role == ("challenger" if releases.in_canary(terms, unit) else "champion"), "and for whom"


def test_a_shadow_is_asked_the_same_and_never_seen(
    released: str, contested: Callable[[str, float], str], start: Start, eventually: Eventually
) -> None:
    challenger = contested("shadow", 1.0)
    client = start()
    answers = [client.post("/recommend", json={"customer_id": name, "k": 5}).json() for name in CUSTOMERS[:20]]
    answers.append(client.post("/recommend", json={}).json())
    assert {answer["release"] for answer in answers} == {released}
    eventually(lambda: len(logged()) == 42)
    by_role = {role: {row[0]: row[2] for row in logged() if row[1] == role} for role in ("champion", "shadow")}
    asked = {answer["request_id"] for answer in answers}
    assert by_role == {"champion": dict.fromkeys(asked, released), "shadow": dict.fromkeys(asked, challenger)}
    assert client.get("/status").json()["shadows"]["answered"] == 21


def test_a_slow_shadow_is_asked_less_and_holds_nobody_up(eventually: Eventually) -> None:
    may, answered = threading.Event(), []
    shadows = Shadows(waiting=3)
    try:
        shadows.ask(lambda: answered.append(may.wait(20)))
        eventually(lambda: shadows.status()["waiting"] == 0)
        for number in range(10):
            shadows.ask(lambda number=number: answered.append(number))  # type: ignore[misc]
        assert shadows.status() == {"answered": 0, "failed": 0, "dropped": 7, "waiting": 3}
        may.set()
        eventually(lambda: shadows.answered == 4)
        assert answered == [True, 0, 1, 2]
    finally:
        may.set()
        shadows.close()


def test_a_shadow_that_fails_is_counted_and_asked_again(eventually: Eventually) -> None:
    shadows, answered = Shadows(), []
    shadows.ask(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    shadows.ask(lambda: answered.append(1))
    eventually(lambda: answered)
    assert shadows.failed == 1
    shadows.close()
