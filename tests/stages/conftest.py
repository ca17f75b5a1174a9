"""The shops that modules about collect and validate share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from components.feedback.events import Event
from components.feedback.store import Store, open_store

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


@pytest.fixture
def feedback_store(make_shop: MakeShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store in such a shop, in New York, where all feedback may be bad and no transactions are needed."""
    make_shop("America/New_York", {"feedback": 1.0, "impressions": 1.0, "products": 0.1, "transactions": 0.1})
    monkeypatch.setenv("SHOP_CLOCK", str(tmp_path / "clock"))
    monkeypatch.delenv("SHOP_FEEDBACK_URL", raising=False)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["sources"] |= {table: {"kind": "feedback"} for table in ("feedback", "impressions")}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    found = open_store()
    yield found
    found.close()


@pytest.fixture
def send(feedback_store: Store) -> Callable[..., None]:
    """Appends events as received at a moment."""

    def sent(received: datetime, *events: Event) -> None:
        Path("clock").write_text(received.isoformat())
        feedback_store.append(events)

    return sent
