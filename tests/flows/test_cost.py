"""What a block took, with counters of energy that the test writes itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.cost import JOULES_PER_KWH, Meter, domains, measured

BURN = "import time\nwhile time.process_time() < 0.3: pass"


def domain(powercap: Path, name: str, called: str, energy: int, most: int = 1_000_000_000) -> Path:
    folder = powercap / name
    folder.mkdir(parents=True)
    for file, value in {"name": called, "energy_uj": energy, "max_energy_range_uj": most}.items():
        (folder / file).write_text(f"{value}\n")
    return folder / "energy_uj"


def test_packages_and_their_memory_count_once(tmp_path: Path) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0", 1_000)
    domain(tmp_path, "intel-rapl:0:0", "core", 1_000)
    memory = domain(tmp_path, "intel-rapl:0:1", "dram", 1_000)
    domain(tmp_path, "intel-rapl:1", "psys", 1_000)
    assert [path.name for path in domains(tmp_path)] == ["intel-rapl:0", "intel-rapl:0:1"]
    with measured(tmp_path) as cost:
        package.write_text("3601000\n")
        memory.write_text("1801000\n")
        (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("9999000\n")
    assert cost.energy_kwh == pytest.approx(5.4 / JOULES_PER_KWH)
    assert cost.as_json()["energy_by"] == "rapl"


def test_a_counter_that_began_again_is_followed_round(tmp_path: Path) -> None:
    counter = domain(tmp_path, "intel-rapl:0", "package-0", 900, most=1_000)
    meter = Meter(tmp_path)
    for value in (300, 800, 100):  # 400 to the top and round, 500 on, 300 to the top and round
        counter.write_text(str(value))
        meter.read()
    assert meter.kwh() == pytest.approx((400 + 500 + 300) / 1e6 / JOULES_PER_KWH)


def test_without_a_counter_processor_seconds_are_the_measure(tmp_path: Path) -> None:
    with measured(tmp_path / "nowhere") as cost:
        pass
    assert cost.energy_kwh is None and cost.as_json()["energy_by"] == "cpu seconds"


def test_a_counter_that_nobody_may_read_is_none(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 1).unlink()
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()  # reading it fails, for root as well
    with measured(tmp_path) as cost:
        pass
    assert cost.energy_kwh is None


def test_processes_below_count_however_deep_and_also_where_the_block_fails(tmp_path: Path) -> None:
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"
    with pytest.raises(RuntimeError), measured(tmp_path) as cost:
        subprocess.run([sys.executable, "-c", nested], check=True)
        raise RuntimeError
    assert cost.cpu_seconds >= 0.3
    assert cost.seconds > 0
