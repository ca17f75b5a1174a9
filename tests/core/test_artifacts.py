"""Writes are whole or absent; sealed folders notice a changed byte."""

from pathlib import Path

import numpy as np
import pytest

from components.core import artifacts
from components.core.errors import ArtifactError


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "value.json"
    artifacts.write_json(target, {"old": True})
    with pytest.raises(RuntimeError), artifacts.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert artifacts.read_json(target) == {"old": True}
    assert [path.name for path in tmp_path.iterdir()] == ["value.json"]


def test_a_failed_folder_never_appears(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), artifacts.atomic_folder(tmp_path / "release") as temporary:
        (temporary / "part").write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("harm", ["alter", "delete", "add"])
def test_a_sealed_folder_notices_harm(tmp_path: Path, harm: str) -> None:
    artifacts.save_arrays(tmp_path, {"weights": np.arange(3.0)})
    artifacts.seal(tmp_path)
    artifacts.verify(tmp_path)
    file = tmp_path / "weights.npy"
    if harm == "alter":
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    elif harm == "delete":
        file.unlink()
    else:
        (tmp_path / "extra").write_text("x")
    with pytest.raises(ArtifactError, match="differ"):
        artifacts.verify(tmp_path)


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        artifacts.write_json(tmp_path / "x.json", {"figure": float("nan")})


def test_arrays_are_mapped_not_copied_and_missing_ones_are_named(tmp_path: Path) -> None:
    artifacts.save_arrays(tmp_path, {"weights": np.arange(3.0)})
    assert isinstance(artifacts.load_array(tmp_path, "weights"), np.memmap)
    with pytest.raises(ArtifactError, match="train the model again"):
        artifacts.load_array(tmp_path, "other")
