"""What a retrain is put together from: the worktree and its commit, the ledger, the estimate of whether it pays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.core.artifacts import write_json
from components.core.errors import ShopError
from flows import worth
from flows.artefacts import lock_of_live, restore, share_cache, starting_lock
from flows.learning_curve import Gain
from flows.ledger import Ledger
from flows.worktree import git, make_worktree, shown, unseen
from flows.worth import Amount, Expectation, amount_of, expectation, paired

AUTHOR = "bot <bot@localhost>"


@pytest.fixture
def committed(project: Path) -> Iterator[Path]:
    """The small graph of conftest.py, committed."""
    for key, value in {"user.name": "a", "user.email": "a@b"}.items():
        git(project, "config", key, value)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Start")
    yield project


def dvc(folder: Path, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def test_a_commit_follows_the_branch_and_head_and_touches_no_checkout(committed: Path) -> None:
    hook = committed / ".git" / "hooks" / "reference-transaction"
    hook.write_text("#!/bin/sh\necho fired >> ../fired\n")
    hook.chmod(0o755)
    work = make_worktree(committed, committed / "shop" / "work", "retrain")
    (work.folder / "dvc.lock").write_text("one\n")
    first = work.commit(("dvc.lock",), "Retrain\n\n[skip ci]", AUTHOR)
    assert git(committed, "log", "-1", "--format=%P|%an|%ce", first) == f"{work.head}|bot|bot@localhost"
    assert git(work.folder, "describe", "--always", "--dirty", "--abbrev=40") == first

    (committed / "left.txt").write_text("moved on\n")
    assert unseen(committed) == []
    git(committed, "commit", "--quiet", "--all", "--message", "Go on")
    (committed / "params.yaml").write_text("left: {size: 2}\n")
    assert unseen(committed) == ["params.yaml"]
    hook.unlink()
    work = make_worktree(committed, committed / "shop" / "work", "retrain")
    assert (work.folder / "left.txt").read_text() == "moved on\n" and not (work.folder / "dvc.lock").exists()
    (work.folder / "dvc.lock").write_text("two\n")
    second = work.commit(("dvc.lock",), "Retrain", AUTHOR)
    assert git(committed, "log", "-1", "--format=%P", second).split() == [first, work.head]
    assert git(committed, "rev-parse", "retrain") == second and shown(committed, "retrain", "dvc.lock") == "two\n"
    assert git(committed, "status", "--porcelain") == "M params.yaml" and not (committed / "dvc.lock").exists()
    assert not (committed / "fired").exists() and not list(committed.rglob("fired"))


def test_leftovers_of_a_killed_retrain_are_no_trouble(committed: Path) -> None:
    place = committed / "shop" / "work"
    work = make_worktree(committed, place, "retrain")
    (place / "data").mkdir()
    (committed / ".git" / "worktrees" / "work" / "locked").write_text("initializing")
    (place / ".git").unlink()  # git knows a worktree that is none any more
    again = make_worktree(committed, place, "retrain")
    assert again.head == work.head and not (place / "data").exists()
    assert git(committed, "worktree", "list").count("\n") == 1
    shutil.rmtree(place)  # somebody tidied up, and git does not know
    make_worktree(committed, place, "retrain")
    assert len(list((committed / ".git" / "worktrees").iterdir())) == 1, "none piles up"


def test_somebody_s_worktree_whose_disk_is_away_is_there_when_it_comes_back(committed: Path, tmp_path: Path) -> None:
    theirs, away = tmp_path / "theirs", tmp_path / "away"
    git(committed, "worktree", "add", "--quiet", "-b", "feature", str(theirs))
    (theirs / "left.txt").write_text("their work\n")
    git(theirs, "add", "left.txt")
    theirs.rename(away)
    for _ in range(2):
        make_worktree(committed, committed / "shop" / "work", "retrain")
    away.rename(theirs)
    assert (
        git(theirs, "status", "--porcelain") == "M  left.txt" and git(theirs, "branch", "--show-current") == "feature"
    )


def test_nobody_may_stand_on_the_branch_and_mistakes_are_one_line(committed: Path) -> None:
    git(committed, "checkout", "--quiet", "-b", "retrain")
    with pytest.raises(ShopError, match="expected nobody to stand on the branch retrain"):
        make_worktree(committed, committed / "shop" / "work", "retrain")
    git(committed, "checkout", "--quiet", "-")
    work = make_worktree(committed, committed / "shop" / "work", "retrain")
    (work.folder / "dvc.lock").write_text("one\n")
    with pytest.raises(ShopError, match=r"expected retrain\.author as"):
        work.commit(("dvc.lock",), "Retrain", "somebody")
    with pytest.raises(ShopError, match="not a git repository"):
        make_worktree(committed.parent, committed.parent / "work", "retrain")


def test_the_worktree_shares_cache_and_remote_and_takes_the_newer_lock(committed: Path) -> None:
    dvc(committed, "remote", "add", "--default", "shelf", "shop/remote")
    git(committed, "commit", "--quiet", "--all", "--message", "Name a remote")
    dvc(committed, "repro", "--quiet")
    work = make_worktree(committed, committed / "shop" / "work", "retrain")
    share_cache(committed, work.folder)
    lock = starting_lock(committed, "retrain")
    assert lock == (committed / "dvc.lock").read_text()
    assert restore(work.folder, lock, ()) == ""
    assert (work.folder / "data" / "join.txt").read_text() == "source\nleft\nsource\n"
    assert dvc(work.folder, "cache", "dir").strip() == str(committed / ".dvc" / "cache")
    dvc(work.folder, "push", "--quiet")
    assert len([path for path in (committed / "shop" / "remote").rglob("*") if path.is_file()]) >= 4

    (work.folder / "dvc.lock").write_text("schema: '2.0'\n")
    work.commit(("dvc.lock",), "Retrain", AUTHOR)
    for days, newer in ((-1, "schema: '2.0'\n"), (1, lock)):  # of the checkout's, which no commit holds yet
        at = datetime.now().timestamp() + 86400 * days
        os.utime(committed / "dvc.lock", (at, at))
        assert starting_lock(committed, "retrain") == newer


def test_a_refresh_needs_the_lock_of_what_is_live(committed: Path) -> None:
    with pytest.raises(ShopError, match="expected a live release of recommendation"):
        lock_of_live(committed, "retrain", ["recommendation"], None)


def test_the_ledger_survives_torn_lines_and_notes_what_was_killed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "shop")
    assert ledger.lines() == [] and ledger.note_killed() is None
    ledger.begin({"reason": "one"})
    ledger.end({"reason": "one", "outcome": "released"})
    with ledger.path.open("a") as stream:
        stream.write('{"reason": "torn')
    ledger.begin({"reason": "two"})
    assert ledger.note_killed() == ledger.lines()[-1]
    assert [(line["reason"], line["outcome"]) for line in ledger.lines()] == [("one", "released"), ("two", "killed")]
    assert ledger.note_killed() is None


AS_OF = datetime(2025, 7, 1, tzinfo=UTC)


def test_what_there_is_to_learn_from_grows_by_the_day_and_not_without_end(tmp_path: Path) -> None:
    import polars as pl

    folder = tmp_path / "accepted" / "transactions"
    for name, rows in (("transactions", 1000), ("products", 50)):
        write_json(tmp_path / "accepted" / name / "meta.json", {"rows": rows, "as_of": AS_OF.isoformat()})
    days = [AS_OF - timedelta(days=day) for day in range(1, 101)]
    pl.DataFrame({"at": days}, schema={"at": pl.Datetime("us", "UTC")}).write_parquet(folder / "part-1.parquet")
    tables: dict[str, Any] = {"transactions": {}, "products": {}}
    write_json(tmp_path / "recommendation" / "features" / "data.json", {"as_of": AS_OF.isoformat(), "tables": tables})
    amount = amount_of(tmp_path, "recommendation")
    assert (amount.rows, amount.per_day) == (1000, pytest.approx(10))
    (tmp_path / "accepted" / "feedback").mkdir()
    events = pl.DataFrame({"at": [AS_OF + timedelta(hours=hour) for hour in range(-5, 7)]})
    events.write_parquet(tmp_path / "accepted" / "feedback" / "part-1.parquet")
    assert amount_of(tmp_path, "recommendation").rows == 1007, "what the shop's own tables have counts once"
    assert amount.grown(AS_OF + timedelta(days=7)) == pytest.approx(1070)
    assert amount.grown(AS_OF - timedelta(days=7)) == 1000
    assert amount.grown(AS_OF + timedelta(days=9999)) == 2000


def line_of(week: int, gain: float, **more: Any) -> dict[str, Any]:
    """A weekly retrain that took 100 processor seconds, 60 of them for demand."""
    return {
        "refit": True,
        "n_before": {"demand": 1000 + 10 * week},
        "n_rows": {"demand": 1010 + 10 * week},
        "rows_per_day": {"demand": 10 / 7},
        "as_of": {"demand": (AS_OF + timedelta(weeks=week)).isoformat()},
        "realised_gain": {"demand": {"mean": gain, "low": gain - 0.0002, "high": gain + 0.0002}},
        "versions": {"demand": f"v{week}"},
        "cost_share": {"demand": 0.6},
        "seconds": 50.0,
        "cpu_seconds": 100.0,
        "energy_kwh": None,
        **more,
    }


@pytest.mark.parametrize(("gain", "pays"), [(0.002, True), (0.0, False)])
def test_past_retrains_decide_whether_another_pays(monkeypatch: pytest.MonkeyPatch, gain: float, pays: bool) -> None:
    monkeypatch.setattr(worth.releases, "live", lambda name: "v9")
    monkeypatch.setattr(worth.releases, "release_path", lambda name, version: Path())
    monkeypatch.setattr(worth, "_error", lambda *_: 0.3)
    monkeypatch.setattr(worth, "now", lambda: AS_OF + timedelta(weeks=10))
    lines = [line_of(week, gain) for week in range(10)]
    found = expectation("demand", lines, [], least=0.05)
    assert (found.before, found.after) == (1100, pytest.approx(1110))
    assert (found.cpu_seconds, found.seconds, found.retrains) == (60, 30, 10)
    assert found.pays is pays, found.words
    assert ("it pays" in found.words) is pays
    assert found.gain is not None and abs(found.gain.mean - gain) < 3e-4
    refreshed = line_of(10, 0.0, refit=False, versions={"demand": "v10"}, n_before={"demand": 1100})
    monkeypatch.setattr(worth.releases, "live", lambda name: "v10")
    assert expectation("demand", [*lines, refreshed], [], least=0.05).before == 1100, "a refresh teaches nothing"


def test_where_nothing_is_known_it_runs() -> None:
    unknown = Expectation("demand", "wql", None, None, None, None, None, None, 1.0, 0)
    assert unknown.pays and "no release, or no data" in unknown.words
    priced = Expectation("demand", "wql", 1000, 1010, Gain(1e-4, 1e-5, 1e-3), 3600.0, 900.0, 0.05, 2e-4, 3)
    assert not priced.pays and "0.0500 kWh" in priced.words and "it does not pay" in priced.words


def test_a_difference_is_told_with_the_sign_of_better() -> None:
    difference = {"mean": -0.01, "low": -0.02, "high": 0.005}
    assert paired(difference, "higher") == difference
    assert paired(difference, "lower") == {"mean": 0.01, "low": -0.005, "high": 0.02}
    assert paired(None, "lower") is None
    assert Amount(10, AS_OF, 1).grown(AS_OF + timedelta(days=1)) == 11
