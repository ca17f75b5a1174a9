"""Everything that a small shop runs, under one process manager (supervisord): `make up`, `make down`.

python -m flows.processes up [--host 127.0.0.1] [--port 3000] [--prefect-port 4200]
python -m flows.processes down

up    Prefect's server on SQLite, a worker with the deployments of prefect.yaml and the watch switched on, the service
down  stops them, letting running requests finish; waits until all of them are gone
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from rich.console import Console

from components.core.artifacts import read_json, write_json
from components.core.errors import ShopError
from components.settings import settings
from flows import QUIET
from flows.worker import answers

CONFIGURATION = Path(__file__).with_name("supervisor.conf")
LONGEST_SOCKET = 100  # bytes; the kernel takes 107
START_SECONDS, STOP_SECONDS = 180.0, 90.0
STATE = "running.json"
PROGRAMS = ("prefect", "worker", "service")


def home() -> Path:
    """SHOP_HOME, absolute: the processes have working directories of their own."""
    return settings().home.resolve()


def run_folder() -> Path:
    """Where pid and socket lie; a socket's path must be short."""
    folder = home() / "run"
    if len(str(folder / "supervisor.sock")) < LONGEST_SOCKET:
        return folder
    return Path(tempfile.gettempdir()) / f"shop-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def environment(host: str, port: int, prefect_port: int) -> dict[str, str]:
    """Ours, with what supervisor.conf refers to."""
    return {
        **os.environ,
        **QUIET,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "SHOP_HOME": str(home()),
        "SHOP_PROJECT": str(Path().resolve()),
        "SHOP_RUN": str(run_folder()),
        "SHOP_SERVE_HOST": host,
        "SHOP_SERVE_PORT": str(port),
        "SHOP_PREFECT_PORT": str(prefect_port),
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_port}/api",
        "PREFECT_HOME": os.environ.get("PREFECT_HOME", str(home() / "prefect")),
    }


def up(host: str, port: int, prefect_port: int, console: Console) -> None:
    """Start everything and wait until it answers; raises ShopError, and stops all again, where it does not."""
    if (running := state()) is not None:
        console.print("it runs already; `make status` shows what it does, `make down` stops it")
        show(running, console)
        return
    for wanted, name in ((port, "--port"), (prefect_port, "--prefect-port")):
        _free(wanted, name)
    for folder in (run_folder(), home() / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    values = environment(host, port, prefect_port)
    # before there is anything to stop, so that `down` finds it even where this is killed on the next line
    write_json(run_folder() / STATE, {"host": host, "port": port, "prefect_port": prefect_port})
    _supervise(values)
    try:
        with console.status("starting Prefect's server, the worker and the service"):
            _await_all(values)
    except ShopError:
        down(console)
        raise
    show({"host": host, "port": port, "prefect_port": prefect_port}, console)


def _supervise(values: Mapping[str, str]) -> None:
    """Start supervisord, which goes on in the background; raises ShopError with its own words."""
    command = ["supervisord", "--configuration", str(CONFIGURATION)]
    done = subprocess.run(command, env=dict(values), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return
    (run_folder() / STATE).unlink(missing_ok=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("Error")] or done.stdout.splitlines()
    words = said[0] if said else f"it ended with status {done.returncode}"
    raise ShopError(f"expected supervisord to start, but: {words}; see {home() / 'logs' / 'supervisord.log'}")


def down(console: Console) -> None:
    """Stop everything that `up` started; returns when all of it has ended."""
    running = state()
    if running is None:
        console.print("nothing runs")
        return
    pid = int((run_folder() / "supervisord.pid").read_text())
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    control("shutdown")
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    (run_folder() / STATE).unlink(missing_ok=True)
    if alive:
        raise ShopError(f"expected all to stop within {STOP_SECONDS:.0f} s, but {alive} still run; look at shop/logs")
    console.print("stopped")


def state() -> dict[str, int | str] | None:
    """Where what runs listens; None where nothing runs."""
    pid, file = run_folder() / "supervisord.pid", run_folder() / STATE
    try:
        alive = "supervisord" in " ".join(psutil.Process(int(pid.read_text())).cmdline())
    except (OSError, ValueError, psutil.Error):
        return None
    return dict(read_json(file)) if alive and file.is_file() else None


def control(*words: str) -> str:
    """`supervisorctl WORDS`, its output."""
    found = state() or {}
    values = environment(str(found.get("host", "")), int(found.get("port", 0)), int(found.get("prefect_port", 0)))
    command = ["supervisorctl", "--configuration", str(CONFIGURATION), *words]
    return subprocess.run(command, env=values, capture_output=True, text=True).stdout


def programs() -> dict[str, str]:
    """State of each program as supervisord calls it, such as RUNNING or FATAL."""
    rows = [line.split(None, 2) for line in control("status").splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def _free(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ShopError(
                f"expected port {port} to be free, but {error.strerror}; choose another with {name}"
            ) from None


def _await_all(values: Mapping[str, str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    url = f"http://127.0.0.1:{values['SHOP_SERVE_PORT']}/livez"
    while time.monotonic() < deadline:
        states = programs()
        lost = [name for name, one in states.items() if one in ("FATAL", "BACKOFF", "EXITED")]
        if lost:
            raise ShopError(f"expected {lost[0]} to run, but it ended; see {home() / 'logs' / lost[0]}.log")
        run = len(states) == len(PROGRAMS) and all(one == "RUNNING" for one in states.values())
        if run and _worker_is_online(values) and answers(url, 5.0):
            return
        time.sleep(0.3)
    raise ShopError(f"expected all to answer within {START_SECONDS:.0f} s; see {home() / 'logs'}")


def _worker_is_online(values: Mapping[str, str]) -> bool:
    import json
    import urllib.error
    import urllib.request

    asked = urllib.request.Request(  # noqa: S310 - our own loopback
        f"{values['PREFECT_API_URL']}/work_pools/shop/workers/filter", b"{}", {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310
            return any(worker["status"] == "ONLINE" for worker in json.load(answer))
    except (urllib.error.URLError, OSError):
        return False


def show(found: Mapping[str, int | str], console: Console) -> None:
    """What runs, where it is reached and where it says what it does."""
    logs = home() / "logs"
    for what, where in (
        ("service", f"http://{found['host']}:{found['port']}"),
        ("Prefect", f"http://127.0.0.1:{found['prefect_port']}"),
        ("worker", "runs the watch every few minutes, and what it sets off"),
    ):
        console.print(f"{what:8} {where}", highlight=False, soft_wrap=True)
    console.print(f"logs in {logs}; `make status`, `make down`", highlight=False, soft_wrap=True)


def main(words: Sequence[str] | None = None) -> int:
    """A mistake is one line and status 1."""
    parser = argparse.ArgumentParser(prog="python -m flows.processes", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--host", default="127.0.0.1", help="where the service listens")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--prefect-port", type=int, default=4200)
    asked, console = parser.parse_args(words), Console(soft_wrap=True)
    try:
        if asked.command == "up":
            up(asked.host, asked.port, asked.prefect_port, console)
        else:
            down(console)
    except ShopError as error:
        Console(stderr=True).print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
