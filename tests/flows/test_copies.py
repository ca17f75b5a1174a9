"""Copies elsewhere: a place that does not answer costs its time and no more, and is said."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from flows.copies import push_branch, push_data
from flows.graph import read_graph
from flows.leash import limited
from flows.worktree import git


@pytest.fixture
def committed(project: Path) -> Path:
    """The small graph of conftest.py, committed on a branch `retrain`."""
    git(project, "add", "--all")
    git(project, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "Start")
    git(project, "branch", "retrain")
    return project


def test_a_branch_is_copied_and_a_mistake_is_one_line(committed: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "theirs.git")
    assert push_branch(committed, str(tmp_path / "theirs.git"), "retrain", 60) == ""
    assert git(tmp_path / "theirs.git", "rev-parse", "retrain") == git(committed, "rev-parse", "retrain")
    complaint = push_branch(committed, str(tmp_path / "nobody.git"), "retrain", 60)
    assert complaint.startswith("git push: ") and "\n" not in complaint


def test_a_remote_that_never_answers_is_given_up(committed: Path, tmp_path: Path) -> None:
    helper, note = tmp_path / "helper.sh", tmp_path / "pid"
    helper.write_text(f'echo $$ $GIT_TERMINAL_PROMPT "$GIT_SSH_COMMAND" > {note}\nexec sleep 600\n')
    git(committed, "config", "protocol.ext.allow", "always")
    complaint = push_branch(committed, f"ext::sh {helper}", "retrain", 6)
    assert complaint == "git push: stopped after 6 s without an end (retrain.push_seconds in params.yaml)"
    pid, prompt, *ssh = note.read_text().split()
    assert prompt == "0" and "BatchMode=yes" in ssh
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


def test_a_person_s_own_ssh_command_is_left_as_it_is(committed: Path, tmp_path: Path) -> None:
    helper, note = tmp_path / "helper.sh", tmp_path / "said"
    helper.write_text(f'echo "<$GIT_SSH_COMMAND>" > {note}\nexit 1\n')
    git(committed, "config", "protocol.ext.allow", "always")
    git(committed, "config", "core.sshCommand", "ssh -i my-key")
    assert push_branch(committed, f"ext::sh {helper}", "retrain", 60)
    assert note.read_text() == "<>\n"


def test_dvc_s_remote_has_its_time_too(committed: Path) -> None:
    stages = list(read_graph(committed))[:1]
    assert "no remote" in push_data(committed, stages, 60)
    assert "stopped after 0.05 s" in push_data(committed, stages, 0.05)


def test_what_is_done_in_time_is_told_as_it_ended(tmp_path: Path) -> None:
    assert limited(["sh", "-c", "echo said; exit 3"], tmp_path, os.environ, 60) == (3, "said\n")
    assert limited(["sleep", "600"], tmp_path, os.environ, 1)[0] is None
