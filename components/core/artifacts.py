"""Files that survive: atomic writes, checksums, arrays that workers share by memory map.

No pickle anywhere: arrays are .npy (`allow_pickle=False`), frames Parquet, the rest JSON or text.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from components.core.errors import ArtifactError

CHECKSUMS = "checksums.json"
UNSEALED = (CHECKSUMS, "release.json")  # the list itself, and what the shelf writes beside a sealed bundle


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`, synced and renamed over it if the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` if the block succeeds; `target` must not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            _sync(path)
        temporary.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never half."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON, atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value at `path`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"expected {path}, which is missing; run the stage that writes it") from None
    except json.JSONDecodeError as error:
        raise ArtifactError(f"{path} is not JSON ({error}); delete it and run its stage again") from None


def save_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """One .npy per array, so that serving workers can map them instead of copying."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def load_array(folder: Path, name: str) -> np.ndarray:
    """The array `name`, memory-mapped read-only."""
    path = folder / f"{name}.npy"
    if not path.is_file():
        raise ArtifactError(f"expected {path}, which is missing; train the model again")
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 by relative path of every file in `folder`, except UNSEALED."""
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNSEALED
    }


def seal(folder: Path) -> None:
    """Write the folder's checksums into it."""
    write_json(folder / CHECKSUMS, folder_checksums(folder))


def verify(folder: Path) -> None:
    """Raise ArtifactError unless every file is there with the bytes that were sealed."""
    expected = read_json(folder / CHECKSUMS)
    found = folder_checksums(folder)
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise ArtifactError(f"{folder}: {', '.join(wrong[:5])} differ from what was sealed; release it again")


def folder_bytes(folder: Path) -> int:
    """Bytes on disk of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
