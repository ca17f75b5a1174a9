"""Sealed bundles: the version that their content gives them, the check of every byte, the copy that is whole or none.

A version is the day the data ends and the first 8 digits of the SHA-256 of the bundle's checksums,
so the same bundle always has the same version and the version vouches for every byte below it.
"""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from components.core.artifacts import (
    CHECKSUMS,
    atomic_folder,
    file_sha256,
    folder_checksums,
    read_json,
    write_json,
)
from components.core.errors import ReleaseError, ShopError

log = logging.getLogger(__name__)

RELEASE = "release.json"
_LEFTOVER_SECONDS = 3600.0  # no copy takes this long: an older temporary folder was left by a killed process


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


def check_bytes(folder: Path, version: str) -> None:
    """Raise ReleaseError unless every byte in `folder` is what was sealed under `version`."""
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


def check_seal(folder: Path) -> None:
    """Raise ReleaseError unless the checksums in `folder` are those that its version vouches for.

    Whoever loads a bundle holds its bytes against them; done twice, it would take the longer part of a swap.
    """
    if not folder.name.endswith(_seal_of(folder)):
        raise ReleaseError(
            f"{folder.name}: expected the sealed bytes, but {CHECKSUMS} differ; "
            "package again, or point at another release"
        )


def copy(bundle: Path, target: Path, facts: Mapping[str, Any]) -> bool:
    """Copy a bundle to `target`, named after its version, with `facts` as release.json; False where it is there whole.

    A damaged copy is replaced. Raises ReleaseError where a file differs from what was sealed.
    """
    _sweep(target.parent)
    if target.exists():
        if _is_intact(target):
            return False
        _put_aside(target)
    with atomic_folder(target) as temporary:
        # contents only: the source may be read-only links into DVC's cache
        shutil.copytree(bundle, temporary, copy_function=shutil.copyfile, dirs_exist_ok=True)
        (temporary / RELEASE).unlink(missing_ok=True)
        check_bytes(temporary, target.name)
        write_json(temporary / RELEASE, facts)
    return True


def _is_intact(folder: Path) -> bool:
    try:
        check_bytes(folder, folder.name)
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
