"""`kill -9` in the middle of load: every acknowledged event is there, once, and what was deferred is accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from components.feedback.store import Store, open_store
from components.feedback.writer import Writer

HAMMERING = Path(__file__).with_name("hammering.py")
KILLS = {"sqlite": 28, "postgresql": 8}
THREADS, BATCH = 4, 25


def test_every_acknowledged_event_survives_kill_9_once(engine_name: str, tmp_path: Path) -> None:
    for notes in ("acknowledged", "logged"):
        (tmp_path / notes).touch()
    sizes = [str(n) for n in (KILLS[engine_name], THREADS, BATCH)]
    environment = {**os.environ, "PYTHONPATH": str(HAMMERING.parents[2])}
    subprocess.run([sys.executable, HAMMERING, *sizes, tmp_path], check=True, timeout=240, env=environment)

    store = open_store()
    kept = [name for piece in store.rows() for name in piece["event_id"].to_list()]
    assert len(kept) == len(set(kept))
    check_acknowledged((tmp_path / "acknowledged").read_text(), kept)
    check_deferred((tmp_path / "logged").read_text(), kept, store)
    if engine_name == "sqlite":
        with store.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    store.close()


def check_acknowledged(notes: str, kept: list[str]) -> None:
    """All of them are there, and every batch is whole or absent, acknowledged or not."""
    acknowledged = {tuple(line.split()) for line in notes.splitlines()}
    batches = Counter(tuple(name.split("-")[:2]) for name in kept if not name.startswith("deferred"))
    assert len(acknowledged) > 10 * THREADS
    assert acknowledged <= batches.keys()
    assert set(batches.values()) == {BATCH}
    assert len(batches) - len(acknowledged) <= THREADS  # the last of each thread may lack its answer


def check_deferred(notes: str, kept: list[str], store: Store) -> None:
    """No fewer are said to be lost than are missing; what is said too many are the last transactions, one a kill."""
    before = store.lost_total()
    writer = Writer(store)
    assert store.lost_total() == before + writer.lost_before  # that of the last kill
    writer.close()
    logged, deferred = set(notes.split()), {name for name in kept if name.startswith("deferred")}
    assert deferred
    assert 0 < len(logged - deferred) <= store.lost_total() < len(logged)
