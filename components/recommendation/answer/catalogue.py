"""The products by code, as one release knows them: names for people, masks for filters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Lists by item code; `available` is False for what may not be shown (inactive, out of stock)."""

    product_ids: list[str]
    titles: list[str]
    categories: list[str | None]
    departments: list[str | None]
    available: np.ndarray
    code_of: dict[str, int]
    category_codes: dict[str, np.ndarray]
    department_codes: dict[str, np.ndarray]

    @classmethod
    def load(cls, path: Path) -> Self:
        """From catalogue.parquet; one of an older release may lack `in_stock`."""
        frame = pl.read_parquet(path).sort("item")
        available = (
            frame["active"] & frame["in_stock"].fill_null(True) if "in_stock" in frame.columns else frame["active"]
        )
        ids = frame["product_id"].to_list()
        return cls(
            ids,
            frame["title"].to_list(),
            frame["category"].to_list(),
            frame["department"].to_list(),
            available.to_numpy(),
            dict(zip(ids, range(len(ids)), strict=True)),
            _items_by_name(frame, "category"),
            _items_by_name(frame, "department"),
        )

    def codes(self, product_ids: Iterable[str]) -> tuple[np.ndarray, list[str]]:
        """Codes of the products that are known, (n,) int32, and the ids that are not."""
        wanted = list(product_ids)
        known = [self.code_of[name] for name in wanted if name in self.code_of]
        return np.array(known, np.int32), [name for name in wanted if name not in self.code_of]


def _items_by_name(frame: pl.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Item codes by lower-case name of a category or department."""
    named = frame.drop_nulls(column).group_by(pl.col(column).str.to_lowercase()).agg("item").sort(column)
    return {name: np.array(items, np.int32) for name, items in named.iter_rows()}
