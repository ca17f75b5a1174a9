"""What a stretch of work took: seconds, processor seconds of the processes below this one, and energy.

Energy is that of the whole machine, as its processor counts it (RAPL, in micro-joules since it last
began again at 0); most machines let only root read it, virtual ones have none. Where it cannot be
read, processor seconds are the measure, and the figures say so.
"""

from __future__ import annotations

import re
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
SAMPLE_SECONDS = 60.0  # a counter begins again after some minutes of full load, so it is read more often than that
JOULES_PER_KWH = 3.6e6
_DOMAIN = re.compile(r"intel-rapl:\d+(:\d+)?")


@dataclass(slots=True)
class Cost:
    """Zero until the block ends; energy_kwh is None where no counter can be read."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    energy_kwh: float | None = None

    def as_json(self) -> dict[str, Any]:
        """With the word for what stands for energy."""
        return {
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "energy_kwh": self.energy_kwh,
            "energy_by": "cpu seconds" if self.energy_kwh is None else "rapl",
        }


@contextmanager
def measured(powercap: Path = POWERCAP) -> Iterator[Cost]:
    """The cost of the block, complete when it ends, however it ends.

    Processor seconds count every process below this one that somebody waited for, and no other.
    """
    cost, began, before = Cost(), time.monotonic(), _cpu_seconds()
    meter = Meter(powercap)
    stop = threading.Event()
    reader = threading.Thread(target=meter.keep_reading, args=(stop,), daemon=True)
    reader.start()
    try:
        yield cost
    finally:
        stop.set()
        reader.join()
        cost.seconds, cost.cpu_seconds = time.monotonic() - began, _cpu_seconds() - before
        cost.energy_kwh = meter.kwh()


@dataclass(slots=True)
class Meter:
    """Adds up the counters of the processor packages and of their memory."""

    powercap: Path
    _last: dict[Path, int] = field(init=False)
    _joules: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._last = {path: value for path in domains(self.powercap) if (value := _count(path)) is not None}

    def read(self) -> None:
        """Take in what was used since the last reading."""
        for path, before in self._last.items():
            value = _count(path)
            if value is not None:
                self._joules += _used(path, before, value) / 1e6
                self._last[path] = value

    def keep_reading(self, stop: threading.Event) -> None:
        """Often enough that no counter can begin again twice unnoticed."""
        while not stop.wait(SAMPLE_SECONDS):
            self.read()

    def kwh(self) -> float | None:
        """Since the start; None where nothing can be read."""
        self.read()
        return self._joules / JOULES_PER_KWH if self._last else None


def domains(powercap: Path) -> list[Path]:
    """Each package once, and memory beside it; cores and graphics are part of their package."""
    found = [path for path in sorted(powercap.glob("intel-rapl:*")) if _DOMAIN.fullmatch(path.name)]
    return [path for path in found if _name(path).startswith("package") or _name(path) == "dram"]


def _name(domain: Path) -> str:
    try:
        return (domain / "name").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _count(domain: Path) -> int | None:
    try:
        return int((domain / "energy_uj").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _used(domain: Path, before: int, now: int) -> int:
    """Micro-joules between two readings, also where the counter began again between them."""
    if now >= before:
        return now - before
    try:
        most = int((domain / "max_energy_range_uj").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return now
    return most - before + now


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
