"""Feedback: events a second that are acknowledged once they are on disk, in batches of 100, beside the bare store.

python -m benchmarks.feedback
python -m benchmarks.feedback --filled 1000000 --json FILE    into a store that holds a million events already
python -m benchmarks.feedback --port 3000                     a service that runs here; it keeps the events

sqlite3        the module alone: rows made beforehand, the same tables and settings, one sync of the disk a batch
store          Store.append, which checks each event and makes its row
writer         Writer.submit from THREADS threads, each waiting for its answer: several batches share a sync
POST /feedback the service on this machine, started for this without a release, by 32 connections that each wait

They take turns, so that all meet the same disk, in a folder below SHOP_HOME that is removed again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.load import timed
from benchmarks.report import publish
from components.core.errors import FeedbackError
from components.feedback.events import Event
from components.feedback.rows import row
from components.feedback.store import Store, open_store
from components.feedback.writer import Writer
from components.settings import settings

BATCH, BATCHES, TURNS, THREADS = 100, 300, 5, 8
Turn = Callable[[int], float]  # seconds in which so many batches were acknowledged


def main(arguments: list[str] | None = None) -> None:
    """Take turns, print one table, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--filled", type=int, default=0, help="events in each store beforehand, whole ten thousands")
    parser.add_argument("--port", type=int, help="of a running service of this shop, instead of starting one")
    parser.add_argument("--batches", type=int, default=BATCHES, help=f"of {BATCH} events in each of {TURNS} turns")
    asked = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = stack.enter_context(_scratch())
        turns = {
            "sqlite3, alone": stack.enter_context(bare(folder / "bare", asked.filled)),
            "store": stack.enter_context(through_store(folder / "store", asked.filled)),
            f"writer, {THREADS} threads": stack.enter_context(through_writer(folder / "writer", asked.filled)),
        }
        if asked.port:
            turns[f"POST /feedback on port {asked.port}"] = over_http(asked.port)
        else:
            for workers in (1, 2):
                port = stack.enter_context(service(folder / f"service-{workers}", asked.filled, workers))
                turns[f"POST /feedback, workers: {workers}"] = over_http(port)
        found = measured(turns, asked.batches)
    what = f"{asked.batches} batches of {BATCH} a turn, {asked.filled} events before"
    publish("feedback", what, rows_of(found, asked.batches * BATCH), json_file=asked.json)


@contextmanager
def _scratch() -> Iterator[Path]:
    """On the disk that the shop's own store is on: elsewhere (memory, another disk) a sync costs something else."""
    home = settings().home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    before = {name: os.environ.get(name) for name in ("SHOP_HOME", "SHOP_FEEDBACK_URL")}
    os.environ.pop("SHOP_FEEDBACK_URL", None)
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".benchmark-") as folder:
            yield Path(folder)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def measured(turns: dict[str, Turn], batches: int) -> dict[str, list[float]]:
    """Seconds of each turn by name; the first turn of each warms up."""
    found: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(TURNS + 1):
        for name, turn in turns.items():
            seconds = turn(batches)
            found[name] += [seconds] if number else []
    return found


def rows_of(found: dict[str, list[float]], n_events: int) -> list[dict[str, Any]]:
    """Rates of the median turn, and the range of all turns."""
    rates = {name: sorted(n_events / seconds for seconds in taken) for name, taken in found.items()}
    base = median(next(iter(rates.values())))
    return [
        {
            "name": name,
            "kind": "single" if number else "peer",
            "metrics": {
                "events/s": round(median(rate)),
                "lowest": round(rate[0]),
                "highest": round(rate[-1]),
                "of bare": median(rate) / base,
            },
            "seconds": sum(found[name]),
        }
        for number, (name, rate) in enumerate(rates.items())
    ]


