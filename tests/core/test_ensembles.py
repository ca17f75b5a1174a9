"""Ensembles: what each learns on a pool whose answer is known, and that saving changes nothing."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.core import ensembles
from components.core.errors import DataError, ModelError, NotFitted, ParamsError
from components.core.metrics import Asked, ndcg_objective

N_GROUPS, N_ITEMS = 60, 20
STACK = {"objectives": [{"objective": "lambdarank"}, {"objective": "binary"}]}
SPEC = ensembles.PoolSpec(("query", "item"), ("good", "other", "noise"), ("flag",), "rank", ndcg_objective(10), STACK)
PARAMS = {"stack": {"n_trees": 30, "min_rows_per_leaf": 5}}


def make_pool(seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`good` and `other` each see half of the truth, `noise` sees nothing."""
    random = np.random.default_rng(seed)
    n = N_GROUPS * N_ITEMS
    label = (random.random(n) < 0.2).astype(float)
    half = random.random(n) < 0.5
    pool = pl.DataFrame({
        "query": np.repeat(np.arange(N_GROUPS), N_ITEMS), "item": np.tile(np.arange(N_ITEMS), N_GROUPS),
        "good": label * half + random.random(n) * 0.5, "other": label * ~half + random.random(n) * 0.6,
        "noise": random.random(n), "flag": random.random(n),
    }).with_columns(other=pl.when(pl.col("item") == 3).then(None).otherwise("other"))  # fmt: skip
    truth = pool.filter(pl.Series(label > 0)).select("query", "item", label=pl.lit(1.0))
    return pool, truth


def ndcg(scores: pl.DataFrame, pool: pl.DataFrame, truth: pl.DataFrame) -> float:
    offsets = np.arange(0, len(pool) + 1, N_ITEMS)
    counts = ensembles.truth_counts(pool, truth, "query")
    asked = Asked(ensembles.labels(pool, truth, SPEC.keys), offsets, counts)
    return ndcg_objective(10)(scores["score"].to_numpy(), asked)


RANKING = [name for name in ensembles.ensemble_names() if name != "quantile_stack" and not name.startswith("class_")]
UNTAUGHT = {"rrf", "median"}  # they learn nothing, so they cannot be asked too early


@pytest.mark.parametrize("name", RANKING)
def test_every_ensemble_keeps_the_contract(name: str, tmp_path: Path) -> None:
    pool, truth = make_pool()
    fitted = ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(pool, truth)
    answer = ensembles.predict(fitted, pool)
    assert answer.columns == ["query", "item", "score"] and answer.height == pool.height
    assert answer["score"].is_finite().all()
    fitted.save(tmp_path)
    again = ensembles.ensemble_class(name).load(tmp_path)
    assert ensembles.predict(again, pool).equals(answer), "loading changes no score"
    second = ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(pool, truth)
    assert ensembles.predict(second, pool).equals(answer), "a second fit equals the first"
    assert sum(fitted.weights().values()) == pytest.approx(1.0)
    assert not list(tmp_path.rglob("*.pkl"))
    with pytest.raises(ParamsError, match="no_such_name"):
        ensembles.make_ensemble(name, SPEC, {"no_such_name": 1})
    with pytest.raises(DataError, match="good"):
        ensembles.predict(fitted, pool.drop("good"))


@pytest.mark.parametrize("name", sorted(set(RANKING) - UNTAUGHT))
def test_unfitted_ensembles_say_so(name: str) -> None:
    with pytest.raises(NotFitted):
        ensembles.predict(ensembles.make_ensemble(name, SPEC, {}), make_pool()[0])


def test_combining_beats_the_best_member_on_new_rows() -> None:
    fit_rows, (pool, truth) = make_pool(0), make_pool(1)
    alone = max(ndcg(pool.select("query", "item", score=pl.col(m).fill_null(0)), pool, truth) for m in SPEC.members)
    for name in ("blend", "stack"):
        fitted = ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(*fit_rows)
        assert ndcg(ensembles.predict(fitted, pool), pool, truth) > alone + 0.02


def test_select_takes_the_best_and_blend_ignores_noise() -> None:
    pool, truth = make_pool()
    assert ensembles.make_ensemble("select", SPEC, {}).fit(pool, truth).weights() == {"good": 1.0}
    weights = ensembles.make_ensemble("blend", SPEC, {}).fit(pool, truth).weights()
    assert all(weight >= 0 for weight in weights.values())
    assert weights.get("noise", 0) < 0.15 < min(weights["good"], weights["other"])


def test_only_what_is_heeded_must_be_asked() -> None:
    pool, truth = make_pool()
    for name, heeded in (("select", {"good"}), ("blend", {"good", "other", "noise"}), ("stack", set(SPEC.members))):
        fitted = ensembles.make_ensemble(name, SPEC, PARAMS.get(name, {})).fit(pool, truth)
        assert set(fitted.spec.members) <= heeded
        needed = pool.select("query", "item", *fitted.spec.members, *fitted.spec.features)
        assert ensembles.predict(fitted, needed).equals(ensembles.predict(fitted, pool))


def test_select_ranks_what_its_member_cannot_score_last() -> None:
    pool, truth = make_pool()
    gaps = pool.with_columns(good=pl.when(pl.col("item") < 3).then(None).otherwise("good"))
    fitted = ensembles.make_ensemble("select", SPEC, {}).fit(pool, truth)
    answer = ensembles.predict(fitted, gaps)
    assert answer["score"].is_finite().all()
    assert answer.filter(pl.col("item") < 3)["score"].max() < answer.filter(pl.col("item") >= 3)["score"].min()  # type: ignore[operator]


@pytest.mark.parametrize("n_true", [0, 3])
def test_a_shop_too_small_to_learn_from_gets_an_answer_all_the_same(n_true: int) -> None:
    pool, truth = make_pool()
    for name in RANKING:
        fitted = ensembles.make_ensemble(name, SPEC, {}).fit(pool.head(N_ITEMS), truth.filter(query=0).head(n_true))
        assert ensembles.predict(fitted, pool.head(N_ITEMS))["score"].is_finite().all()
        assert sum(fitted.weights().values()) == pytest.approx(1.0)


def test_stack_drops_inputs_that_contribute_nothing() -> None:
    pool, truth = make_pool()
    constant = pool.with_columns(flag=pl.lit(1.0))
    fitted = ensembles.make_ensemble("stack", SPEC, PARAMS["stack"]).fit(constant, truth)
    assert "flag" in fitted.dropped  # type: ignore[attr-defined]
    assert "flag" not in fitted.weights()


def test_rank_units_ignore_the_scale_of_a_member() -> None:
    pool, truth = make_pool()
    fitted = ensembles.make_ensemble("blend", SPEC, {}).fit(pool, truth)
    stretched = pool.with_columns(pl.col("good") * 1000 - 5)
    assert ensembles.predict(fitted, stretched).equals(ensembles.predict(fitted, pool))


def test_a_missing_score_counts_as_the_worst_rank_not_as_a_failure() -> None:
    pool, truth = make_pool()
    fitted = ensembles.make_ensemble("rrf", SPEC, {}).fit(pool, truth)
    silent = ensembles.predict(fitted, pool.with_columns(good=pl.lit(None, pl.Float64)))
    assert silent["score"].is_finite().all()


def test_unknown_ensemble_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match="blend"):
        ensembles.ensemble_class("average")
