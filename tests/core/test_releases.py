"""Releases: placed whole or not at all, vouched for by their version, moved by one pointer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import releases
from components.core.artifacts import read_json, seal, write_json, write_text
from components.core.errors import ReleaseError

SHOP = "recommendation"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    return tmp_path / "shop"


def make_bundle(folder: Path, content: str = "one") -> Path:
    write_text(folder / "members" / "popularity" / "model.txt", content)
    write_json(folder / "manifest.json", {"application": SHOP, "data": {"as_of": "2025-12-31T23:00:00+00:00"}})
    seal(folder)
    return folder


def test_put_then_point_makes_it_live(tmp_path: Path, home: Path) -> None:
    assert releases.live(SHOP) is None
    version = releases.put(make_bundle(tmp_path / "bundle"), SHOP, {"git": "abc"})
    assert releases.live(SHOP) is None, "placing must not release"
    assert version.startswith("20251231-")
    releases.point(SHOP, version, "first")
    assert releases.live(SHOP) == version
    assert read_json(home / "live" / f"{SHOP}.json")["why"] == "first"
    release = read_json(releases.release_path(SHOP, version) / "release.json")
    assert (release["git"], release["version"], release["application"]) == ("abc", version, SHOP)


def test_the_same_bundle_again_is_nothing_new(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    version = releases.put(bundle, SHOP, {})
    before = (releases.release_path(SHOP, version) / "release.json").read_bytes()
    assert releases.put(bundle, SHOP, {"other": "facts"}) == version
    assert (releases.release_path(SHOP, version) / "release.json").read_bytes() == before
    assert releases.versions(SHOP) == [version]


def test_versions_are_ordered_by_when_they_were_placed(tmp_path: Path) -> None:
    placed = [releases.put(make_bundle(tmp_path / name, name), SHOP, {}) for name in "cab"]
    assert releases.versions(SHOP) == placed


def test_the_pointer_remembers_what_was_live_before(tmp_path: Path, home: Path) -> None:
    first, second = (releases.put(make_bundle(tmp_path / name, name), SHOP, {}) for name in "ab")
    releases.point(SHOP, first, "first")
    releases.point(SHOP, second, "better")
    assert read_json(home / "live" / f"{SHOP}.json")["previous"] == first


def place(tmp_path: Path, names: str) -> list[str]:
    """One release on the shelf per letter."""
    return [releases.put(make_bundle(tmp_path / name, name), SHOP, {}) for name in names]


def standing() -> releases.Pointer:
    found = releases.pointer(SHOP)
    assert found is not None
    return found


def test_a_pointer_of_an_older_version_of_the_project_goes_on_working(tmp_path: Path, home: Path) -> None:
    first, second = place(tmp_path, "ab")
    old = {"application": SHOP, "version": first, "at": "2025-12-31T23:00:00.000000+00:00", "why": "first"}
    write_json(home / "live" / f"{SHOP}.json", old | {"previous": None})
    assert releases.live(SHOP) == first and releases.withdrawn(SHOP) == {}
    assert (standing().challenger, standing().held) == (None, None)
    releases.challenge(SHOP, second, 0.1, "canary", "better in the duel")
    assert standing().at == datetime(2025, 12, 31, 23, tzinfo=UTC), "the champion has not changed"


@pytest.mark.parametrize("text", ["[]", "{}", '{"application": "recommendation", "version": "x", "at": "soon"}'])
def test_a_pointer_that_is_none_says_what_to_do(home: Path, text: str) -> None:
    write_text(home / "live" / f"{SHOP}.json", text)
    with pytest.raises(ReleaseError, match="move the file away and pin a release"):
        releases.pointer(SHOP)


def test_a_challenger_waits_beside_the_champion_until_it_is_dismissed(tmp_path: Path, home: Path) -> None:
    first, second, third = place(tmp_path, "abc")
    releases.point(SHOP, first, "first")
    assert releases.challenge(SHOP, second, 0.1, "canary", "better").challenger is None
    waiting = standing().challenger
    assert waiting is not None and (waiting.version, waiting.share, waiting.mode) == (second, 0.1, "canary")
    assert releases.live(SHOP) == first
    packed = (home / "releases" / SHOP / ".bentoignore").read_text().split()
    assert packed == ["/*", f"!/{first}/", f"!/{second}/"]
    before = releases.challenge(SHOP, third, 1.0, "shadow", "better still")
    assert before.challenger == waiting, "whoever replaces it can say so"
    releases.dismiss_challenger(SHOP, "slow", withdraw=True, challenger=third)
    assert standing().challenger is None and releases.withdrawn(SHOP) == {third: "slow"}
    releases.challenge(SHOP, third, 0.1, "canary", "asked for again")
    assert releases.withdrawn(SHOP) == {}
    releases.point(SHOP, second, "wins")
    assert standing().challenger is None, "it was judged against a champion that is no more"


def test_a_challenger_needs_a_champion_a_share_and_sound_bytes(tmp_path: Path) -> None:
    first, second = place(tmp_path, "ab")
    with pytest.raises(ReleaseError, match="release one first"):
        releases.challenge(SHOP, second, 0.1, "canary", "too early")
    releases.point(SHOP, first, "first")
    for share in (0.0, -0.1, 1.0, 1.1, float("nan")):
        with pytest.raises(ReleaseError, match="share above 0 and below 1"):
            releases.challenge(SHOP, second, share, "canary", "no")
    with pytest.raises(ReleaseError, match="other than"):
        releases.challenge(SHOP, first, 0.1, "canary", "itself")
    with pytest.raises(ReleaseError, match="none waits"):
        releases.dismiss_challenger(SHOP, "nobody")
    (releases.release_path(SHOP, second) / "manifest.json").write_text("{}")
    with pytest.raises(ReleaseError, match="differ"):
        releases.challenge(SHOP, second, 0.1, "canary", "altered")
    assert standing().challenger is None


def test_a_held_pointer_is_moved_by_people_only(tmp_path: Path) -> None:
    first, second = place(tmp_path, "ab")
    with pytest.raises(ReleaseError, match="release one first"):
        releases.hold(SHOP, "too early")
    releases.point(SHOP, first, "first")
    releases.challenge(SHOP, second, 0.1, "canary", "better")
    releases.hold(SHOP, "inventory week")
    moves: list[Callable[[], object]] = [
        lambda: releases.point(SHOP, second, "nightly", automatic=True),
        lambda: releases.challenge(SHOP, second, 0.2, "canary", "nightly", automatic=True),
        lambda: releases.dismiss_challenger(SHOP, "watch", automatic=True),
    ]
    before = standing()
    for move in moves:
        with pytest.raises(ReleaseError, match=r"held \(inventory week\); thaw it first"):
            move()
    assert standing() == before and before.challenger is not None
    releases.point(SHOP, second, "by hand")
    assert releases.live(SHOP) == second and standing().held is not None, "still held"
    releases.unhold(SHOP, "over")
    releases.point(SHOP, first, "nightly", automatic=True)
    assert releases.live(SHOP) == first
    releases.point(SHOP, first, "for good", held=True)
    assert standing().held is not None and standing().previous == second


def test_a_mover_that_saw_another_state_moves_nothing(tmp_path: Path) -> None:
    first, second, third = place(tmp_path, "abc")
    with pytest.raises(ReleaseError, match=f"expected {first} to be live, .* but now nothing is"):
        releases.point(SHOP, second, "no", expected=first)
    releases.point(SHOP, first, "first", expected=None)
    with pytest.raises(ReleaseError, match=f"expected nothing to be live, .* but now {first} is; decide again"):
        releases.point(SHOP, second, "no", expected=None)
    releases.challenge(SHOP, second, 0.1, "canary", "better", expected=first)
    with pytest.raises(ReleaseError, match=f"expected {third} to be the challenger, .* but now {second} is"):
        releases.point(SHOP, third, "no", expected=first, challenger=third)
    with pytest.raises(ReleaseError, match=f"expected {third} to be the challenger"):
        releases.dismiss_challenger(SHOP, "no", challenger=third)
    releases.point(SHOP, second, "wins", expected=first, challenger=second)
    assert releases.live(SHOP) == second


@pytest.fixture
def slow_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time enough between reading a pointer and replacing it for another mover to come in between."""

    def write(path: Path, value: object) -> None:
        time.sleep(0.02)
        write_json(path, value)

    monkeypatch.setattr(releases, "write_json", write)


