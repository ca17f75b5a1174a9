"""Runs stages of the graph, each as `dvc repro --single-item NAME`, as many at once as the machine bears."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import psutil

from components.core.errors import ShopError
from flows.leash import Leashed

GIB_PER_STAGE = 3.0  # a guess at what a stage takes at its peak; --side-by-side overrules it
TAIL = 40  # lines kept to find a reason in

_held: ContextVar[frozenset[Path]] = ContextVar("locks that this flow holds", default=frozenset())

Outcome = Literal["ran", "unchanged", "restored"]


class StageFailed(ShopError):
    """A stage ended with an error, or was stopped; what depends on it does not run."""


class Watcher(Protocol):
    """Whoever shows a person what goes on; called from several threads."""

    def started(self, stage: str) -> None: ...
    def said(self, stage: str, line: str) -> None: ...
    def ended(self, stage: str, how: str, seconds: float) -> None: ...


@dataclass(slots=True)
class Crew:
    """Slots for stages, the processes that occupy them, and the way to stop them all.

    root     the project
    logs     one file per stage, written anew by each run of it
    watcher  is told what happens
    slots    stages that run at once
    """

    root: Path
    logs: Path
    watcher: Watcher
    slots: int
    _free: threading.Semaphore = field(init=False)
    _running: set[Leashed] = field(init=False, default_factory=set)
    _stopping: threading.Event = field(init=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._free = threading.Semaphore(self.slots)
        self.logs.mkdir(parents=True, exist_ok=True)

    def run(self, stage: str) -> Outcome:
        """Run one stage to its end; raises StageFailed with the stage's own last words."""
        with self._free:
            if self._stopping.is_set():
                raise StageFailed(f"{stage}: not started, since the run was stopped")
            self.watcher.started(stage)
            began = time.monotonic()
            how: Outcome | Literal["failed"] = "failed"
            try:
                how = self._repro(stage)
            finally:
                self.watcher.ended(stage, how, time.monotonic() - began)
            return how

    def stop(self) -> None:
        """Stop every stage and start no other; returns at once, `run` returns when a stage has ended."""
        self._stopping.set()
        for leashed in list(self._running):
            leashed.stop()

    def _repro(self, stage: str) -> Outcome:
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
        leashed = Leashed(command, self.root, self._environment())
        self._running.add(leashed)
        if self._stopping.is_set():  # stop() may have looked a moment too early
            leashed.stop()
        lines: list[str] = []
        try:
            with (self.logs / f"{stage}.log").open("w", encoding="utf-8") as log:
                for line in leashed.output:
                    log.write(line)
                    lines = [*lines[1 - TAIL :], line.rstrip()]
                    self.watcher.said(stage, line.rstrip())
            code = leashed.wait()
        finally:
            self._running.discard(leashed)
        if code != 0:
            raise StageFailed(f"{stage}: {_reason(lines, code)}")
        return _outcome(lines)

    def _environment(self) -> dict[str, str]:
        """Ours, with this Python first on the path and the machine shared fairly between the slots."""
        share = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, _cores() // self.slots))),
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **share}


def sensible_slots() -> int:
    """As many stages at once as there are cores, and memory for."""
    return max(1, min(_cores(), int(psutil.virtual_memory().available / 2**30 / GIB_PER_STAGE)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _outcome(lines: Sequence[str]) -> Outcome:
    """What DVC says it did with a stage."""
    if any("didn't change, skipping" in line for line in lines):
        return "unchanged"
    return "restored" if any("is cached - skipping run" in line for line in lines) else "ran"


def _reason(lines: Sequence[str], code: int) -> str:
    """The last thing that the stage, and not DVC about it, said."""
    own = [line for line in lines if line.strip() and not line.startswith("ERROR: failed to reproduce")]
    return own[-1].removeprefix("ERROR: ").removeprefix("error: ") if own else f"ended with status {code}"


@contextmanager
def only_run(root: Path) -> Iterator[None]:
    """One run of the graph, or release of what it made, per project."""
    with alone(root.resolve() / ".dvc" / "tmp" / "pipeline.lock", f"other run in {root.resolve()}"):
        yield


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at `path`; it goes with the process, however that ends. `what` would be in the way, in words.

    Whoever holds it may take it again: the pipeline holds it over the releases that it calls.
    """
    if path in _held.get():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            raise ShopError(f"expected no {what}, but process {stream.read().strip()} is at it; wait for it") from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        before = _held.set(_held.get() | {path})
        try:
            yield
        finally:
            _held.reset(before)
