"""All that a small shop runs, started and stopped as `make up` and `make down` do."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from flows import QUIET, processes
from flows.status import _next

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shop:
    """A copy of the project, and commands in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.port, self.prefect_port = root, free_port(), free_port()

    def run(self, *words: str, status: int = 0) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOP_", "PREFECT_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        own = {"PATH": path, "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=self.root, env={**kept, **QUIET, **own}, capture_output=True,
            text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self, status: int = 0) -> str:
        ports = ("--port", str(self.port), "--prefect-port", str(self.prefect_port))
        return self.run("flows.processes", "up", *ports, status=status)

    def family(self) -> list[psutil.Process]:
        pid = int((self.root / "shop" / "run" / "supervisord.pid").read_text())
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("s")  # short: a socket lies below it
    for name in ("components", "expectations", "flows", "serving"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", "prefect.yaml"):
        shutil.copy(ROOT / name, root / name)
    made = Shop(root)
    try:
        yield made
    finally:
        made.run("flows.processes", "down")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_up_status_and_down(shop: Shop) -> None:
    said = shop.up()
    assert f"http://127.0.0.1:{shop.port}" in said and f"http://127.0.0.1:{shop.prefect_port}" in said
    with urllib.request.urlopen(f"http://127.0.0.1:{shop.port}/livez", timeout=10) as answer:
        assert answer.status == 200
    assert "it runs already" in shop.up()

    shown = shop.run("flows.status")
    assert shown.count("RUNNING") == 3
    assert "none: make loop" in shown, "nothing is released yet"
    for _ in range(30):  # the scheduler looks every second here
        if "Scheduled" in (shown := shop.run("flows.status")):
            break
    (line, *_) = [line for line in shown.splitlines() if "Scheduled" in line]
    assert "watch" in line, "the watch has no next run"

    other = Shop(shop.root)
    family = shop.family()
    assert len(family) >= 5
    assert "stopped" in shop.run("flows.processes", "down")
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)
    assert "nothing runs" in shop.run("flows.processes", "down")
    assert "make up" in shop.run("flows.status")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other.port = int(taken.getsockname()[1])
        assert f"expected port {other.port} to be free" in other.up(status=1)


def test_where_the_process_manager_does_not_start_its_words_are_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.setattr(processes, "CONFIGURATION", tmp_path / "broken.conf")
    (tmp_path / "broken.conf").write_text("[supervisord]\nloglevel=sideways\n")
    assert processes.main(["up", "--port", str(free_port()), "--prefect-port", str(free_port())]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: expected supervisord to start, but: Error") and "sideways" in said
    assert said.count("\n") == 1 and processes.state() is None


def test_the_next_runs_go_by_the_names_that_people_gave_them(prefect_server: None) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL
    from prefect.states import Scheduled

    @flow(name="stocktaking")
    def stand_in() -> None:
        """Never runs."""

    with get_client(sync_client=True) as client:
        long_ago = datetime(2001, 1, 1, tzinfo=UTC)
        client.create_flow_run(stand_in, state=Scheduled(scheduled_time=long_ago))
    first = _next({"prefect_port": urlsplit(str(PREFECT_API_URL.value())).port})[0]
    assert first == {"run": "stocktaking", "at": "2001-01-01T00:00", "state": "Scheduled"}
    assert _next(None) == [] and _next({"prefect_port": 9}) == []
