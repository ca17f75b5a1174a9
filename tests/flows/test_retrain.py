"""Retrains of a small shop, one after the other: what each leaves behind, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import psutil
import pytest

from components.core.artifacts import folder_checksums

if TYPE_CHECKING:
    from conftest import Shop

Tables = dict[str, pl.DataFrame]
Hunt = Callable[[subprocess.Popen[bytes]], list[psutil.Process]]
Before = Callable[[pl.DataFrame, float], pl.DataFrame]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
APP = "recommendation"


def retrain(shop: Shop, *words: str, status: int = 0, **more: str) -> str:
    return shop.run("flows.retrain", *words, status=status, **more)


def ran(said: str) -> set[str]:
    """Stages that did their work; those that were restored say `kept`."""
    return {line.split()[1] for line in said.splitlines() if line.startswith("done ")}


def test_the_first_retrain_commits_pushes_and_releases(loop_shop: Shop) -> None:
    shop = loop_shop
    head, branch = shop.git("rev-parse", "HEAD"), shop.git("symbolic-ref", "HEAD")
    (shop.root / "params.yaml").open("a").write("# not committed\n")
    said = retrain(shop, "--reason", "the first")
    shop.git("checkout", "--quiet", "params.yaml")
    assert "not seen: params.yaml" in said
    commit = shop.git("rev-parse", "retrain")
    assert (shop.git("rev-parse", "HEAD"), shop.git("symbolic-ref", "HEAD")) == (head, branch)
    assert shop.git("status", "--porcelain") == "" and not (shop.root / "data").exists()
    assert shop.git("log", "-1", "--format=%P %an <%ae>", commit) == f"{head} shop-loop <shop-loop@localhost>"
    assert "the first" in shop.git("log", "-1", "--format=%s", commit)
    assert "[skip ci]" in shop.git("log", "-1", "--format=%b", commit)
    assert shop.git("diff", "--name-only", head, commit).split() == ["dvc.lock", "retrain.json"]
    version = shop.live()
    record = json.loads(shop.git("show", f"{commit}:retrain.json"))
    assert record["applications"][APP]["version"] == version and "ndcg@10" in record["applications"][APP]["metrics"]
    release = json.loads((shop.home / "releases" / APP / str(version) / "release.json").read_text())
    assert release["git"] == commit and release["reason"] == "the first"
    assert len(list((shop.home / "remote").rglob("*"))) > 20, "DVC's remote has the artefacts"
    (line,) = shop.lines()
    assert line["outcome"] == "released" and line["versions"] == {APP: version} and line["commit"] == commit
    assert line["pushed"] and line["problems"] == [] and line["realised_gain"] == {APP: None}
    assert line["n_rows"][APP] > 4000 and line["seconds"] > 0 and line["cpu_seconds"] > 0
    assert line["energy_by"] == ("cpu seconds" if line["energy_kwh"] is None else "rapl")


def test_with_nothing_new_nothing_is_computed_and_nothing_committed(loop_shop: Shop) -> None:
    version, commit = loop_shop.live(), loop_shop.git("rev-parse", "retrain")
    said = retrain(loop_shop, "--reason", "again")
    assert all(name.startswith("collect@") for name in ran(said)), said
    assert "nothing to do" in said and loop_shop.live() == version
    assert loop_shop.git("rev-parse", "retrain") == commit
    assert loop_shop.lines()[-1]["outcome"] == "nothing to do"


def test_what_does_not_pay_is_skipped_and_says_so(loop_shop: Shop) -> None:
    clock = loop_shop.root.parent / "clock"
    clock.write_text(loop_shop.lines()[-1]["as_of"][APP])  # no day has passed since the data ended
    said = retrain(loop_shop, "--trigger", "schedule", "--reason", "Monday", SHOP_CLOCK=str(clock))
    assert "it does not pay" in said and ran(said) == set()
    line = loop_shop.lines()[-1]
    assert line["outcome"] == "skipped" and line["predicted_gain"][APP]["mean"] == 0.0
    assert "commit" not in line and loop_shop.live() == loop_shop.lines()[0]["versions"][APP]


def test_one_at_a_time(loop_shop: Shop) -> None:
    n_lines = len(loop_shop.lines())
    with (loop_shop.home / "retrain" / "lock").open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        said = retrain(loop_shop, status=1)
    assert [line for line in said.splitlines() if line.startswith("error:")] and "is at it" in said
    assert "Traceback" not in said and len(loop_shop.lines()) == n_lines


def test_a_full_disk_fails_in_one_line_and_leaves_the_release(loop_shop: Shop, tiny: Tables, before: Before) -> None:
    """Also in the test below: the next one works."""
    version = loop_shop.live()
    loop_shop.sells(before(tiny["transactions"], 1))
    full = subprocess.run(
        [sys.executable, "-m", "flows.retrain", "--reason", "no disk"], cwd=loop_shop.root, capture_output=True,
        text=True, env=loop_shop.environment(), timeout=280,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )  # fmt: skip
    said = full.stdout + full.stderr

    assert full.returncode == 1, said
    assert len([line for line in full.stderr.splitlines() if line.startswith("error:")]) == 1, said
    assert "Traceback" not in said and loop_shop.live() == version


def test_kill_9_during_training_leaves_no_orphan_and_the_next_reuses_what_was_finished(
    loop_shop: Shop, family_in_training: Hunt
) -> None:
    version, n_lines = loop_shop.live(), len(loop_shop.lines())
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows.retrain", "--reason", "to be killed"], cwd=loop_shop.root,
        env=loop_shop.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    family = family_in_training(flow)
    os.kill(flow.pid, signal.SIGKILL)
    flow.wait()
    deadline = time.monotonic() + 30
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family):
        assert time.monotonic() < deadline, [one.cmdline() for one in family if one.is_running()]
        time.sleep(0.1)
    assert loop_shop.live() == version and len(loop_shop.lines()) == n_lines
    said = retrain(loop_shop, "--reason", "after the kill")
    assert "was killed" in said and loop_shop.live() != version
    assert "kept featurise@recommendation" in said and "featurise@recommendation" not in ran(said)
    killed, line = loop_shop.lines()[n_lines:]
    assert (killed["outcome"], killed["reason"]) == ("killed", "to be killed")
    assert line["outcome"] == "released" and line["champions"] == {APP: version}
    assert line["realised_gain"][APP]["low"] <= line["realised_gain"][APP]["mean"]
    assert loop_shop.git("rev-list", "--count", "HEAD..retrain") == "2"


def test_a_release_is_rebuilt_from_its_commit_byte_by_byte(loop_shop: Shop, tmp_path: Path) -> None:
    line = next(line for line in reversed(loop_shop.lines()) if line["outcome"] == "released")
    clone = tmp_path / "clone"
    loop_shop.git("clone", "--quiet", "--branch", "retrain", str(loop_shop.root), str(clone))
    dvc = [sys.executable, "-m", "dvc"]

    def run(*command: str) -> None:
        ours = loop_shop.environment() | {"SHOP_PROJECT": str(loop_shop.root)}
        done = subprocess.run([*dvc, *command], cwd=clone, env=ours, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout + done.stderr

    run("remote", "modify", "--local", "shelf", "url", str(loop_shop.home / "remote"))
    run("pull", "--quiet", f"package@{APP}", "--with-deps")
    shutil.rmtree(clone / "data" / APP)
    run("repro", "--force", "--no-run-cache", "--downstream", f"featurise@{APP}")
    shelf = loop_shop.home / "releases" / APP / line["versions"][APP]
    assert folder_checksums(clone / "data" / APP / "bundle") == folder_checksums(shelf)


def test_a_refresh_renews_histories_and_trains_nothing(loop_shop: Shop, tiny: Tables) -> None:
    before = loop_shop.live()
    loop_shop.sells(tiny["transactions"])
    said = retrain(loop_shop, "--refresh", "--reason", "a new week")
    assert f"package@{APP}" in ran(said) and not any("train" in name or "ensemble" in name for name in ran(said)), said
    after, line = loop_shop.live(), loop_shop.lines()[-1]
    assert after != before and line["outcome"] == "released" and line["refit"] is False
    old, new = (checksums(loop_shop, version) for version in (before, after))
    assert {name: digest for name, digest in old.items() if name.startswith("members/")} == {
        name: digest for name, digest in new.items() if name.startswith("members/")
    }
    assert old["histories/items.npy"] != new["histories/items.npy"]
    assert line["n_before"] == {APP: loop_shop.lines()[-2]["n_rows"][APP]}, "the weights learned from no more"


def checksums(shop: Shop, version: str | None) -> dict[str, Any]:
    return folder_checksums(shop.home / "releases" / APP / str(version))
