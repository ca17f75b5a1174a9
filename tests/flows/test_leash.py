"""Nothing that was started outlives whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from flows.leash import Leashed

ROOT = Path(__file__).parents[2]
NESTED = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def started(command: list[str], folder: Path) -> tuple[Leashed, list[psutil.Process]]:
    """The running command and the three processes that it takes: leash, command, the command's child.

    Others below this process are left out: the server that other tests share is one.
    """
    others = set(below(os.getpid()))
    leashed = Leashed(command, folder)
    assert eventually(lambda: len(set(below(os.getpid())) - others) >= 3)
    return leashed, [process for process in below(os.getpid()) if process not in others]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_output_and_status_come_through(tmp_path: Path) -> None:
    leashed = Leashed(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path)
    assert sorted(leashed.output) == ["err\n", "out\n"]
    assert leashed.wait() == 3


def test_stop_ends_the_grandchildren_too(tmp_path: Path) -> None:
    leashed, family = started([sys.executable, "-c", NESTED], tmp_path)
    leashed.stop()
    assert leashed.wait() != 0
    assert gone(family)


def test_a_process_that_ignores_the_polite_signals_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(2, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    leashed = Leashed([sys.executable, "-c", stubborn], tmp_path)
    assert next(iter(leashed.output)) == "up\n"
    began = time.monotonic()
    leashed.stop()
    leashed.wait()
    assert time.monotonic() - began < 15


def test_kill_9_of_the_starter_leaves_no_orphan(tmp_path: Path) -> None:
    script = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from flows.leash import Leashed
leashed = Leashed([sys.executable, "-c", {NESTED!r}], Path("."))
list(leashed.output)
"""
    starter = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    assert eventually(lambda: len(below(starter.pid)) >= 3)
    family = below(starter.pid)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    assert eventually(lambda: gone(family))


def test_kill_9_of_the_command_ends_what_it_left_behind(tmp_path: Path) -> None:
    """DVC killed while its stage runs: the stage must not go on writing."""
    leashed, family = started([sys.executable, "-c", NESTED], tmp_path)
    command = next(process for process in family if process.parent() and NESTED in process.cmdline()
                   and str(ROOT / "flows" / "leash.py") not in process.cmdline())  # fmt: skip
    command.kill()
    leashed.wait()
    assert gone(family)
