"""Weights that stay while the data goes on: what is packaged is told in the terms that they learned, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.core.application import terms_of
from components.core.errors import DataError
from components.demand import application as demand
from components.recommendation import application as recommendation


def test_terms_are_those_beside_the_weights_or_the_features_own(tmp_path: Path) -> None:
    features = tmp_path / "features"
    assert terms_of(features, "now/queries.parquet") == features / "now" / "queries.parquet"
    kept = tmp_path / "ensembles" / "terms" / "now" / "queries.parquet"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert terms_of(features, "now/queries.parquet") == kept


def test_a_catalogue_with_other_products_needs_new_weights(tmp_path: Path) -> None:
    features, terms = tmp_path / "features", tmp_path / "ensembles" / "terms"
    for folder, ids in ((features, ["p1", "p2", "p4", "p5"]), (terms, ["p1", "p3", "p4"])):
        folder.mkdir(parents=True)
        pl.DataFrame({"product_id": ids, "item": range(len(ids))}).write_parquet(folder / "catalogue.parquet")
    with pytest.raises(DataError, match="2 products are new and 1 are gone; train again"):
        recommendation.package(features, tmp_path / "bundle")


def test_forecasts_are_packaged_in_the_terms_of_their_weights(
    weekly_frame: Callable[..., pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since they learned, categories were coded anew, one kind of placement came and another went."""
    then = weekly_frame([[1.0] * 30] * 3).with_columns(category=pl.Series(["ale", "milk", "zest"]))
    codes = pl.col("category").replace_strict({"ale": 0, "bread": 1, "milk": 2, "zest": 3}, return_dtype=pl.Int64)
    now = weekly_frame([[1.0] * 31] * 4).with_columns(category=pl.Series(["ale", "bread", "milk", "zest"]))
    now = now.rename({"known_mailer": "known_display"}).with_columns(static_category=codes)
    write(then, tmp_path / "ensembles" / "terms" / "now" / "queries.parquet")
    for name in ("queries", "categories"):
        write(now, tmp_path / "features" / "now" / f"{name}.parquet")
    (tmp_path / "bundle").mkdir()
    monkeypatch.setattr(demand, "read_bundle", lambda folder: folder)
    monkeypatch.setattr(demand.Forecasts, "of", lambda folder: Unforecast())
    demand.package(tmp_path / "features", tmp_path / "bundle")
    for name in ("queries", "categories"):
        told = pl.read_parquet(tmp_path / "bundle" / f"{name}.parquet")
        assert told["static_category"].to_list() == [0, -1, 1, 2], "as they were coded then; bread was not known"
        assert "known_display" not in told.columns and told["known_mailer"].to_list() == [[0.0] * 35] * 4
        assert told["y"].list.len().to_list() == [31] * 4, "and all the weeks since"


class Unforecast:
    def save(self, folder: Path) -> Any:
        return None


def write(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
