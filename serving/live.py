"""The live release in memory: watches the pointer, loads beside what answers, swaps in one assignment.

A release that is missing, altered or cannot be loaded is refused with a logged reason, and what
answered before goes on answering. Every answer holds one `Loaded` from start to end.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from components import releases
from components.core.errors import ShopError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2


class Loadable(Protocol):
    """What can answer from a release's folder."""

    @classmethod
    def load(cls, folder: Path) -> Self: ...


T = TypeVar("T", bound=Loadable)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """One release, ready to answer."""

    version: str
    model: T


class Live(Generic[T]):
    """The release of one application that answers now; None until there is one."""

    def __init__(self, application: str, kind: type[T]) -> None:
        self.application, self.kind = application, kind
        self.loaded: Loaded[T] | None = None
        self.trouble: str | None = None
        self._seen: tuple[int, int, int] | None = None
        self._stop = threading.Event()

    def refresh(self) -> None:
        """Load what the pointer names, if it changed since the last look; never raises."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._load()
            self.trouble = None
        except Exception as error:  # a bad release must not take down the service that it was meant for
            self.trouble = str(error) if isinstance(error, ShopError) else f"{type(error).__name__}: {error}"
            kept = self.loaded.version if self.loaded else "nothing"
            log.exception("%s: the new release is refused, %s goes on answering", self.application, kept)

    def watch(self) -> None:
        """Refresh now and then on a thread of its own until `close`."""
        self.refresh()
        threading.Thread(target=self._watch, name=f"watch {self.application}", daemon=True).start()

    def is_pointed(self) -> bool:
        """Whether some release is meant to be live, loaded or not."""
        return self._stamp() is not None

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.refresh()

    def _load(self) -> None:
        version = releases.live(self.application)
        if version is None or (self.loaded is not None and self.loaded.version == version):
            return
        folder = releases.release_path(self.application, version)
        releases.check(folder)
        model = self.kind.load(folder)
        self.loaded = Loaded(version, model)
        log.info("%s answers from release %s", self.application, version)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = releases.pointer_path(self.application).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
