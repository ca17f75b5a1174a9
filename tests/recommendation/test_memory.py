"""Memory is asked for before it is taken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from components.core.errors import DoesNotFit
from components.core.model import make_model
from components.memory import GIB, memory_allowed, require_memory


def test_setting_is_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MEMORY_GIB", "2")
    assert memory_allowed() == 2 * GIB
    require_memory("a small thing", GIB)
    with pytest.raises(
        DoesNotFit, match=r"a large thing: expected at least 3.00 GiB of memory, got 2.00; .*SHOP_MEMORY"
    ):
        require_memory("a large thing", 3 * GIB)


@pytest.mark.parametrize(("limit", "expected"), [("8589934592", 6 * GIB), ("max", 12 * GIB), (None, 12 * GIB)])
def test_without_setting_it_is_a_share_of_machine_or_container_and_not_of_what_is_free(
    limit: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_MEMORY_GIB", raising=False)
    machine = SimpleNamespace(total=16 * GIB, available=1)
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    monkeypatch.setattr("components.memory._CGROUP", tmp_path)
    if limit is not None:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{limit}\n")
    assert memory_allowed() == expected


@pytest.mark.parametrize("name", ["als", "ease", "item_knn", "tifu_knn", "user_knn"])
def test_models_step_aside_before_they_start(name: str, checkerboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MEMORY_GIB", "0.000001")
    with pytest.raises(DoesNotFit, match=name):
        make_model("recommendation", name, {}).fit(checkerboard[0])
