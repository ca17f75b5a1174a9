"""One arm's shop: a copy of the project with data, clock, service and releases of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import polars as pl
import yaml

from benchmarks.replay.history import History
from flows import QUIET
from flows.leash import Leashed

ROOT = Path(__file__).parents[2]
FOLDERS = ("components", "expectations", "flows", "serving")
FILES = ("dvc.yaml", "prefect.yaml", "requirements.lock", ".gitignore", ".dvcignore")
READY_SECONDS = 120.0
FOLLOWS_SECONDS = 30.0  # from a moved pointer to the service that answers from it; usually well under one


class Refused(Exception):
    """The service answered with something else than 200."""

    def __init__(self, status: int, content: Any) -> None:
        super().__init__(f"status {status}: {content}")
        self.status, self.content = status, content


class ReplayShop:
    """Everything of one arm below `root`; commands are the project's own, run as a person or Prefect would."""

    def __init__(self, root: Path, history: History, prefect_url: str) -> None:
        self.root, self.history, self.prefect_url = root, history, prefect_url
        self.home, self.clock = root / "shop", root / "clock.txt"
        self._service: Leashed | None = None
        self._connection: http.client.HTTPConnection | None = None
        self.port = 0

    @classmethod
    def make(cls, root: Path, history: History, prefect_url: str, params: Mapping[str, Any]) -> Self:
        """A new shop with the tables of the weeks before the replay, under Git as `make setup` would have it."""
        root.mkdir(parents=True)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, root / name)
        shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "*.local"))
        (root / "params.yaml").write_text(yaml.safe_dump(dict(params), sort_keys=False), encoding="utf-8")
        (root / "tables").mkdir()
        shop = cls(root, history, prefect_url)
        history.products.write_parquet(root / "tables" / "products.parquet")
        shop.export(history.trained + 1)
        shop.set_clock(history.midnight(history.starts(history.trained + 1)))
        shop._commit()
        return shop

    def like(self, root: Path, params: Mapping[str, Any]) -> ReplayShop:
        """A copy of this shop, as it is now, with other parameters."""
        shutil.copytree(self.root, root, symlinks=True)
        (root / "params.yaml").write_text(yaml.safe_dump(dict(params), sort_keys=False), encoding="utf-8")
        shop = ReplayShop(root, self.history, self.prefect_url)
        shop._commit()
        return shop

    def _commit(self) -> None:
        who = ("-c", "user.name=replay", "-c", "user.email=replay@localhost")
        for words in (
            ("init", "--quiet"),
            ("add", "--all"),
            (*who, "commit", "--quiet", "--allow-empty", "-m", "Shop"),
        ):
            subprocess.run(["git", *words], cwd=self.root, check=True)

    def export(self, week: int) -> None:
        """The nightly export of transactions: everything before `week`."""
        path = self.root / "tables" / "transactions.parquet"
        self.history.before(week).write_parquet(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def set_clock(self, at: datetime) -> None:
        """Move the shop's time."""
        temporary = self.clock.with_suffix(".tmp")
        temporary.write_text(at.isoformat(), encoding="utf-8")
        temporary.replace(self.clock)

    def environment(self) -> dict[str, str]:
        """Only what is the shop's own, whatever the caller's environment says of another."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOP_", "PREFECT_"))}
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "SHOP_HOME": str(self.home),
            "SHOP_PROJECT": str(self.root),
            "SHOP_CLOCK": str(self.clock),
            "BENTOML_HOME": str(self.root / "bentoml"),
            "PREFECT_HOME": str(self.root.parent / "prefect"),
            "PREFECT_API_URL": self.prefect_url,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "250",
        }
        return {**kept, **QUIET, **own}

    def run(self, *words: str, may_fail: bool = False) -> str:
        """`python -m WORDS` in the shop; its output. Raises where it fails and may not."""
        self.home.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=self.root, env=self.environment(), capture_output=True, text=True
        )
        with (self.home / "replay.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
        if done.returncode and not may_fail:
            raise RuntimeError(
                f"{self.root.name}: {' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """`bentoml serve`, until the block ends."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Shop", "--port", str(self.port)]
        with (self.home / "service.log").open("w", encoding="utf-8") as log:
            self._service = Leashed(command, self.root, self.environment())
            drain = _drain(self._service, log)
            try:
                self._await_ready()
                yield
            finally:
                self._service.stop()
                self._service.wait()
                drain.join()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, Refused, http.client.HTTPException):
                self.ask("GET", "/readyz")
                return
            time.sleep(0.2)
        raise RuntimeError(f"{self.root.name}: the service was not ready after {READY_SECONDS:.0f} s")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; raises Refused unless the status is 200."""
        content = None if body is None else json.dumps(body)
        for again in (True, False):
            connection = self._connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self._connection = connection
            try:
                connection.request(method, path, content, {"content-type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
                break
            except (http.client.HTTPException, OSError):  # an idle connection that the service closed meanwhile
                connection.close()
                self._connection = None
                if not again:
                    raise
        found = json.loads(said) if said.strip().startswith((b"{", b"[")) else said.decode(errors="replace")
        if answer.status != 200:
            raise Refused(answer.status, found)
        return found

    def live(self) -> dict[str, str]:
        """Which version answers of each application, by the pointers."""
        return {path.stem: json.loads(path.read_text())["version"] for path in (self.home / "live").glob("*.json")}

    def await_pointer(self) -> None:
        """Wait until the service answers from what the pointers name."""
        deadline, wanted = time.monotonic() + FOLLOWS_SECONDS, self.live()
        while time.monotonic() < deadline:
            said = self.ask("GET", "/status")["releases"]
            if all(said.get(name, {}).get("live") == version for name, version in wanted.items()):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.root.name}: expected {wanted} to answer, got {said}")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A file of JSON lines in shop/."""
        path = self.home / name
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []

    def series(self) -> list[str]:
        """The series that the release in data/ forecasts, by what they are called in requests."""
        found = pl.read_parquet(self.root / "data" / "demand" / "bundle" / "queries.parquet", columns=["series_id"])
        return found["series_id"].to_list()


def _drain(leashed: Leashed, log: Any) -> Any:
    import threading

    def copy() -> None:
        for line in leashed.output:
            log.write(line)
            log.flush()

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread
