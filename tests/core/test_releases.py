"""Releases: placed whole or not at all, vouched for by their version, moved by one pointer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

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