def at_once(move: Callable[[str], object], versions: list[str]) -> list[BaseException | None]:
    """What each mover raised; all of them start together."""
    ready = threading.Barrier(len(versions))

    def start(version: str) -> object:
        ready.wait()
        return move(version)

    with ThreadPoolExecutor(len(versions)) as movers:
        return [future.exception() for future in [movers.submit(start, version) for version in versions]]


@pytest.mark.usefixtures("slow_writes")
def test_movers_at_the_same_time_lose_nothing_of_each_other(tmp_path: Path) -> None:
    first, *others = place(tmp_path, "abcdef")
    releases.point(SHOP, first, "first")
    assert not any(at_once(lambda version: releases.point(SHOP, version, "better", withdraw=True), others))
    assert set(releases.withdrawn(SHOP)) == {first, *others} - {releases.live(SHOP)}


@pytest.mark.usefixtures("slow_writes")
def test_of_movers_that_saw_the_same_state_one_wins(tmp_path: Path) -> None:
    first, *others = place(tmp_path, "abcdef")
    releases.point(SHOP, first, "first")
    raised = at_once(lambda version: releases.point(SHOP, version, "better", expected=first), others)
    assert [type(error) for error in raised].count(type(None)) == 1
    assert releases.live(SHOP) == others[raised.index(None)]
    assert all("decide again" in str(error) for error in raised if error)


def canary(share: float, version: str = "20251231-0a1b2c3d") -> releases.Challenger:
    return releases.Challenger(version, share, "canary", datetime(2025, 12, 31, tzinfo=UTC), "test")


