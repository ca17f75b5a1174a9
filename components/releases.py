"""Bundles on the shelf and the live pointers; used by flows (which move them) and by serving (which reads).

    <SHOP_HOME>/releases/<application>/<version>/   a sealed bundle and its release.json; never changed again
    <SHOP_HOME>/live/<application>.json             which version answers customers, since when and why, and
                                                    which versions were withdrawn

A version is the day the data ends and the first 8 digits of the SHA-256 of the bundle's checksums,
so the same bundle always has the same version and the version vouches for every byte below it.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.artifacts import (
    CHECKSUMS,
    atomic_folder,
    file_sha256,
    folder_checksums,
    read_json,
    write_json,
    write_text,
)
from components.core.errors import ReleaseError, ShopError
from components.settings import settings

log = logging.getLogger(__name__)

RELEASE = "release.json"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"\d{8}-[0-9a-f]{8}")
_LEFTOVER_SECONDS = 3600.0  # no copy takes this long: an older temporary folder was left by a killed process


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
    placed = _shelf(application).glob(f"*/{RELEASE}")
    found = [(str(read_json(path)["at"]), path.parent.name) for path in placed if _VERSION.fullmatch(path.parent.name)]
    return [version for _, version in sorted(found)]


def live(application: str) -> str | None:
    """The version that answers customers; None before the first release."""
    path = pointer_path(application)
    return _versioned(str(read_json(path).get("version"))) if path.exists() else None


def put(bundle: Path, application: str, facts: dict[str, Any]) -> str:
    """Place a sealed bundle on the shelf and return its version; the live release stays.

    `facts` joins release.json (git commit, verdict, ...). The same bundle again changes nothing.
    Raises ReleaseError where a file differs from what was sealed.
    """
    version = version_of(bundle)
    target = _shelf(application) / version
    _sweep(target.parent)
    if target.exists():
        if _is_intact(target):
            log.info("release %s of %s is already on the shelf", version, application)
            return version
        _put_aside(target)
    with atomic_folder(target) as temporary:
        # contents only: the source may be read-only links into DVC's cache
        shutil.copytree(bundle, temporary, copy_function=shutil.copyfile, dirs_exist_ok=True)
        (temporary / RELEASE).unlink(missing_ok=True)
        _check_bytes(temporary, version)
        write_json(temporary / RELEASE, facts | {"application": application, "version": version, "at": _now()})
    log.info("placed release %s of %s", version, application)
    return version


def withdrawn(application: str) -> dict[str, str]:
    """Versions that a person took back, each with the reason; what runs by itself must not release them again."""
    path = pointer_path(application)
    return dict(read_json(path).get("withdrawn") or {}) if path.exists() else {}


def point(application: str, version: str, why: str, withdraw: bool = False) -> None:
    """Make `version` the one that answers customers, atomically; `why` is for the person who asks later.

    `withdraw` remembers that what was live until now was taken back; `version` itself no longer counts so.
    """
    check(release_path(application, version))
    before, taken_back = live(application), withdrawn(application)
    if withdraw and before is not None:
        taken_back[before] = why
    taken_back.pop(version, None)
    entry = {"application": application, "version": version, "at": _now(), "why": why, "previous": before}
    write_json(pointer_path(application), entry | {"withdrawn": taken_back})
    write_text(_shelf(application) / ".bentoignore", f"/*\n!/{version}/\n")  # `bentoml build` packs the live one
    log.info("%s is live with release %s (before: %s): %s", application, version, before, why)


def check(folder: Path) -> None:
    """Raise ReleaseError unless every byte of a release is what was sealed under its version."""
    _check_bytes(folder, folder.name)


def version_of(bundle: Path) -> str:
    """The version a sealed bundle has: its data's last day and its content."""
    manifest = read_json(bundle / "manifest.json")
    as_of = manifest.get("as_of") or manifest.get("data", {}).get("as_of")
    try:
        day = datetime.fromisoformat(str(as_of))
    except ValueError:
        raise ReleaseError(
            f"{bundle}/manifest.json: expected as_of, an ISO time, got {as_of!r}; package again"
        ) from None
    return f"{day:%Y%m%d}-{_seal_of(bundle)}"


def _check_bytes(folder: Path, version: str) -> None:
    expected = read_json(folder / CHECKSUMS)
    found = folder_checksums(folder)
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if not version.endswith(_seal_of(folder)):
        wrong.insert(0, CHECKSUMS)
    if wrong:
        raise ReleaseError(
            f"{folder.name}: expected the sealed bytes, but {', '.join(wrong[:5])} differ; "
            "package again, or point at another release"
        )


def _is_intact(folder: Path) -> bool:
    try:
        check(folder)
    except ShopError as error:
        log.warning("%s; replacing it", error)
        return False
    return (folder / RELEASE).is_file()


def _put_aside(folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(shelf: Path) -> None:
    for path in shelf.glob(".*.tmp"):
        if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _seal_of(folder: Path) -> str:
    path = folder / CHECKSUMS
    if not path.is_file():
        raise ReleaseError(f"expected {path}, which is missing; package again")
    return file_sha256(path)[:8]


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
