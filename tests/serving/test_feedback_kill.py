"""`kill -9` of the whole service under POST /feedback: what was acknowledged is there, and everything counts once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from components.feedback.store import open_store

ROOT = Path(__file__).parents[2]
KILLS, THREADS, BATCH = 3, 3, 20


@contextmanager
def service(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`bentoml serve` on a shop that has released nothing yet, and where it listens; killed at the end if it is not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOP_", "BENTOML"))}
    ours = {"SHOP_HOME": str(home), "BENTOML_HOME": str(home.parent / "bentoml"), "DO_NOT_TRACK": "1"}
    ours |= {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Shop", "--port", str(port)]
    with (home.parent / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=kept | ours,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/livez", process)
        yield process, f"http://127.0.0.1:{port}/feedback"
    finally:
        kill(process)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 90
    while True:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None and time.monotonic() < until, "the service did not start"
        time.sleep(0.1)


def kill(process: subprocess.Popen[bytes]) -> None:
    """The workers too: none of them gets to say good-bye."""
    if process.poll() is None:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:  # one by one, for the workers lead sessions of their own
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family, 20)
        process.wait(20)


def batch(name: str) -> dict[str, list[dict[str, str]]]:
    about = {"kind": "click", "application": "recommendation", "at": "2025-07-02T10:00:00Z", "product_id": "p1"}
    return {"events": [about | {"event_id": f"{name}-{number}"} for number in range(BATCH)]}


class Load:
    """Batches that were sent, and those of them that were acknowledged."""

    def __init__(self) -> None:
        self.sent, self.acknowledged = list[str](), list[str]()
        self.enough = threading.Event()

    def send(self, url: str, name: str) -> None:
        """Until the service is gone."""
        with httpx.Client(timeout=20) as client:
            for number in range(100_000):
                this = f"{name}-{number}"
                self.sent.append(this)
                try:
                    reply = client.post(url, json=batch(this))
                except httpx.TransportError:
                    return
                assert reply.status_code == 200, reply.text
                self.acknowledged.append(this)
                if number == 20:
                    self.enough.set()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_the_service_acknowledged_outlives_its_kill_and_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "shop"
    home.mkdir()
    load = Load()
    for killed in range(KILLS):
        with service(home) as (process, url):
            load.enough.clear()
            threads = [threading.Thread(target=load.send, args=(url, f"{killed}-{n}")) for n in range(THREADS)]
            for thread in threads:
                thread.start()
            assert load.enough.wait(120)
            kill(process)
            for thread in threads:
                thread.join()
    doubtful = [name for name in load.sent if name not in set(load.acknowledged)]
    assert len(doubtful) == KILLS * THREADS, "each thread was cut off in the middle"
    with service(home) as (_, url):
        for name in [*doubtful, load.acknowledged[0]]:
            assert httpx.post(url, json=batch(name), timeout=20).status_code == 200

    monkeypatch.setenv("SHOP_HOME", str(home))
    store = open_store()
    kept = [name for piece in store.rows() for name in piece["event_id"].to_list()]
    store.close()
    assert len(kept) == len(set(kept))
    assert set(kept) == {f"{name}-{number}" for name in load.sent for number in range(BATCH)}
