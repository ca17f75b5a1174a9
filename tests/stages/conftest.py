"""The shop that modules about collect and validate share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

ROOT = Path(__file__).parents[2]

MakeShop = Callable[[str, Mapping[str, float]], Path]


@pytest.fixture
def make_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeShop:
    """(timezone, table -> share of it that may be bad) -> the folder of a shop, which becomes the working one.

    It has two products, and its tables come from the folder `files`.
    """

    def make(timezone: str, bad_shares: Mapping[str, float]) -> Path:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SHOP_DATA", "data")
        monkeypatch.setenv("SHOP_HOME", "shop")
        shutil.copytree(ROOT / "expectations", "expectations")
        Path("files").mkdir()
        params: dict[str, Any] = {
            "timezone": timezone,
            "sources": {table: {"kind": "folder", "path": "files"} for table in bad_shares},
            "quality": {table: {"quarantine_share_max": share} for table, share in bad_shares.items()},
        }
        Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        products = {"product_id": ["p0", "p1"], "title": ["A", "B"], "category": ["x", "x"]}
        pl.DataFrame(products).write_csv("files/products.csv")
        return tmp_path

    return make
