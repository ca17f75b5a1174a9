"""Ensembles over quantiles: parts with weights of their own, order, and covering what is claimed."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.core import ensembles
from components.core.ensembles._conformal import Conformal
from components.core.errors import ModelError
from components.core.metrics import pinball_loss, pinball_objective

LEVELS = (0.1, 0.5, 0.9)
KEYS = ("query", "week", "quantile")
SPEC = ensembles.PoolSpec(
    keys=KEYS,
    members=("low", "high", "noise"),
    features=("level", "kind", "scale"),
    unit="score",
    objective=pinball_objective,
    level="level",
    parts=("kind",),
    scale="scale",
)
NAMES = ["select", "select_by_class", "blend", "median", "quantile_stack"]
PARAMS = {"quantile_stack": {"n_trees": 20, "min_rows_per_leaf": 20}, "select": {"per": ["kind"]}}


def make_pool(n: int = 400, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`low` knows the median of kind 0, `high` that of kind 1; all bands are far too narrow."""
    random = np.random.default_rng(seed)
    kind, scale = np.arange(n) % 2, 10.0 ** random.integers(0, 3, n)
    centre = scale * (5 + random.random(n))
    label = np.maximum(centre + scale * random.normal(0, 1, n), 0)
    numbers = {"query": np.arange(n, dtype=np.int32), "week": np.zeros(n, np.int32)}
    rows = pl.DataFrame(numbers | {"kind": kind.astype(float), "scale": scale, "centre": centre, "label": label})
    rows = rows.join(pl.DataFrame({"quantile": LEVELS}), how="cross").sort(KEYS)
    narrow = (rows["quantile"] - 0.5) * rows["scale"] * 0.2
    off = 2 * rows["scale"]
    pool = rows.with_columns(
        level="quantile",
        low=rows["centre"] + narrow + off * rows["kind"],
        high=rows["centre"] + narrow + off * (1 - rows["kind"]),
        noise=pl.Series(random.random(len(rows))) * rows["scale"] * 10,
    )
    return pool.select(*KEYS, "low", "high", "noise", "level", "kind", "scale"), pool.select(*KEYS, "label")


@pytest.mark.parametrize("name", NAMES)
def test_quantiles_are_ordered_and_loading_changes_nothing(name: str, tmp_path: Path) -> None:
    pool, truth = make_pool()
    fitted = ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(pool, truth)
    answer = ensembles.predict(fitted, pool)
    ordered = answer.group_by("query", "week", maintain_order=True).agg(pl.col("score").diff().drop_nulls().min())
    assert (ordered["score"] >= 0).all() and (answer["score"] >= 0).all()
    assert sum(fitted.weights().values()) == pytest.approx(1.0)
    fitted.save(tmp_path)
    loaded = ensembles.load_ensemble(name, tmp_path)
    assert ensembles.predict(loaded, pool).equals(answer)
    assert ensembles.predict(Conformal.load(tmp_path), pool).equals(answer), "the folder says what is inside"
    loaded.save(tmp_path / "again")
    assert {file.name: file.read_bytes() for file in (tmp_path / "again").glob("*.*")} == {
        file.name: file.read_bytes() for file in tmp_path.glob("*.*")
    }
    again = ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(pool, truth)
    assert ensembles.predict(again, pool).equals(answer)


@pytest.mark.parametrize("name", ["select", "blend", "quantile_stack"])
def test_bands_cover_what_they_claim_on_new_rows(name: str) -> None:
    fitted = ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(*make_pool(1500))
    pool, truth = make_pool(1500, seed=1)
    wide = ensembles.predict(fitted, pool).join(truth, on=list(KEYS))
    bounds = wide.pivot("quantile", index=["query", "label"], values="score")
    inside = (bounds["label"] >= bounds["0.1"]) & (bounds["label"] <= bounds["0.9"])
    assert 0.75 < inside.mean() < 0.85
    naive = pool.with_columns(pl.col("low").alias("score")).join(truth, on=list(KEYS))
    assert _loss(wide) < 0.7 * _loss(naive)


def test_weights_differ_by_part() -> None:
    pool, truth = make_pool()
    blend = ensembles.make_ensemble("blend", SPEC, {}).fit(pool, truth)
    weights = blend.by_part  # type: ignore[attr-defined]
    assert weights["level=0.5 kind=0"]["low"] > 0.8 and weights["level=0.5 kind=1"]["high"] > 0.8
    select = ensembles.make_ensemble("select_by_class", SPEC, {}).fit(pool, truth)
    assert select.by_part == {"kind=0": {"low": 1.0}, "kind=1": {"high": 1.0}}  # type: ignore[attr-defined]
    assert select.weights() == {"low": 0.5, "high": 0.5}
    assert "noise" not in select.spec.members, "what nobody chose need not ship"


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_unit_changes_nothing_but_the_unit(name: str) -> None:
    pool, truth = make_pool()
    scores = [
        ensembles.predict(ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(a, b), a)["score"].to_numpy()
        for a, b in ((pool, truth), _times(pool, truth, 8.0))
    ]
    np.testing.assert_allclose(scores[1], 8 * scores[0], rtol=1e-4)


def test_a_silent_member_neither_wins_nor_spoils() -> None:
    pool, truth = make_pool()
    silent = pool.with_columns(pl.when(pl.col("query") % 3 > 0).then("low"))
    for name in NAMES:
        fitted = ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(silent, truth)
        assert ensembles.predict(fitted, silent)["score"].is_finite().all()
    blend = ensembles.make_ensemble("blend", SPEC, {}).fit(pool, truth)
    others = pool.with_columns(low=pl.lit(None, pl.Float64), noise=pl.lit(None, pl.Float64))
    said = ensembles.predict(blend, others).filter(quantile=0.5)["score"]
    np.testing.assert_allclose(said, others.filter(quantile=0.5)["high"], rtol=0.1)  # the one that speaks is believed


def test_weak_members_have_no_vote_in_the_median() -> None:
    pool, truth = make_pool()
    kept = ensembles.make_ensemble("median", SPEC, {"worst": 1.3}).fit(pool, truth).spec.members
    assert set(kept) == {"low", "high"}
    assert ensembles.make_ensemble("median", SPEC, {"worst": 100}).fit(pool, truth).spec.members == SPEC.members


def test_what_is_meant_for_ranks_or_for_quantiles_says_so() -> None:
    with pytest.raises(ModelError, match="median"):
        ensembles.make_ensemble("rrf", SPEC, {})
    ranks = ensembles.PoolSpec(("query", "item"), ("a",), (), "rank", pinball_objective)
    with pytest.raises(ModelError, match="stack"):
        ensembles.make_ensemble("quantile_stack", ranks, {})


def _times(pool: pl.DataFrame, truth: pl.DataFrame, factor: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    return pool.with_columns(pl.col("low", "high", "noise", "scale") * factor), truth.with_columns(
        pl.col("label") * factor
    )


def _loss(rows: pl.DataFrame) -> float:
    return float(pinball_loss(*(rows[name].to_numpy() for name in ("score", "label", "quantile"))).mean())
