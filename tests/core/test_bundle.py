"""A bundle that another version of the project wrote is one error with a remedy, whatever goes wrong inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.core.artifacts import seal, write_json, write_text
from components.core.bundle import FORMAT, load_bundle, read_bundle
from components.core.errors import ArtifactError


def bundle(folder: Path, kind: str, **more: Any) -> Path:
    shipped = {"name": "popularity" if kind == "single" else "rrf", "kind": kind}
    write_json(folder / "manifest.json", {"format": FORMAT, "application": "recommendation", "shipped": shipped} | more)
    return folder


def test_a_member_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "old", "single", members=["popularity"])
    write_text(folder / "members" / "popularity" / "counts.npy", "a format of long ago")
    write_json(folder / "members" / "popularity" / "params.json", {})
    seal(folder)
    with pytest.raises(ArtifactError, match=r"members/popularity: expected popularity as this version .* release it"):
        load_bundle(folder)


def test_an_ensemble_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "old", "ensemble", members=[])
    write_json(folder / "ensemble" / "pool.json", {"keys": ["query", "item"]})
    with pytest.raises(ArtifactError, match=r"ensemble: expected rrf as this version .* got KeyError"):
        read_bundle(folder)


def test_a_model_that_is_no_more_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="expected long_gone as this version"):
        read_bundle(bundle(tmp_path / "old", "single", members=["long_gone"]))


def test_a_manifest_that_lacks_its_parts_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json as this version .* KeyError: 'members'"):
        read_bundle(bundle(tmp_path / "old", "single"))
