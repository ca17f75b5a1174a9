"""Load on the store of this environment by processes that are killed, each at a random moment.

python hammering.py KILLS THREADS BATCH FOLDER

Each process sends batches from several threads, some of them twice at once, and notes a batch in FOLDER/acknowledged
once it was told that it is on disk. Like a shop's front end, the next process goes on with the first batch of each
thread that was not acknowledged. Beside them one thread logs deferred events and notes in FOLDER/logged that it did.

The parent never opens the store: it forks with everything imported, so that a process lives only to be killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from components.feedback.events import Event
from components.feedback.store import open_store
from components.feedback.writer import Writer

AT = datetime(2025, 7, 1, tzinfo=UTC)


def main(kills: int, n_threads: int, batch: int, folder: Path) -> None:
    moments = random.Random(0)
    for kill in range(kills):
        process = os.fork()
        if process == 0:
            hammer(kill, n_threads, batch, folder)
        if kill % 4:
            await_growth(folder / "acknowledged")
            time.sleep(moments.uniform(0, 0.4))
        else:
            time.sleep(moments.uniform(0, 0.1))  # while it opens the store, or makes it
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status), f"ended by itself: {status}"


def await_growth(file: Path, patience: float = 30) -> None:
    before, end = file.stat().st_size, time.monotonic() + patience
    while file.stat().st_size == before:
        assert time.monotonic() < end, "no acknowledgement in all this time"
        time.sleep(0.002)


def hammer(kill: int, n_threads: int, size: int, folder: Path) -> None:
    try:
        done = Counter(int(line.split()[0]) for line in (folder / "acknowledged").read_text().splitlines())
        writer = Writer(open_store())
        for thread in range(n_threads):
            threading.Thread(target=send, args=[writer, thread, done[thread], size, folder]).start()
        defer(writer, kill, folder)
    finally:
        os._exit(1)  # it was to be killed


def send(writer: Writer, thread: int, first: int, size: int, folder: Path) -> None:
    notes = os.open(folder / "acknowledged", os.O_WRONLY | os.O_APPEND)
    batch = first
    while True:
        events = [click(f"{thread}-{batch}-{number}") for number in range(size)]
        answers = [writer.submit(events) for _ in range(1 + batch % 2)]
        for answer in answers:
            answer.result()
        os.write(notes, f"{thread} {batch}\n".encode())
        batch += 1


def defer(writer: Writer, kill: int, folder: Path) -> None:
    notes = os.open(folder / "logged", os.O_WRONLY | os.O_APPEND)
    number = 0
    while True:
        name = f"deferred-{kill}-{number}"
        writer.log(click(name))
        os.write(notes, f"{name}\n".encode())
        number += 1
        time.sleep(0.001)


def click(name: str) -> Event:
    return Event(name, "recommendation", "click", AT, {"product_id": "p1"})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), Path(sys.argv[4]))
