"""Copies of what a retrain made, in other places: DVC's remote and git's.

Each may take its time and no more, and nobody is asked for a password: a place that does not answer must hold back
neither the release nor the next retrain.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flows.graph import Stage
from flows.leash import limited
from flows.worktree import command_of, environment, git

ALONE = {"GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS_REQUIRE": "never"}
OWN_SSH = ("GIT_SSH", "GIT_SSH_COMMAND")


def push_data(folder: Path, stages: Iterable[Stage], seconds: float) -> str:
    """Copy what these stages made to DVC's default remote; returns why not, where it could not be done."""
    names = [stage.name for stage in stages if stage.outs]
    return _complaint("dvc push", [sys.executable, "-m", "dvc", "push", *names], folder, os.environ, seconds)


def push_branch(project: Path, remote: str, branch: str, seconds: float) -> str:
    """Copy a branch to a remote of git; returns why not, where it could not be done."""
    name, own = f"refs/heads/{branch}", environment()
    if not any(own.get(variable) for variable in OWN_SSH) and not git(
        project, "config", "core.sshCommand", allowed=(0, 1)
    ):
        own["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
    command = command_of("push", "--quiet", remote, f"{name}:{name}")
    return _complaint("git push", command, project, own, seconds)


def _complaint(what: str, command: Sequence[str], folder: Path, surroundings: Mapping[str, str], seconds: float) -> str:
    status, said = limited(command, folder, {**surroundings, **ALONE}, seconds)
    if status == 0:
        return ""
    if status is None:
        return f"{what}: stopped after {seconds:g} s without an end (retrain.push_seconds in params.yaml)"
    return f"{what}: {_last_words(said) or f'ended with status {status}'}"


def _last_words(said: str) -> str:
    """DVC's or git's own line on what went wrong; else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for prefix in ("ERROR: ", "fatal: ", "error: "):
        if told := [line for line in lines if line.startswith(prefix)]:
            return told[-1].removeprefix(prefix)
    return lines[-1] if lines else ""
