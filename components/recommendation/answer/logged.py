"""Logged answers in the terms of scores: which item a product is, and its chance to be anywhere in the list.

What is logged is the chance of a product at its place. If a place earns nothing by itself, only the list matters, and
the chances of all places together are known from one (components.recommendation.answer.exploration has the formulas):

    P(product of the list shown) = 1 - e                 logged as (1 - e) * ((1 - s) * [own place] + s / n)
    P(product from below shown)  = n * e / m             logged as e / m, the same at each of n places
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.core.params import parse
from components.recommendation.answer.exploration import Exploration


def logged_keys(shown: pl.DataFrame, bundle: Path, manifests: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """Shown rows of releases whose manifest is known, with item (null where the bundle has none) and chance."""
    catalogue = pl.read_parquet(bundle / "catalogue.parquet")
    items = catalogue.select(pl.col("product_id").cast(pl.String).alias("key"), "item")
    sized = shown.with_columns(n_shown=pl.len().over("event_id"))
    parts = [_part(sized.filter(pl.col("release") == release), manifest) for release, manifest in manifests.items()]
    known = pl.concat(parts) if parts else _part(sized.clear(), {})
    return known.drop("n_shown").join(items, on="key", how="left", maintain_order="left")


def _part(rows: pl.DataFrame, manifest: Mapping[str, Any]) -> pl.DataFrame:
    """Answers of one release, by what its manifest says of exploring."""
    values = (manifest.get("params") or {}).get("exploration") or {}
    policy = parse(Exploration, values, "recommendation.exploration")
    chances = shown_chances(policy, rows["propensity"].to_numpy(), rows["n_shown"].to_numpy())
    return rows.with_columns(chance=pl.Series(chances, dtype=pl.Float64))


def shown_chances(policy: Exploration, propensity: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Chance of each product to be anywhere in its list of `n`, from that of being where it was; (n_rows,).

    Which of the two kinds a product is follows from its propensity, except where both kinds happen to have the same.
    """
    marked = np.array([policy.marked(int(size), policy.depth) for size in n])
    elsewhere = (1 - marked) * policy.shuffle_share / np.maximum(n, 1)
    at_home = elsewhere + (1 - marked) * (1 - policy.shuffle_share)
    listed = np.isclose(propensity, at_home, rtol=1e-6) | np.isclose(propensity, elsewhere, rtol=1e-6, atol=0)
    chances = np.where(listed, 1 - marked, np.minimum(n * propensity, 1.0))
    return np.where(propensity >= 1, 1.0, chances)
