"""Bundles on the shelf and the live pointers; used by flows (which move them) and by serving (which reads).

    <SHOP_HOME>/releases/<application>/<version>/   a sealed bundle and its release.json; never changed again
    <SHOP_HOME>/live/<application>.json             who answers customers (pointers.py)

A pointer is replaced in one step, so reading needs no lock. Those who move it take turns, and say what they expect
to find where they decided some time ago, so that no move undoes another unseen. What nobody asked for (`automatic`)
leaves a held pointer alone. Every move returns the pointer as it was before. A move with a `note` is on record: its
lines for the audit log are part of the new pointer, and whoever comes next writes them where the mover could not.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from components import sealed
from components.audit import Note, append_missing, entry_of
from components.clock import now
from components.core.artifacts import read_json, write_json, write_text
from components.core.errors import ReleaseError
from components.pointers import Challenger as Challenger
from components.pointers import Expected, Mode, read_pointer, require, turn
from components.pointers import Held as Held
from components.pointers import Pointer as Pointer
from components.pointers import in_canary as in_canary
from components.settings import settings

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"\d{8}-[0-9a-f]{8}")


def releases_folder() -> Path:
    """Where the releases of all applications stand."""
    return settings().home / "releases"


def pointer_path(application: str) -> Path:
    """The file whose replacement is the release; watch this."""
    return settings().home / "live" / f"{_named(application)}.json"


def release_path(application: str, version: str) -> Path:
    """The folder of one release; raises ReleaseError where it is not on the shelf."""
    folder = _shelf(application) / _versioned(version)
    if not folder.is_dir():
        known = ", ".join(versions(application)) or "none"
        raise ReleaseError(f"expected release {version} of {application}, found: {known}; name one of these")
    return folder


def versions(application: str) -> list[str]:
    """Complete releases, the one placed first before the others."""
    placed = _shelf(application).glob(f"*/{sealed.RELEASE}")
    found = [(str(read_json(path)["at"]), path.parent.name) for path in placed if _VERSION.fullmatch(path.parent.name)]
    return [version for _, version in sorted(found)]


def put(bundle: Path, application: str, facts: Mapping[str, Any]) -> str:
    """Place a sealed bundle on the shelf and return its version; the live release stays.

    `facts` joins release.json (git commit, verdict, ...). The same bundle again changes nothing.
    Raises ReleaseError where a file differs from what was sealed.
    """
    version = sealed.version_of(bundle)
    own = {"application": application, "version": version, "at": now().isoformat(timespec="microseconds")}
    placed = sealed.copy(bundle, _shelf(application) / version, {**facts, **own})
    log.info("release %s of %s %s", version, application, "is placed" if placed else "is on the shelf already")
    return version


def check(folder: Path) -> None:
    """Raise ReleaseError unless every byte of a release is what was sealed under its version."""
    sealed.check_bytes(folder, folder.name)


def check_seal(folder: Path) -> None:
    """Raise ReleaseError unless a release's version vouches for its checksums; who loads it checks the bytes."""
    sealed.check_seal(folder)


def pointer(application: str) -> Pointer | None:
    """Who answers now; None before the first release."""
    path = pointer_path(application)
    if not path.exists():
        return None
    found = read_pointer(path)
    _versioned(found.version)
    return found


def live(application: str) -> str | None:
    """The version that answers customers; None before the first release."""
    found = pointer(application)
    return found.version if found else None


def withdrawn(application: str) -> dict[str, str]:
    """Versions that were taken back, each with the reason; what runs by itself must not release them again."""
    found = pointer(application)
    return dict(found.withdrawn) if found else {}


def complete(application: str) -> None:
    """Write what the last move has to say in the audit log, where its mover died before it could."""
    found = pointer(application)
    if found is None or not found.record:
        return
    with turn(pointer_path(application)):
        _say(pointer(application))


def point(
    application: str,
    version: str,
    why: str,
    withdraw: bool = False,
    *,
    expected: Expected = ...,
    challenger: Expected = ...,
    automatic: bool = False,
    held: bool = False,
    note: Note | None = None,
) -> Pointer | None:
    """Make `version` the one that answers customers, atomically; a challenger that waits, waits no more.

    Args:
        application: its name.
        version: of a release on the shelf.
        why: for the person who asks later.
        withdraw: remember that what was live until now was taken back; `version` itself no longer counts so.
        expected: the version that must be live for this to happen; None for nothing.
        challenger: the version that must be the challenger; None for nothing.
        automatic: nobody asked for it.
        held: hold the pointer from now on.
        note: what the audit log shall call it.

    Raises:
        ReleaseError: it is not on the shelf, altered, held, or somebody moved the pointer in between.
    """
    check(release_path(application, version))

    def moved(before: Pointer | None) -> Pointer:
        require(application, before, expected, challenger, automatic)
        after = Pointer(application, version, now(), why, held=Held(why, now()) if held else None)
        if before is None:
            return after
        taken_back = {**before.withdrawn, before.version: why} if withdraw else before.withdrawn
        previous = before.previous if before.version == version else before.version
        return replace(
            after, previous=previous, withdrawn=_without(taken_back, version), held=after.held or before.held
        )

    return _move(application, moved, why, note)


