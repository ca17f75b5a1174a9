"""`bentoml serve` and `bentoml build` as an operator types them: real processes, real sockets, real kills."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from components import releases
from components.core.artifacts import write_json

ROOT = Path(__file__).parents[2]
QUIET = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """This process's, less what would lead into the checkout or somebody's shop."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOP_", "PYTHON", "BENTOML"))}
    return kept | QUIET | {"BENTOML_HOME": str(tmp_path / "bentoml"), "PYTHONDONTWRITEBYTECODE": "1"} | more


@contextmanager
def serving(target: str, cwd: Path, env: dict[str, str]) -> Iterator[httpx.Client]:
    """`bentoml serve TARGET` in `cwd`, ready; its whole process group ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", target, "--port", str(port)]
    log = Path(env["BENTOML_HOME"] + f"-{port}.log")
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            wait_until(lambda: process.poll() is not None or answers(client), log)
            assert process.poll() is None, log.read_text()
            yield client
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(holds: Callable[[], bool], log: Path, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, log.read_text() if log.is_file() else "waited in vain"
        time.sleep(0.1)


MOVES = 12


@pytest.mark.slow
def test_releases_move_under_load_and_every_answer_is_wholly_of_one(
    coloured: dict[str, Path], tmp_path: Path, home: Path
) -> None:
    """Twelve moves while customers ask without a pause: champions, a canary, and a release that is damaged."""
    versions = {colour: releases.put(folder, "recommendation", {}) for colour, folder in coloured.items()}
    colour_of = {version: colour for colour, version in versions.items()}
    releases.point("recommendation", versions["Blue "], "first")
    env = environment(tmp_path, SHOP_HOME=str(home), PYTHONPATH=str(ROOT), SHOP_WORKERS="2")
    seen: list[tuple[int, dict[str, Any]]] = []
    stop = threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(base_url=client.base_url, timeout=20) as own:
            for turn in itertools.count():
                if stop.is_set():
                    return
                session = {"recent_products": ["p1", "p31"]} if turn % 3 == 0 else {}
                reply = own.post("/recommend", json={"customer_id": f"c{(turn + number) % 60}", "k": 5} | session)
                seen.append((reply.status_code, reply.json()))

    def all_are(version: str) -> Callable[[], bool]:
        """From now on, for every thread and both workers."""
        start = len(seen)
        return lambda: len(seen) > start + 30 and {answer.get("release") for _, answer in seen[-20:]} == {version}

    with serving("serving.service:Shop", ROOT, env) as client:
        assert not listens_elsewhere(client.base_url.port or 0)
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for move in range(MOVES):
            before, after = ("Blue ", "Green ") if move % 2 == 0 else ("Green ", "Blue ")
            if move == MOVES // 2:  # this one joins as a canary before it takes over
                releases.challenge("recommendation", versions[after], 0.5, "canary", "while customers ask")
                wait_until(lambda: len({answer.get("release") for _, answer in seen[-40:]}) == 2, home, 30)
            assert releases.live("recommendation") == versions[before]
            releases.point("recommendation", versions[after], f"move {move}")
            wait_until(all_are(versions[after]), home, 30)
        wait_until(both_say(client, lambda said: said["live"] == versions["Blue "]), home, 30)
        point_at_what_is_damaged(versions["Green "])
        wait_until(both_say(client, lambda said: said["trouble"]), home, 30)
        wait_until(all_are(versions["Blue "]), home, 30)
        stop.set()
        for thread in threads:
            thread.join(20)
    assert {status for status, _ in seen} == {200}
    assert {answer["release"] for _, answer in seen} == set(colour_of)
    for _, answer in seen:
        own = colour_of[answer["release"]]
        other = "Green " if own == "Blue " else "Blue "
        assert len(answer["items"]) == 5
        for item in answer["items"]:
            assert item["title"].startswith(own) and item["category"].startswith(own)
            assert other not in item["reason"]
            assert item["rung"] == {"Blue ": "ensemble", "Green ": "single"}[own]


def both_say(client: httpx.Client, holds: Callable[[dict[str, Any]], Any]) -> Callable[[], bool]:
    """Whether something holds of recommendation in the status of both workers; the kernel chooses who answers."""
    found: set[int] = set()

    def look() -> bool:
        said = httpx.get(client.base_url.join("/status")).json()
        if holds(said["releases"]["recommendation"]):
            found.add(said["process"])
        return len(found) == 2

    return look


def point_at_what_is_damaged(version: str) -> None:
    """As if a disk had lost bytes between the release and the service."""
    (releases.release_path("recommendation", version) / "catalogue.parquet").write_bytes(b"")
    path = releases.pointer_path("recommendation")
    write_json(path, json.loads(path.read_text()) | {"version": version})


def listens_elsewhere(port: int) -> bool:
    """Whether the port is bound to more than loopback, by the kernel's own table (addresses are hexadecimal)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    bound = [row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port]
    return bound != ["0100007F"]


@pytest.mark.slow
def test_a_bento_serves_elsewhere_with_nothing_of_the_checkout(
    bundle: Path, other_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("components", "serving"):
        shutil.copytree(ROOT / name, checkout / name, ignore=unwanted)
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, checkout)
    monkeypatch.setenv("SHOP_HOME", str(checkout / "shop"))
    old, live = (releases.put(each, "recommendation", {}) for each in (other_bundle, bundle))
    for version in (old, live):
        releases.point("recommendation", version, "test")
    env = environment(tmp_path)
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--output", "tag"],
        cwd=checkout, env=env, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    tag = built.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    kept = tmp_path / "bentoml" / "bentos" / Path(*tag.split(":"))
    shutil.rmtree(checkout)
    moved = tmp_path / "elsewhere" / "bento"
    shutil.copytree(kept, moved)
    shutil.rmtree(tmp_path / "bentoml")
    packed = [path.name for path in (moved / "src" / "shop" / "releases" / "recommendation").iterdir() if path.is_dir()]
    assert packed == [live], "only the live release travels"
    working = tmp_path / "working"
    working.mkdir()
    with serving(str(moved), working, env) as client:
        answer = client.post("/recommend", json={"customer_id": "c0", "k": 3}).json()
        assert (answer["release"], answer["rung"], len(answer["items"])) == (live, "ensemble", 3)
        assert json.loads(client.get("/docs.json").text)["paths"]["/recommend"]
