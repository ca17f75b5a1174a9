"""Every move that needs no duel, as it is typed: what it does to the pointer, and what stays on record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components import releases
from components.audit import audit, read_audit
from components.core.artifacts import seal, write_json, write_text
from flows.release import main, rollback, settle
from flows.standing import version_before

NAME = "recommendation"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Four releases, oldest first; the second one is live, and the first was before."""
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.setenv("USER", "ada")
    placed = []
    for name in "abcd":
        write_text(tmp_path / name / "model.txt", name)
        write_json(tmp_path / name / "manifest.json", {"application": NAME, "as_of": "2025-12-31T00:00:00+00:00"})
        seal(tmp_path / name)
        placed.append(releases.put(tmp_path / name, NAME, {"git": "abcdef0123456789", "reason": f"release {name}"}))
    releases.point(NAME, placed[0], "first")
    releases.point(NAME, placed[1], "second")
    return placed


def standing() -> releases.Pointer:
    found = releases.pointer(NAME)
    assert found is not None
    return found


def on_record() -> list[tuple[str, str | None, str | None, str]]:
    return [(one.what, one.before, one.after, one.why) for one in read_audit(NAME)]


def test_rollback_goes_to_the_one_before_where_none_is_named(
    shelf: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third, _ = shelf
    releases.challenge(NAME, third, 0.1, "canary", "nightly")
    assert main(["rollback", NAME, "--why", "wrong prices"]) == 0
    assert standing().version == first and standing().challenger is None and second in standing().withdrawn
    assert "which is withdrawn). wrong prices" in capsys.readouterr().out
    assert on_record() == [
        ("dismissed", third, first, f"{first} took its place"), ("rolled back", second, first, "wrong prices"),
    ]  # fmt: skip
    assert main(["rollback", NAME]) == 1
    assert f"{second} was withdrawn; name one of" in capsys.readouterr().err
    assert main(["rollback", NAME, first]) == 0 and "nothing to do" in capsys.readouterr().out
    assert len(on_record()) == 2


def test_a_rollback_takes_back_nothing_but_what_it_was_decided_against(
    shelf: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, second, third, _ = shelf

    def meanwhile(found: releases.Pointer) -> str:
        releases.point(NAME, third, "a retrain won")
        return version_before(found)

    monkeypatch.setattr("flows.release.version_before", meanwhile)
    assert main(["rollback", NAME, "--why", "wrong prices"]) == 1
    assert f"expected {second} to be live" in capsys.readouterr().err
    assert (standing().version, standing().withdrawn, on_record()) == (third, {}, [])


def test_pin_holds_and_unpin_lets_go(shelf: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third, _ = shelf
    releases.challenge(NAME, third, 0.1, "canary", "nightly")
    assert main(["pin", NAME, first, "--why", "inventory week"]) == 0
    held = standing().held
    assert standing().version == first and standing().challenger is None
    assert held is not None and held.why == "inventory week"
    capsys.readouterr()
    assert main(["list", NAME]) == 0
    shown = capsys.readouterr().out
    assert "live, held" in shown and "inventory week" in shown
    assert main(["unpin", NAME]) == 0 and standing().held is None and standing().version == first
    assert main(["unpin", NAME]) == 0 and "not held; nothing to do" in capsys.readouterr().out
    assert [what for what, *_ in on_record()] == ["dismissed", "pinned", "unpinned"]
    assert main(["pin", NAME, "20250101-00000000"]) == 1
    assert "name one of these" in capsys.readouterr().err and second in releases.versions(NAME)


def test_a_frozen_pointer_is_left_alone_in_words_by_what_runs_by_itself(
    shelf: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third, _ = shelf
    releases.challenge(NAME, third, 0.1, "canary", "nightly")
    assert main(["freeze", NAME, "--why", "[red]sale[/]"]) == 0
    assert f"{third} goes on as canary" in capsys.readouterr().out
    before = standing()
    for done in (
        settle.fn(NAME, "promote", "wins", automatic=True, by="watch"),
        settle.fn(NAME, "dismiss", "loses", automatic=True, by="watch"),
        rollback.fn(NAME, first, "worse", automatic=True, by="watch"),
    ):
        assert not done.moved and "held since" in done.words and "thaw" in done.words
        assert done.version == second
    assert standing() == before and [what for what, *_ in on_record()] == ["frozen"]
    assert main(["rollback", NAME, first]) == 0 and standing().version == first, "a person may"
    assert main(["thaw", NAME]) == 0 and standing().held is None
    assert [what for what, *_ in on_record()] == ["frozen", "dismissed", "rolled back", "thawed"]


def test_a_challenger_that_is_promoted_is_the_champion(shelf: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _, second, third, _ = shelf
    releases.challenge(NAME, third, 0.1, "canary", "nightly")
    assert main(["list", NAME]) == 0 and "canary 10%" in capsys.readouterr().out
    assert main(["settle", NAME, "promote", "--why", "sells more"]) == 0
    assert (standing().version, standing().previous, standing().challenger) == (third, second, None)
    assert on_record() == [("promoted", second, third, "sells more")]
    assert main(["settle", NAME, "promote"]) == 0 and "no challenger waits" in capsys.readouterr().out


@pytest.mark.parametrize("may_return", [False, True])
def test_a_challenger_that_is_dismissed_returns_only_where_it_may(shelf: list[str], may_return: bool) -> None:
    _, second, third, _ = shelf
    releases.challenge(NAME, third, 0.1, "canary", "nightly")
    assert main(["settle", NAME, "dismiss", *["--may-return"] * may_return]) == 0
    assert (standing().version, standing().challenger) == (second, None)
    assert (third in standing().withdrawn) != may_return
    assert on_record() == [("dismissed", third, second, "settle by hand")]


def test_the_figures_that_a_canary_was_settled_by_stay_on_record(
    shelf: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, second, third, fourth = shelf
    releases.challenge(NAME, third, 0.1, "canary", "nightly")
    other = settle.fn(NAME, "promote", "wins", challenger=fourth, automatic=True, by="watch")
    assert not other.moved and f"{third} waits, not {fourth}" in other.words and standing().version == second
    figures = {"difference": 0.0123456, "low": 0.001, "answers": 5000}
    assert settle.fn(NAME, "promote", "wins", challenger=third, automatic=True, by="watch", figures=figures).moved
    (decision,) = read_audit(NAME)
    assert (decision.by, decision.figures) == ("watch", figures)
    assert main(["log", NAME]) == 0
    shown = capsys.readouterr().out.split()
    assert {"promoted", second, third, "watch", "0.01235,"} <= set(shown)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["rollback"], ["dismissed", "rolled back"]),
        (["pin"], ["dismissed", "pinned"]),
        (["freeze"], ["frozen"]),
        (["thaw"], ["thawed"]),
        (["unpin"], ["unpinned"]),
        (["settle", "promote"], ["promoted"]),
        (["settle", "dismiss"], ["dismissed"]),
    ],
)
@pytest.mark.parametrize("reader", [["log"], ["list"], ["pin"]])
def test_a_move_killed_before_the_log_is_put_on_record_once_by_who_comes_next(
    shelf: list[str], monkeypatch: pytest.MonkeyPatch, command: list[str], said: list[str], reader: list[str]
) -> None:
    first, _, third, fourth = shelf
    releases.challenge(NAME, third, 0.1, "canary", "nightly")
    if command[0] in ("thaw", "unpin"):
        releases.hold(NAME, "stocktaking")
    version = [first] if command == ["pin"] else []
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("components.releases._say", _killed_after_the_move(standing()))
        main([command[0], NAME, *command[1:], *version, "--why", "this reason"])
    assert on_record() == []
    for _ in range(2):
        assert main([*reader, NAME, *[fourth] * (reader == ["pin"])]) == 0
    found = on_record()[: len(said)]
    assert [what for what, *_ in found] == said and found[-1][3] == "this reason"
    assert sum(why == "this reason" for *_, why in on_record()) == 1


def _killed_after_the_move(before: releases.Pointer) -> Callable[[releases.Pointer | None], None]:
    def say(found: releases.Pointer | None) -> None:
        if found != before:
            raise KeyboardInterrupt

    return say


def test_a_pointer_without_a_record_moves_as_any(shelf: list[str], tmp_path: Path) -> None:
    path = releases.pointer_path(NAME)
    old = json.loads(path.read_text())
    del old["record"]
    write_json(path, old)
    assert main(["log", NAME]) == 0 and main(["freeze", NAME]) == 0
    assert [what for what, *_ in on_record()] == ["frozen"]


def test_before_the_first_release_every_move_says_so(shelf: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["rollback"], ["freeze"], ["thaw"], ["unpin"], ["settle", "dismiss"]):
        assert main([command[0], "demand", *command[1:]]) == 1
        assert "but there is none" in capsys.readouterr().err
    assert main(["list", "demand"]) == 0 and main(["log", "demand"]) == 0
    assert main(["pin", "../demand", shelf[0]]) == 1 and read_audit("demand") == []


def test_a_log_with_brackets_and_a_torn_line_is_shown(
    shelf: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    audit(NAME, "frozen", shelf[0], shelf[0], "[bold]why[/]")
    with (tmp_path / "shop" / "audit.jsonl").open("a") as stream:
        stream.write('{"at": "2025-12')
    assert main(["log", NAME]) == 0
    assert "[bold]why[/]" in capsys.readouterr().out
