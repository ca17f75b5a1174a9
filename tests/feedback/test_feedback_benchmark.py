"""The benchmark sends what it counts, beside the bare store's same tables, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import feedback as benchmark


def test_each_way_keeps_every_event_and_the_folder_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.setenv("SHOP_FEEDBACK_URL", "postgresql://never-used/feedback")
    monkeypatch.setattr(benchmark, "TURNS", 1)
    ways = {"bare": benchmark.bare, "store": benchmark.through_store, "writer": benchmark.through_writer}
    with benchmark._scratch() as folder:
        for name, way in ways.items():
            with way(folder / name, 10_000) as turn:
                found = benchmark.measured({name: turn}, 2)
            with benchmark.opened(folder / name, 0) as store:
                assert store.counts() == {("recommendation", "click"): 10_000 + 2 * 2 * benchmark.BATCH}
            assert len(found[name]) == 1
    assert os.environ["SHOP_HOME"] == str(tmp_path / "shop") and os.environ["SHOP_FEEDBACK_URL"].startswith("postgres")
    assert list((tmp_path / "shop").iterdir()) == []


def test_rates_are_the_median_turns_and_ratios_to_the_first() -> None:
    first, second = benchmark.rows_of({"bare": [1.0, 2.0, 4.0], "ours": [4.0, 4.0, 1.0]}, 100)
    assert first["metrics"] == {"events/s": 50, "lowest": 25, "highest": 100, "of bare": 1.0}
    assert second["metrics"]["of bare"] == 0.5 and second["kind"] == "single"