@given(st.text(), st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_who_is_in_a_canary_stays_in_it_as_it_grows(unit: str, one: float, other: float) -> None:
    small, large = sorted([one, other])
    assert not releases.in_canary(canary(small), unit) or releases.in_canary(canary(large), unit)
    assert releases.in_canary(canary(small), unit) == releases.in_canary(canary(small), unit)
    assert releases.in_canary(canary(1.0), unit)


@given(st.floats(0.01, 0.99), st.integers(0, 2**32 - 1))
def test_a_canary_gets_its_share_of_the_customers(share: float, seal: int) -> None:
    """Within six standard deviations of a coin with that bias, of 4000 customers and whatever version."""
    challenger = canary(share, f"20251231-{seal:08x}")
    found = sum(releases.in_canary(challenger, str(number)) for number in range(4000)) / 4000
    assert abs(found - share) < 6 * (share * (1 - share) / 4000) ** 0.5


def test_the_next_canary_is_of_other_customers() -> None:
    """Independent: a tenth of a tenth is in both, not the same tenth again and again."""
    one, other = canary(0.1), canary(0.1, "20260101-0a1b2c3d")
    both = sum(releases.in_canary(one, str(n)) and releases.in_canary(other, str(n)) for n in range(20_000))
    assert 120 < both < 280


def test_a_canary_is_the_same_in_every_process_and_release_of_python() -> None:
    found = [number for number in range(60) if releases.in_canary(canary(0.1), f"c{number}")]
    assert found == [17, 19, 21, 23, 26, 33, 34, 55], "who was in a canary must not change with an upgrade"


def test_an_altered_bundle_is_refused_and_leaves_nothing(tmp_path: Path, home: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    (bundle / "members" / "popularity" / "model.txt").write_text("altered")
    with pytest.raises(ReleaseError, match=r"model\.txt differ"):
        releases.put(bundle, SHOP, {})
    assert releases.versions(SHOP) == []
    assert not any((home / "releases").rglob("*.txt"))


@pytest.mark.parametrize("name", ["members/popularity/model.txt", "checksums.json", "manifest.json"])
def test_a_release_altered_on_the_shelf_cannot_go_live(tmp_path: Path, name: str) -> None:
    version = releases.put(make_bundle(tmp_path / "bundle"), SHOP, {})
    path = releases.release_path(SHOP, version) / name
    path.write_text(path.read_text() + " ")
    with pytest.raises(ReleaseError, match="differ"):
        releases.point(SHOP, version, "no")
    assert releases.live(SHOP) is None


def test_putting_again_repairs_a_damaged_release(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    version = releases.put(bundle, SHOP, {})
    (releases.release_path(SHOP, version) / "members" / "popularity" / "model.txt").unlink()
    assert releases.put(bundle, SHOP, {}) == version
    releases.check(releases.release_path(SHOP, version))


def test_an_unsealed_bundle_says_what_to_do(tmp_path: Path) -> None:
    write_json(tmp_path / "bundle" / "manifest.json", {"as_of": "2025-12-31"})
    with pytest.raises(ReleaseError, match="package again"):
        releases.put(tmp_path / "bundle", SHOP, {})


def test_a_missing_release_names_those_that_exist(tmp_path: Path) -> None:
    version = releases.put(make_bundle(tmp_path / "bundle"), SHOP, {})
    with pytest.raises(ReleaseError, match=version):
        releases.point(SHOP, "20240101-00000000", "no")


@pytest.mark.parametrize("version", ["../../etc", "", "None", "20240101-xyz"])
def test_a_version_is_no_path(version: str) -> None:
    with pytest.raises(ReleaseError):
        releases.release_path(SHOP, version)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from components import releases, sealed
    if sys.argv[2] == "while copying":
        sealed.check_bytes = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    version = releases.put(Path(sys.argv[1]), "recommendation", {})
    releases.check = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    releases.point("recommendation", version, "never reached")
"""


@pytest.mark.parametrize("moment", ["while copying", "before pointing"])
def test_kill_9_leaves_the_old_release_live_and_nothing_half_written(tmp_path: Path, home: Path, moment: str) -> None:
    old = releases.put(make_bundle(tmp_path / "old", "old"), SHOP, {})
    releases.point(SHOP, old, "first")
    new = make_bundle(tmp_path / "new", "new")
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(new), moment]
    died = subprocess.run(command, env=os.environ | {"SHOP_HOME": str(home)}, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert releases.live(SHOP) == old
    for version in releases.versions(SHOP):
        releases.check(releases.release_path(SHOP, version))
    version = releases.put(new, SHOP, {})
    releases.point(SHOP, version, "second attempt")
    assert releases.live(SHOP) == version


def test_what_a_killed_copy_left_is_swept_up(tmp_path: Path, home: Path) -> None:
    leftover = home / "releases" / SHOP / ".20251231-00000000.dead.tmp"
    leftover.mkdir(parents=True)
    os.utime(leftover, (0, 0))
    releases.put(make_bundle(tmp_path / "bundle"), SHOP, {})
    assert not leftover.exists()
