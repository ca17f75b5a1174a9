"""The two databases that keep feedback: an SQLite file, and a PostgreSQL server that the tests start themselves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.feedback.events import Event
from components.feedback.store import Store, open_store

AT = datetime(2025, 7, 1, 12, tzinfo=UTC)


def make_event(event_id: str, **other: Any) -> Event:
    """A click, unless told otherwise."""
    payload = {"product_id": "p1", "position": 1}
    facts = {"application": "recommendation", "kind": "click", "at": AT, "payload": payload, **other}
    return Event(event_id=event_id, **facts)


@pytest.fixture(scope="session")
def click() -> Callable[..., Event]:
    return make_event


def postgres_binaries() -> Path | None:
    """Where initdb and postgres are: the newest of Debian's, or on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def running_postgres(binaries: Path) -> Iterator[Path]:
    """The folder of the socket of a fresh server that trusts the user `shop`, superuser there."""
    # Not below pytest's own folder, which nobody else may enter: as root, the server runs as `postgres`.
    folder = Path(tempfile.mkdtemp(prefix="shop-pg-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    try:
        initialise = [binaries / "initdb", "-D", folder / "data", "-U", "shop", "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            [*initialise, "--locale=C", "--no-sync"], check=True, cwd=folder, stdout=subprocess.DEVNULL, **user
        )
        where = ["-k", str(folder), "-c", "listen_addresses=", "-c", "shared_buffers=16MB"]
        with (folder / "log").open("w") as said:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", *where], cwd=folder, stdout=said, stderr=said, **user
            )
        try:
            _await(folder, server)
            yield folder
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nobody needs what it would still write
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(folder: Path, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(300):
        try:
            return psycopg.connect(host=str(folder), user="shop", dbname="postgres").close()
        except psycopg.OperationalError:
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
    raise AssertionError((folder / "log").read_text())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """Its socket's folder; skips, or fails where SHOP_TEST_POSTGRES=required, without PostgreSQL."""
    binaries = postgres_binaries()
    if binaries is None:
        if os.environ.get("SHOP_TEST_POSTGRES") == "required":
            pytest.fail("SHOP_TEST_POSTGRES=required, but there is no PostgreSQL server; apt-get install postgresql")
        pytest.skip("no PostgreSQL server here; apt-get install postgresql")
    with running_postgres(binaries) as folder:
        yield folder


@pytest.fixture
def postgres_url(postgres_server: Path) -> str:
    """Of an empty database of its own, as a shop would write it."""
    import psycopg

    name = f"shop_{time.monotonic_ns()}"
    with psycopg.connect(host=str(postgres_server), user="shop", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://shop@/{name}?host={postgres_server}"


@pytest.fixture(params=["sqlite", "postgresql"])
def engine_name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment names an empty store of this engine."""
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.delenv("SHOP_FEEDBACK_URL", raising=False)
    if request.param == "postgresql":
        monkeypatch.setenv("SHOP_FEEDBACK_URL", request.getfixturevalue("postgres_url"))
    return str(request.param)


@pytest.fixture
def store(engine_name: str) -> Iterator[Store]:
    """An empty store, once on each engine."""
    found = open_store()
    yield found
    found.close()