def batch_of_events() -> list[Event]:
    """Clicks with ids that nobody sent before, as a shop's front end makes them."""
    at, request = datetime.now(UTC), uuid.uuid4().hex
    return [
        Event(
            uuid.uuid4().hex, "recommendation", "click", at, {"product_id": f"{number}", "position": number + 1},
            request, None, f"c{number}",
        )
        for number in range(BATCH)
    ]  # fmt: skip


@contextmanager
def opened(home: Path, filled: int) -> Iterator[Store]:
    """A store of its own, with `filled` events in it."""
    os.environ["SHOP_HOME"] = str(home)
    store = open_store()
    for _ in range(filled // 10_000):
        store.append([event for _ in range(10_000 // BATCH) for event in batch_of_events()])
    yield store
    store.close()


@contextmanager
def bare(home: Path, filled: int) -> Iterator[Turn]:
    """The tables of our store, without our code."""
    with opened(home, filled) as store:
        file = str(store.engine.url.database)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    names = [*row(batch_of_events()[0]), "received_at"]
    places = ", ".join("?" * len(names))
    insert = f"INSERT INTO feedback_events ({', '.join(names)}) VALUES ({places}) ON CONFLICT (event_id) DO NOTHING"  # noqa: S608

    def turn(batches: int) -> float:
        ready = [[(*row(event).values(), 0) for event in batch_of_events()] for _ in range(batches)]
        began = time.perf_counter()
        for batch in ready:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, batch)
            connection.execute("COMMIT")
        return time.perf_counter() - began

    yield turn
    connection.close()


@contextmanager
def through_store(home: Path, filled: int) -> Iterator[Turn]:
    """One batch after the other."""
    with opened(home, filled) as store:

        def turn(batches: int) -> float:
            ready = [batch_of_events() for _ in range(batches)]
            began = time.perf_counter()
            new = sum(store.append(batch) for batch in ready)
            taken = time.perf_counter() - began
            assert new == batches * BATCH
            return taken

        yield turn


@contextmanager
def through_writer(home: Path, filled: int) -> Iterator[Turn]:
    """THREADS batches at a time."""
    with opened(home, filled) as store, ThreadPoolExecutor(THREADS) as threads:
        writer = Writer(store)

        def turn(batches: int) -> float:
            ready = [batch_of_events() for _ in range(batches)]
            began = time.perf_counter()
            new = sum(threads.map(lambda batch: writer.submit(batch).result(), ready))
            taken = time.perf_counter() - began
            assert new == batches * BATCH
            return taken

        yield turn
        writer.close()


def over_http(port: int) -> Turn:
    """32 batches at a time, each sent as soon as the one before it is acknowledged."""

    def turn(batches: int) -> float:
        bodies = [{"events": [_wire(event) for event in batch_of_events()]} for _ in range(batches)]
        # Due all at once: the slowest was acknowledged when all were.
        return float(timed(port, bodies, 1e6, "/feedback").max()) / 1e3

    return turn


def _wire(event: Event) -> dict[str, Any]:
    names = ("event_id", "application", "kind", "request_id", "customer_id")
    return {**{name: getattr(event, name) for name in names}, "at": event.at.isoformat(), **event.payload}


@contextmanager
def service(home: Path, filled: int, workers: int) -> Iterator[int]:
    """The port of a service with an empty shelf: it answers nothing yet, but takes feedback."""
    with opened(home, filled) as store, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    environment = {"SHOP_HOME": str(home), "SHOP_WORKERS": str(workers), "SHOP_LOG_LEVEL": "WARNING"}
    quiet = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Shop", "--port", str(port)]
    said = home / "said.log"
    with said.open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | quiet | environment, stdout=log, stderr=log, start_new_session=True
        )
    before = store.through()
    try:
        while not _takes_feedback(port):
            if process.poll() is not None:
                raise FeedbackError(f"expected the service to start, but it ended: {said.read_text()[-2000:]}")
            time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    assert store.through() > before
    store.close()


def _takes_feedback(port: int) -> bool:
    body = json.dumps({"events": [_wire(batch_of_events()[0])]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/feedback", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310
            return True
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    main()
