"""The live releases in memory: watches the pointer, loads beside what answers, swaps in one assignment.

A release that is missing, altered or cannot be loaded is refused with a logged reason, and what answered before goes
on answering; a challenger that is refused is simply not there. Every answer holds one `Loaded` from start to end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from components import releases
from components.core.errors import ShopError
from components.feedback.events import Role
from components.pointers import Mode

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
RETRY_SECONDS = 60.0  # what was refused may have been a passing fault (memory, a disk that is away)


class Loadable(Protocol):
    """What can answer from a release's folder; `load` raises where a byte differs from the folder's checksums."""

    @classmethod
    def load(cls, folder: Path) -> Self: ...


T = TypeVar("T", bound=Loadable)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """One release, ready to answer."""

    version: str
    model: T


@dataclass(frozen=True, slots=True)
class Standing(Generic[T]):
    """Who answers at one moment. `challenger` is there only as long as `terms` names it, and loaded."""

    champion: Loaded[T] | None = None
    challenger: Loaded[T] | None = None
    terms: releases.Challenger | None = None

    def choose(self, unit: str | None) -> list[tuple[Loaded[T], Role]]:
        """Who answers the unit (a customer, a series) and as what; after a challenger, who steps in if it fails."""
        found: list[tuple[Loaded[T], Role]] = []
        if unit is not None and (challenger := self._on_trial("canary", unit)):
            found.append((challenger, "challenger"))
        if self.champion is not None:
            found.append((self.champion, "champion"))
        return found

    def shadow(self, unit: str) -> Loaded[T] | None:
        """Who is asked beside the champion, unseen."""
        return self._on_trial("shadow", unit)

    def _on_trial(self, mode: Mode, unit: str) -> Loaded[T] | None:
        is_meant = self.terms is not None and self.terms.mode == mode and releases.in_canary(self.terms, unit)
        return self.challenger if is_meant else None


class Live(Generic[T]):
    """The releases of one application that answer now; none until there is one."""

    def __init__(self, application: str, kind: type[T]) -> None:
        self.application, self.kind = application, kind
        self.standing: Standing[T] = Standing()
        self.trouble: str | None = None
        self.challenger_trouble: str | None = None
        self._pointer_file = releases.pointer_path(application)
        self._seen: tuple[int, int, int] | None = None
        self._retry_at = float("inf")
        self._stop = threading.Event()

    @property
    def loaded(self) -> Loaded[T] | None:
        """The champion."""
        return self.standing.champion

    def refresh(self) -> None:
        """Load what the pointer names, if it changed since the last look or failed a while ago; never raises."""
        stamp = self._stamp()
        if stamp is None or (stamp == self._seen and time.monotonic() < self._retry_at):
            return
        self._seen = stamp
        self.trouble = self._tried(self._follow)
        failed = self.trouble or self.challenger_trouble
        self._retry_at = time.monotonic() + RETRY_SECONDS if failed else float("inf")

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

    def _follow(self) -> None:
        pointer = releases.pointer(self.application)
        if pointer is None:
            return
        terms, now = pointer.challenger, self.standing
        known = {each.version: each for each in (now.champion, now.challenger) if each}
        # who is no longer named stops at once, and who is loaded already takes over at once
        champion, challenger = known.get(pointer.version), known.get(terms.version) if terms else None
        self.standing = Standing(champion or now.champion, challenger, terms)
        if terms is None:
            self.challenger_trouble = None
        if champion is None:
            self.standing = replace(self.standing, champion=self._load(pointer.version))
        if self.standing.champion is not now.champion:
            log.info("%s answers from release %s", self.application, pointer.version)
        if terms is not None:
            self.challenger_trouble = self._tried(lambda: self._admit(terms))

    def _admit(self, terms: releases.Challenger) -> None:
        if self.standing.challenger is None:
            self.standing = replace(self.standing, challenger=self._load(terms.version), terms=terms)
            log.info("%s: %s joins as %s (%s)", self.application, terms.version, terms.mode, terms.why)

    def _load(self, version: str) -> Loaded[T]:
        folder = releases.release_path(self.application, version)
        releases.check_seal(folder)
        return Loaded(version, self.kind.load(folder))

    def _tried(self, step: Callable[[], None]) -> str | None:
        """What went wrong in `step`, logged; a bad release must not take down the service that it was meant for."""
        try:
            step()
        except Exception as error:
            trouble = str(error) if isinstance(error, ShopError) else f"{type(error).__name__}: {error}"
            if trouble not in (self.trouble, self.challenger_trouble):  # else said when it was first tried
                kept = self.loaded.version if self.loaded else "nothing"
                log.exception("%s: a release is refused, %s goes on answering", self.application, kept)
            return trouble
        return None

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._pointer_file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
