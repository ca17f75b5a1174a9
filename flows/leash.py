"""A command that cannot outlive whoever started it: `python flows/leash.py COMMAND...`.

DVC leaves its stage running when it is killed, and a killed flow leaves DVC. So each command runs
in a process group of its own, under this small process, which holds a pipe to its starter: when the
pipe closes (the starter ended, however), when a signal comes, or when the command ends before its
children, the whole group is stopped. Only the standard library, so that it starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

POLITELY = ((signal.SIGINT, 6.0), (signal.SIGTERM, 2.0))  # DVC and Python end cleanly on SIGINT
LEFT_BEHIND = ((signal.SIGTERM, 2.0),)  # a stage whose DVC was killed: nobody will record its output


class Leashed:
    """A running command; its output (both streams) comes as lines."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), *command],
            cwd=folder,
            env=None if environment is None else dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the flow alone, which then decides
        )

    @property
    def output(self) -> IO[str]:
        """Lines as they come; ends when the whole group has ended."""
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        return self._process.stdout

    def wait(self) -> int:
        """The command's exit status; 128 + signal where a signal ended it."""
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def running(self) -> bool:
        """Whether anything of it still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask the whole group to stop, as Ctrl-C would; it is killed after some seconds of grace."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)


def limited(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None, seconds: float
) -> tuple[int | None, str]:
    """Run a command; its exit status and output. The status is None where its time was over and it was stopped."""
    leashed, over = Leashed(command, folder, environment), threading.Event()

    def stop() -> None:
        over.set()
        leashed.stop()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        said, status = leashed.output.read(), leashed.wait()
    except BaseException:  # Ctrl-C, or Prefect cancelling the run
        leashed.stop()
        leashed.wait()
        raise
    finally:
        timer.cancel()
    return (None if over.is_set() and status else status), said


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _stop_group(group: int, steps: Sequence[tuple[int, float]]) -> None:
    """Each signal in turn with its seconds of grace, then SIGKILL to whatever is left."""
    for number, seconds in steps:
        _signal_group(group, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not _signal_group(group, 0):
                return
            time.sleep(0.02)
    _signal_group(group, signal.SIGKILL)


class _Hold:
    """Runs one command until it ends, a signal comes or the starter is gone."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def stop(self, *_: object) -> None:
        self._stopping.set()

    def run(self, command: Sequence[str]) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # before there is a child to lose
            signal.signal(number, self.stop)
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        threading.Thread(target=self._watch_starter, daemon=True).start()
        threading.Thread(target=self._stop_when_asked, args=(child.pid,), daemon=True).start()
        code = child.wait()
        _stop_group(child.pid, LEFT_BEHIND)
        return code if code >= 0 else 128 - code

    def _watch_starter(self) -> None:
        while os.read(0, 4096):
            pass
        self.stop()

    def _stop_when_asked(self, group: int) -> None:
        self._stopping.wait()
        _stop_group(group, POLITELY)


if __name__ == "__main__":
    sys.exit(_Hold().run(sys.argv[1:]))
