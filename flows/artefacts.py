"""DVC's side of a retrain: the project's cache in the worktree, and what is known already."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components import releases
from components.core.artifacts import read_json, write_text
from components.core.errors import ShopError
from flows.graph import application_of
from flows.worktree import git, shown, tip_of

LOCK = "dvc.lock"
RELEASE = "release.json"
LINKS = "reflink,hardlink,symlink,copy"  # safe: DVC takes an output away, or makes it a copy, before its stage runs


def share_cache(project: Path, folder: Path) -> None:
    """Give the worktree the project's cache, remotes and credentials, as absolute paths."""
    from dvc.config import Config, ConfigError
    from dvc.config import merge as merge_config

    try:
        theirs = Config(str(project / ".dvc")).read()
        cache = {"dir": str(theirs.get("cache", {}).get("dir") or project / ".dvc" / "cache"), "type": LINKS}
        with Config(str(folder / ".dvc")).edit("local") as ours:
            merge_config(ours, {**theirs, "cache": {**theirs.get("cache", {}), **cache}})
    except ConfigError as error:
        raise ShopError(f".dvc/config: {error}; `dvc config --list` shows it") from error
    (folder / ".dvc" / "config.local").chmod(0o600)  # a remote's password may stand in it


def starting_lock(project: Path, branch: str) -> str | None:
    """The newer of two dvc.lock: the last retrain's and the checkout's; None where there is neither.

    It decides what is restored and so need not be computed, never what comes out.
    """
    tip, file = tip_of(project, branch), project / LOCK
    own = file.read_text(encoding="utf-8") if file.is_file() else None
    theirs = shown(project, tip, LOCK) if tip else None
    if own is None or theirs is None or tip is None:
        return own or theirs
    return theirs if _committed(project, tip) >= _written(project, file) else own


def lock_of_live(project: Path, branch: str, applications: Sequence[str], start: str | None) -> str:
    """`start` with the entries from which the live release of each application was made.

    Raises ShopError where the dvc.lock of a live release is neither in its commit, nor on the branch, nor here.
    """
    whole = _entries(start)
    for application in applications:
        theirs = _entries(_lock_of_release(project, branch, application))
        kept = {name: entry for name, entry in whole.items() if application_of(name) != application}
        whole = kept | {name: entry for name, entry in theirs.items() if application_of(name) == application}
    return yaml.safe_dump({"schema": "2.0", "stages": whole}, sort_keys=False)


def restore(folder: Path, lock: str | None, states: Sequence[Path]) -> str:
    """Lay out what `lock` names, as far as the cache has it; returns DVC's complaint, if it has one.

    `states` are folders with collect's notes about its sources, the best first.
    """
    if lock is not None:
        write_text(folder / LOCK, lock)
    said = dvc(folder, "checkout", "--force", "--allow-missing")
    keep_states(next((place for place in states if any(_states(place))), folder), folder / "data" / "collected")
    return said


def keep_states(source: Path, target: Path) -> None:
    """Copy collect's notes: they hold only where parts and sources are still what they were, which it checks."""
    for path in _states(source):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.name)


def dvc(folder: Path, *words: str) -> str:
    """Run DVC in `folder`; returns its last words where it fails, else nothing."""
    done = subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR: ")]
    return f"dvc {words[0]}: {said[-1].removeprefix('ERROR: ') if said else f'status {done.returncode}'}"


def _lock_of_release(project: Path, branch: str, application: str) -> str:
    version = releases.live(application)
    if version is None:
        raise ShopError(f"expected a live release of {application} to be refreshed, got none; make one: make loop")
    facts = read_json(releases.release_path(application, version) / RELEASE)
    file, commit = project / LOCK, str(facts.get("git", "")).removesuffix("-dirty")
    found = [shown(project, commit, LOCK) if commit else None, shown(project, branch, LOCK)]
    found += [file.read_text(encoding="utf-8") if file.is_file() else None]
    for text in found:
        if text is not None and _md5(text) == facts.get("dvc"):
            return text
    raise ShopError(
        f"{application}: expected the dvc.lock that release {version} was made from (MD5 {facts.get('dvc')}) in its "
        f"commit, on the branch {branch} or here, but it is in none of them; retrain instead of refreshing"
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _entries(lock: str | None) -> dict[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(lock or "") or {}
    return dict(found.get("stages") or {})


def _committed(project: Path, commit: str, *files: str) -> float:
    return float(git(project, "log", "-1", "--format=%ct", commit, "--", *files) or 0)


def _written(project: Path, file: Path) -> float:
    """When it got what it holds: its commit's time, or its own where no commit has it like that."""
    if git(project, "status", "--porcelain", "--", file.name):
        return file.stat().st_mtime
    return _committed(project, "HEAD", file.name)


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*.state.json"))
