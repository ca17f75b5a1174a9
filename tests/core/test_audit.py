"""The audit log: appended, on disk, read whatever a crash left of its last line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.audit import audit, read_audit

SHOP = "recommendation"


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    return tmp_path / "shop" / "audit.jsonl"


def test_a_decision_is_read_as_it_was_written(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    assert read_audit() == []
    audit(SHOP, "released", None, "20251231-00000001", "first")
    audit("demand", "refused", "20251231-00000002", "20251231-00000003", "worse", by="retrain", figures={"mean": -0.1})
    first, second = read_audit()
    assert (first.what, first.before, first.after, first.by) == ("released", None, "20251231-00000001", "ada")
    assert (second.before, second.after, second.by) == ("20251231-00000002", "20251231-00000003", "retrain")
    assert second.figures == {"mean": -0.1} and first.at <= second.at
    assert read_audit("demand") == [second]
    keys = {"id", "at", "application", "what", "from", "to", "why", "by", "figures"}
    assert all(json.loads(line).keys() == keys for line in log.read_text().splitlines())


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_whatever_people_write_stays_one_line(why: str) -> None:
    before = len(read_audit())
    audit(SHOP, "frozen", None, None, why)
    assert len(read_audit()) == before + 1 and read_audit()[-1].why == why


def test_what_is_no_number_in_json_is_written_as_null(log: Path) -> None:
    audit(SHOP, "promoted", "a", "b", "wins", figures={"low": float("nan"), "arms": {"one": [1.0, float("inf")]}})
    assert "NaN" not in log.read_text() and "Infinity" not in log.read_text()
    assert read_audit()[0].figures == {"low": None, "arms": {"one": [1.0, None]}}


def test_lines_of_an_older_version_of_the_project_are_read(log: Path) -> None:
    old = {
        "at": "2025-12-31T23:00:00+00:00",
        "application": SHOP,
        "what": "rolled back",
        "version": "20251231-00000001",
    }
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps(old | {"why": "wrong prices", "by": "ada"}) + "\n")
    (found,) = read_audit(SHOP)
    assert (found.before, found.after, found.figures) == (None, "20251231-00000001", {})


@pytest.mark.parametrize("kept", [1, 20, -2, -1])
def test_a_torn_last_line_costs_that_line_alone(log: Path, kept: int) -> None:
    """Cut anywhere: in the middle of a letter of two bytes, or only of its line's end."""
    audit(SHOP, "released", None, "20251231-00000001", "first")
    whole = log.read_bytes()
    audit(SHOP, "rolled back", None, "20251231-00000002", "é" * 20)
    last = log.read_bytes()[len(whole) :]
    log.write_bytes(whole + last[:kept])
    finished = kept == -1
    assert len(read_audit()) == 1 + finished
    audit(SHOP, "pinned", None, "20251231-00000003", "after the crash")
    expected = ["released", *["rolled back"] * finished, "pinned"]
    assert [one.what for one in read_audit()] == expected
    assert log.read_bytes().startswith(whole + last[:kept]), "nothing that was written is touched again"


def test_a_letter_cut_in_two_is_passed_over(log: Path) -> None:
    audit(SHOP, "released", None, "20251231-00000001", "é")
    log.write_bytes(log.read_bytes().partition("é".encode())[0] + "é".encode()[:1])
    assert read_audit() == []


def test_many_at_once_write_whole_lines(log: Path) -> None:
    ready = threading.Barrier(8)

    def write(number: int) -> None:
        ready.wait()
        for turn in range(10):
            audit(SHOP, "frozen", None, None, f"{number} {turn} " + "x" * 5000)

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(write, range(8)))
    found = [one.why.split()[:2] for one in read_audit()]
    assert sorted(found) == sorted([str(number), str(turn)] for number in range(8) for turn in range(10))


def test_what_was_written_before_kill_9_is_there(log: Path) -> None:
    script = """
        import os, signal
        from components.audit import audit
        audit("recommendation", "released", None, "20251231-00000001", "first")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = os.environ | {"SHOP_HOME": str(log.parent)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, check=False, timeout=60, cwd=Path.cwd()
    )
    assert done.returncode == -signal.SIGKILL
    assert [one.what for one in read_audit()] == ["released"]