def challenge(
    application: str,
    version: str,
    share: float,
    mode: Mode,
    why: str,
    *,
    expected: Expected = ...,
    automatic: bool = False,
    note: Note | None = None,
) -> Pointer:
    """Let `version` answer a share of the customers, or be asked unseen; it takes the place of another challenger.

    Raises:
        ReleaseError: as `point`; also where nothing is live, or `version` is, or the share is out of range.
    """
    whole = mode == "shadow"  # nobody sees a shadow; a canary for everybody would have nothing to compare with
    if not (0 < share < 1 or (whole and share == 1)):
        raise ReleaseError(f"expected a share above 0 and {'up to' if whole else 'below'} 1, got {share}; correct it")
    check(release_path(application, version))

    def moved(before: Pointer | None) -> Pointer:
        standing = _standing(application, before)
        require(application, standing, expected, ..., automatic)
        if standing.version == version:
            raise ReleaseError(f"expected a challenger of {application} other than {version}, which is live; name one")
        newcomer = Challenger(version, share, mode, now(), why)
        return replace(standing, challenger=newcomer, withdrawn=_without(standing.withdrawn, version))

    return _standing(application, _move(application, moved, why, note))


def dismiss_challenger(
    application: str,
    why: str,
    withdraw: bool = False,
    *,
    challenger: Expected = ...,
    automatic: bool = False,
    note: Note | None = None,
) -> Pointer:
    """Let the champion answer everybody again; `withdraw` keeps what runs by itself from bringing the challenger back.

    Raises:
        ReleaseError: there is no challenger, or another one than expected, or the pointer is held.
    """

    def moved(before: Pointer | None) -> Pointer:
        standing = _standing(application, before)
        require(application, standing, ..., challenger, automatic)
        if standing.challenger is None:
            raise ReleaseError(f"expected a challenger of {application}, but none waits; nothing is to be done")
        taken_back = {**standing.withdrawn, standing.challenger.version: why} if withdraw else standing.withdrawn
        return replace(standing, challenger=None, withdrawn=taken_back)

    return _standing(application, _move(application, moved, why, note))


def hold(application: str, why: str, *, note: Note | None = None) -> Pointer:
    """From now on only a person moves the pointer; a challenger goes on as it is."""
    return _set_held(application, Held(why, now()), why, note)


def unhold(application: str, why: str, *, note: Note | None = None) -> Pointer:
    """What runs by itself may move the pointer again."""
    log.info("%s is no longer held: %s", application, why)
    return _set_held(application, None, why, note)


def _set_held(application: str, held: Held | None, why: str, note: Note | None) -> Pointer:
    def moved(before: Pointer | None) -> Pointer:
        return replace(_standing(application, before), held=held)

    return _standing(application, _move(application, moved, why, note))


def _move(application: str, moved: Callable[[Pointer | None], Pointer], why: str, note: Note | None) -> Pointer | None:
    """Replace the pointer by what `moved` makes of it, one mover at a time; returns it as it was."""
    with turn(pointer_path(application)):
        before = pointer(application)
        _say(before)  # its record is about to be replaced
        after = moved(before)
        after = replace(after, record=_record(before, after, why, note) if note else ())
        write_json(pointer_path(application), after.as_json())
        packed = [after.version, *([after.challenger.version] if after.challenger else [])]
        # `bentoml build` packs those that answer
        write_text(_shelf(application) / ".bentoignore", "/*\n" + "".join(f"!/{version}/\n" for version in packed))
        _say(after)
    log.info("%s: %s -> %s", application, before or "nothing", after)
    return before


def _say(found: Pointer | None) -> None:
    append_missing(found.record if found else ())


def _record(before: Pointer | None, after: Pointer, why: str, note: Note) -> tuple[dict[str, Any], ...]:
    """What a move has to say: the challenger that it displaced, and the move itself."""
    waiting, newcomer = before.challenger if before else None, after.challenger
    name, live = after.application, before.version if before else None
    if waiting and note.what == "dismissed":
        return (entry_of(name, waiting.version, after.version, why, note),)
    if newcomer == waiting:
        return (entry_of(name, live, after.version, why, note),)
    taking = newcomer.version if newcomer else after.version
    own = entry_of(name, live, taking, why, note)
    if waiting is None or waiting.version == taking:
        return (own,)
    return (entry_of(name, waiting.version, taking, f"{taking} took its place", Note("dismissed", note.by)), own)


def _standing(application: str, before: Pointer | None) -> Pointer:
    if before is None:
        raise ReleaseError(f"expected a live release of {application}, but there is none; release one first")
    return before


def _without(taken_back: Mapping[str, str], version: str) -> dict[str, str]:
    return {name: why for name, why in taken_back.items() if name != version}


def _shelf(application: str) -> Path:
    return releases_folder() / _named(application)


def _named(application: str) -> str:
    if not _NAME.fullmatch(application):
        raise ReleaseError(f"expected an application's name, got {application!r}; correct the command")
    return application


def _versioned(version: str) -> str:
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"expected a version such as 20251231-0a1b2c3d, got {version!r}; name one on the shelf")
    return version
