"""Profiles on a copy of the real params.yaml: what ran stands in the file, and `quick` undoes `full`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core.errors import ParamsError
from components.core.model import model_names
from components.core.params import read_params
from flows.profiles import apply_profile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def with_profile(path: Path, block: Any, **more: Any) -> Path:
    path.write_text(yaml.safe_dump({"profiles": {"mine": block}} | more))
    return path


def test_quick_undoes_full_and_the_file_keeps_its_comments(params: Path) -> None:
    before, text = read_params(params), params.read_text()
    changed = apply_profile("full", params)
    full = read_params(params)
    assert full["recommendation"]["split"] == {"oof_folds": 5} and changed
    assert {"gru", "cnn"} <= full["recommendation"]["models"].keys() <= set(model_names("recommendation"))
    assert apply_profile("full", params) == [], "it is in force"
    said = apply_profile("quick", params)
    assert "recommendation.models.gru: {} -> taken out" in said
    assert read_params(params) == before
    assert params.read_text().count("#") == text.count("#")
    assert apply_profile("quick", params) == []


def test_quick_changes_nothing_of_the_defaults(params: Path) -> None:
    text = params.read_bytes()
    assert apply_profile("quick", params) == []
    assert params.read_bytes() == text


def test_quick_leaves_alone_what_full_does_not_set(params: Path) -> None:
    params.write_text(params.read_text().replace("    als: {}", "    als: {factors: 32}"))
    apply_profile("full", params)
    apply_profile("quick", params)
    assert read_params(params)["recommendation"]["models"]["als"] == {"factors": 32}


@pytest.mark.parametrize("there", [{}, {"recommendation": None}, {"recommendation": {"stack": None}}])
def test_taking_out_what_is_not_there_changes_nothing(tmp_path: Path, there: dict[str, Any]) -> None:
    path = with_profile(tmp_path / "params.yaml", {"recommendation": {"stack": {"n_trees": None}}}, **there)
    text = path.read_text()
    assert apply_profile("mine", path) == [] and path.read_text() == text


def test_a_new_block_is_written_without_its_nulls(tmp_path: Path) -> None:
    block = {"recommendation": {"split": {"oof_folds": 5, "horizon_days": None}, "gates": {"slack": None}, "gru": {}}}
    path = with_profile(tmp_path / "params.yaml", block)
    assert len(apply_profile("mine", path)) == 1
    assert read_params(path)["recommendation"] == {"split": {"oof_folds": 5}, "gru": {}}
    assert apply_profile("mine", path) == []


def test_an_unknown_profile_is_told(params: Path) -> None:
    with pytest.raises(ParamsError, match=r"quick, full.*got 'slow'"):
        apply_profile("slow", params)
