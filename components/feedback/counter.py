"""How many deferred events a worker took and how many of them are settled, in a file that outlives kill -9.

The file is mapped into memory: a stored number is the kernel's at once, at the price of a memory write, and no end of
the process takes it back (a power cut can, up to what the kernel had not yet written out). Its owner holds a lock on
it, which ends with the process however it ends. So a file without an owner, whose numbers differ, tells what a crash
has cost: never too few, at most the last transaction too many.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from components.core.errors import FeedbackError

_LAYOUT = struct.Struct("<8sQQ")  # magic, taken, settled
_MAGIC = b"shopcnt1"
_NUMBER = struct.Struct("<Q")
_TAKEN, _SETTLED = 8, 16  # where they lie; each is written in one piece


class Counter:
    """One worker's file, locked by it. Set `taken` before an event is queued, `settled` after it is on disk."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        magic, taken, settled = _LAYOUT.unpack(os.pread(descriptor, _LAYOUT.size, 0).ljust(_LAYOUT.size, b"\0"))
        self.lost = max(taken - settled, 0) if magic == _MAGIC else 0
        self._taken = self._settled = 0
        self._map: mmap.mmap | None = None

    def begin(self) -> None:
        """Count from zero; what the owner before has left is forgotten."""
        os.pwrite(
            self._descriptor, _LAYOUT.pack(_MAGIC, 0, 0), 0
        )  # written, not truncated to: a full disk says so here
        self._map = mmap.mmap(self._descriptor, _LAYOUT.size)

    @property
    def taken(self) -> int:
        return self._taken

    @taken.setter
    def taken(self, n: int) -> None:
        self._taken = n
        self._store(_TAKEN, n)

    @property
    def settled(self) -> int:
        return self._settled

    @settled.setter
    def settled(self, n: int) -> None:
        self._settled = n
        self._store(_SETTLED, n)

    def _store(self, place: int, n: int) -> None:
        if self._map is not None:
            _NUMBER.pack_into(self._map, place, n)

    def close(self) -> None:
        """Leave the file to the next worker; the numbers can still be read here."""
        if self._map is not None:
            self._map.close()
        self._map = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def adopt(folder: Path, account: Callable[[int], None]) -> tuple[Counter, int]:
    """A counter of our own, and how many events the workers before us have lost that nobody accounted for yet.

    `account` is told that number, where it is not 0, before the files forget it: a crash between the two counts
    twice rather than never. Files of workers that still run stay as they are.
    """
    free: list[Counter] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = _free(folder)
        lost = sum(counter.lost for counter in free)
        if lost:
            account(lost)
        for counter in free:
            counter.begin()
    except BaseException as error:
        _close(free)
        if not isinstance(error, OSError):
            raise
        raise FeedbackError(
            f"{folder}: expected to keep a worker's counter there, got: {error.strerror}; "
            "make the folder writable and free space on its disk"
        ) from None
    _close(free[1:])
    return free[0], lost


def _close(counters: Sequence[Counter]) -> None:
    for counter in counters:
        counter.close()


def _free(folder: Path) -> list[Counter]:
    """The counters without an owner, at least one, all locked by us now."""
    number, there = 1, len(list(folder.glob("worker-*.count")))
    found: list[Counter] = []
    while number <= there or not found:
        descriptor = os.open(folder / f"worker-{number}.count", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            found.append(Counter(descriptor))
        number += 1
    return found
