"""A clean place for a retrain: a git worktree of HEAD, and the commit on a branch of its own that ends it.

It is made anew each time, so what a killed retrain left behind is gone. Nobody's checkout, index or HEAD is
touched, and no hook of the repository runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import ShopError

ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
CODE = ("params.yaml", "dvc.yaml", "components", "flows", "expectations", "requirements.lock")
_AUTHOR = re.compile(r"(?P<name>[^<>]+?)\s*<(?P<email>[^<>\s]*)>")


@dataclass(frozen=True, slots=True)
class Worktree:
    """One retrain's place.

    project  the checkout's project, which stays as it is
    folder   the project as of `head`
    head     the commit that it was made of
    branch   where its commit goes
    """

    project: Path
    folder: Path
    head: str
    branch: str

    @property
    def tip(self) -> str | None:
        """The newest commit of the branch; None before the first."""
        return tip_of(self.project, self.branch)

    def commit(self, files: Sequence[str], message: str, author: str) -> str:
        """A commit of HEAD's tree with `files` as they are here, after the branch's tip and HEAD; returns it.

        The worktree then stands on it, so that what is released from here names it. Raises ShopError where
        somebody else moved the branch meanwhile.
        """
        git(self.folder, "add", "--force", "--", *files)
        tree, tip = git(self.folder, "write-tree"), self.tip
        parents = [word for parent in self._parents(tip) for word in ("-p", parent)]
        made = git(self.folder, "commit-tree", tree, *parents, "-m", message, signed=_signed(author))
        git(self.project, "update-ref", "-m", "retrain", f"refs/heads/{self.branch}", made, tip or "0" * len(made))
        self.stand_on(made)
        return made

    def stand_on(self, commit: str) -> None:
        """Let the worktree's own HEAD, and no branch, name `commit`; the files stay as they are."""
        git(self.folder, "update-ref", "--no-deref", "HEAD", commit)
        git(self.folder, "read-tree", commit)
        git(self.folder, "update-index", "-q", "--refresh", allowed=(0, 1))

    def same_as(self, commit: str, but: Sequence[str]) -> bool:
        """Whether the files here are those of `commit`, apart from `but`."""
        rest = [f":(exclude){name}" for name in but]
        return not git(self.folder, "diff", "--name-only", commit, "--", ".", *rest)

    def _parents(self, tip: str | None) -> list[str]:
        if tip is None:
            return [self.head]
        follows = not git(self.project, "rev-list", "--max-count=1", self.head, f"^{tip}")
        return [tip] if follows else [tip, self.head]


def make_worktree(project: Path, place: Path, branch: str) -> Worktree:
    """A worktree of the project's HEAD at `place`, whatever was there before.

    No other worktree is touched: git's own `prune` would end those whose disk is not there at the moment.

    Raises ShopError where there is no commit to work from, or a checkout stands on the branch.
    """
    _check_free(project, branch)
    head = git(project, "rev-parse", "HEAD")
    git(project, "worktree", "remove", "--force", "--force", str(place), allowed=(0, 128))
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    git(project, "worktree", "add", "--force", "--force", "--quiet", "--detach", str(place), head)
    return Worktree(project, place / git(project, "rev-parse", "--show-prefix"), head, branch)


def tip_of(project: Path, branch: str) -> str | None:
    """The newest commit of a branch; None where there is no such branch."""
    return git(project, "rev-parse", "--quiet", "--verify", f"refs/heads/{branch}", allowed=(0, 1)) or None


def shown(project: Path, commit: str, file: str) -> str | None:
    """The text of a file of the project as of `commit`; None where either is unknown."""
    done = _run(project, ("show", f"{commit}:./{file}"), {})
    return done.stdout if done.returncode == 0 else None


def unseen(project: Path) -> list[str]:
    """Files with changes that no commit holds, which a retrain therefore does not see."""
    said = git(project, "status", "--porcelain", "--", *CODE)
    return [line.split(maxsplit=1)[1] for line in said.splitlines()]


def git(folder: Path, *words: str, allowed: Sequence[int] = (0,), signed: Mapping[str, str] | None = None) -> str:
    """What git answers, stripped, nothing where it fails as `allowed`; raises ShopError with git's own words."""
    done = _run(folder, words, signed or {})
    if done.returncode not in allowed:
        raise ShopError(
            f"git {words[0]}: {_said(done)}; a retrain needs a repository with a commit, and its branch to itself"
        )
    return done.stdout.strip() if done.returncode == 0 else ""


def command_of(*words: str) -> list[str]:
    """git with these words, and without the repository's hooks."""
    return ["git", "-c", f"core.hooksPath={os.devnull}", *words]


def environment() -> dict[str, str]:
    """Ours, without what would lead git elsewhere, and in the language that its answers are read in."""
    return {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {"LC_ALL": "C"}


def _run(folder: Path, words: Sequence[str], more: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command_of(*words), cwd=folder, env=environment() | dict(more), capture_output=True, text=True
        )
    except FileNotFoundError:
        raise ShopError("expected git, which is not installed; a retrain works in a worktree of it") from None


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    return lines[-1].removeprefix("fatal: ") if lines else f"ended with status {done.returncode}"


def _check_free(project: Path, branch: str) -> None:
    """Raise ShopError where a commit on the branch would move somebody's checkout."""
    folder = ""
    for line in git(project, "worktree", "list", "--porcelain").splitlines():
        folder = line.removeprefix("worktree ") if line.startswith("worktree ") else folder
        if line == f"branch refs/heads/{branch}":
            raise ShopError(
                f"expected nobody to stand on the branch {branch}, which retrains commit to, but {folder} does; "
                "check out another, or name another as retrain.branch in params.yaml"
            )


def _signed(author: str) -> dict[str, str]:
    found = _AUTHOR.fullmatch(author.strip())
    if found is None:
        raise ShopError(f'expected retrain.author as "name <address>", got {author!r}; correct params.yaml')
    name, email = found["name"], found["email"]
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
            (("NAME", name), ("EMAIL", email))}  # fmt: skip
