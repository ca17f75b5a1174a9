"""Ensembles over classifications: what each learns on a pool whose answer is known, and what it rejects."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.core import ensembles
from components.core.artifacts import read_json
from components.core.classification import log_likelihood, outcomes, summary
from components.core.errors import DataError, ModelError, NotFitted, ParamsError
from components.core.metrics import ndcg_objective, overall

N_LABELS = 4
MEMBERS = ("sharp", "timid", "noise")
KEYS = ("query", "intent")
SPEC = ensembles.PoolSpec(KEYS, MEMBERS, ("reject",), "probability", log_likelihood, reject="reject")
NAMES = [name for name in ensembles.ensemble_names() if name.startswith("class_")]


def make_pool(n: int = 600, seed: int = 0, share: float = 0.3) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`sharp` is far too sure and best on even labels, `timid` far too unsure and best on odd ones; both are
    undecided out of scope. Nobody scores the reject row but `timid`, and that says nothing."""
    random = np.random.default_rng(seed)
    true = np.where(random.random(n) < share, N_LABELS, random.integers(0, N_LABELS, n))
    hit = np.eye(N_LABELS + 1)[true][:, :N_LABELS]
    scale = np.where(true % 2 == 0, 3.0, 1.0)[:, None]
    inside = (true < N_LABELS)[:, None]
    sharp = 20 * (hit * scale * inside + random.normal(size=hit.shape))
    timid = 0.05 * (hit * (4 - scale) * inside + random.normal(size=hit.shape))
    silent = np.full((n, 1), np.nan)
    columns = {
        "sharp": np.column_stack([sharp, silent]),
        "timid": np.column_stack([timid, random.normal(size=n)]),
        "noise": np.column_stack([random.normal(size=hit.shape), silent]),
    }
    pool = pl.DataFrame({
        "query": np.repeat(np.arange(n, dtype=np.int32), N_LABELS + 1),
        "intent": np.tile(np.arange(N_LABELS + 1, dtype=np.int32), n),
        **{name: pl.Series(values.ravel()).fill_nan(None) for name, values in columns.items()},
        "reject": np.tile(np.eye(N_LABELS + 1, dtype=np.float32)[-1], n),
    })  # fmt: skip
    truth = pl.DataFrame({"query": np.arange(n, dtype=np.int32), "intent": true.astype(np.int32), "label": np.ones(n)})
    return pool, truth.with_columns(name=pl.format("i{}", "intent"), language=pl.lit("en"))


def figures(scores: pl.DataFrame, pool: pl.DataFrame, truth: pl.DataFrame) -> dict[str, float]:
    rows = outcomes(scores, truth, truth, pool)
    figures = {name: overall(rows, name) for name in ("accuracy", "nll", "in_scope_accuracy", "oos_recall")}
    return {name: figure or 0.0 for name, figure in figures.items()} | summary(scores, truth, pool)


@pytest.mark.parametrize("name", NAMES)
def test_every_ensemble_keeps_the_contract(name: str, tmp_path: Path) -> None:
    pool, truth = make_pool()
    fitted = ensembles.make_ensemble(name, SPEC, {}).fit(pool, truth)
    answer = ensembles.predict(fitted, pool)
    assert answer.columns == ["query", "intent", "score"] and answer.height == pool.height
    assert answer["score"].is_between(0, 1).all()
    sums = answer.filter(pl.col("intent") < N_LABELS).group_by("query").agg(pl.col("score").sum())
    np.testing.assert_allclose(sums["score"], 1, atol=1e-5)
    fitted.save(tmp_path)
    again = ensembles.load_ensemble(name, tmp_path)
    assert ensembles.predict(again, pool).equals(answer), "loading changes no score"
    assert {file.suffix for file in tmp_path.iterdir()} == {".json"}
    second = ensembles.make_ensemble(name, SPEC, {}).fit(pool, truth)
    assert ensembles.predict(second, pool).equals(answer), "a second fit equals the first"
    assert sum(fitted.weights().values()) == pytest.approx(1.0)
    alone = ensembles.predict(fitted, pool.filter(pl.col("query") == 5))["score"]
    np.testing.assert_allclose(alone, answer.filter(pl.col("query") == 5)["score"], atol=1e-6)
    with pytest.raises(ParamsError, match="no_such_name"):
        ensembles.make_ensemble(name, SPEC, {"no_such_name": 1})
    with pytest.raises(NotFitted):
        ensembles.predict(ensembles.make_ensemble(name, SPEC, {}), pool)
    with pytest.raises(NotFitted):
        ensembles.make_ensemble(name, SPEC, {}).save(tmp_path)


def test_probabilities_are_calibrated_and_what_is_out_of_scope_is_rejected_on_new_rows() -> None:
    pool, truth = make_pool(1000, seed=1)
    alone = {name: figures(pool.select(*KEYS, score=pl.col(name)), pool, truth) for name in ("sharp", "timid")}
    assert min(found["ece"] for found in alone.values()) > 0.05, "neither member is calibrated by itself"
    for name in NAMES:
        fitted = ensembles.make_ensemble(name, SPEC, {"expected_share": 0.3}).fit(*make_pool(1000))
        found = figures(ensembles.predict(fitted, pool), pool, truth)
        assert found["ece"] < 0.04, name
        assert found["oos_recall"] > 0.6 and found["oos_precision"] > 0.5, name
        assert found["accuracy"] > max(one["accuracy"] for one in alone.values()) + 0.08, name


def test_mixtures_know_more_than_their_best_member() -> None:
    rows, (pool, truth) = make_pool(1000), make_pool(1000, seed=1)
    found = {
        name: figures(ensembles.predict(ensembles.make_ensemble(name, SPEC, {}).fit(*rows), pool), pool, truth)
        for name in NAMES
    }
    for name in set(NAMES) - {"class_select"}:
        assert found[name]["nll"] < found["class_select"]["nll"] - 0.05, name
    # only weights of their own let labels heed the member that knows them
    assert found["class_stack"]["nll"] < min(found[name]["nll"] for name in NAMES if name != "class_stack")
    shared = ensembles.make_ensemble("class_stack", SPEC, {"penalties": []}).fit(*rows)
    assert found["class_stack"]["nll"] < figures(ensembles.predict(shared, pool), pool, truth)["nll"] - 0.01


def test_what_knows_nothing_is_left_out() -> None:
    pool, truth = make_pool()
    select = ensembles.make_ensemble("class_select", SPEC, {}).fit(pool, truth)
    assert select.weights() in ({"sharp": 1.0}, {"timid": 1.0}) and len(select.spec.members) == 1
    for name in ("class_vote", "class_blend"):
        assert "noise" not in ensembles.make_ensemble(name, SPEC, {}).fit(pool, truth).spec.members
    stack = ensembles.make_ensemble("class_stack", SPEC, {}).fit(pool, truth)
    assert stack.weights()["noise"] < 0.2


def test_precision_is_bought_with_recall() -> None:
    rows, (pool, truth) = make_pool(1000), make_pool(1000, seed=1)
    found = {}
    for precision in (0.5, 0.95):
        asked = {"precision": precision, "expected_share": 0.3}
        fitted = ensembles.make_ensemble("class_blend", SPEC, asked).fit(*rows)
        found[precision] = figures(ensembles.predict(fitted, pool), pool, truth)
    assert found[0.95]["oos_precision"] > 0.9 and found[0.5]["oos_precision"] < 0.7
    assert found[0.95]["oos_recall"] < found[0.5]["oos_recall"]


def test_the_more_is_expected_out_of_scope_the_more_is_rejected() -> None:
    rows, pool = make_pool(1000), make_pool(1000, seed=1)[0]
    shares = []
    for expected in (0.02, 0.2, 0.8):
        fitted = ensembles.make_ensemble("class_vote", SPEC, {"expected_share": expected}).fit(*rows)
        rejected = ensembles.predict(fitted, pool).filter(pl.col("intent") == N_LABELS)["score"] >= 0.5
        shares.append(int(rejected.sum()))
    assert shares == sorted(shares) and shares[0] < shares[2]


@pytest.mark.parametrize("name", NAMES)
def test_silent_members_are_tolerated(name: str) -> None:
    rows, (pool, truth) = make_pool(), make_pool(seed=1)
    fitted = ensembles.make_ensemble(name, SPEC, {}).fit(_silenced(rows[0]), rows[1])
    whole = figures(ensembles.predict(fitted, pool), pool, truth)["in_scope_accuracy"]
    partly = ensembles.predict(fitted, _silenced(pool))
    assert partly["score"].is_finite().all()
    assert figures(partly, pool, truth)["in_scope_accuracy"] > whole - 0.25
    nobody = pool.with_columns(pl.lit(None, pl.Float64).alias(member) for member in MEMBERS)
    unsaid = ensembles.predict(fitted, nobody).filter(pl.col("intent") < N_LABELS)
    assert (unsaid["score"] < 0.8).all(), "nobody said anything"
    assert unsaid.group_by("intent").agg(pl.col("score").n_unique())["score"].to_list() == [1] * N_LABELS


def _silenced(pool: pl.DataFrame) -> pl.DataFrame:
    """`sharp` says nothing of every third query, and nobody of label 2 in every seventh."""
    gone, partly = pl.col("query") % 3 == 0, (pl.col("query") % 7 == 0) & (pl.col("intent") == 2)
    pool = pool.with_columns(sharp=pl.when(~gone).then("sharp"))
    return pool.with_columns(pl.when(~partly).then(member).alias(member) for member in MEMBERS)


def test_a_member_alone_answers_as_well_as_among_others() -> None:
    pool, truth = make_pool()
    select = ensembles.make_ensemble("class_select", SPEC, {}).fit(pool, truth)
    alone = ensembles.make_ensemble("class_select", SPEC.only(select.spec.members), {}).fit(pool, truth)
    assert ensembles.predict(alone, pool).equals(ensembles.predict(select, pool))


def test_without_examples_out_of_scope_nothing_is_rejected(tmp_path: Path) -> None:
    rows, (pool, _) = make_pool(share=0.0), make_pool(seed=1)
    fitted = ensembles.make_ensemble("class_blend", SPEC, {}).fit(*rows)
    scores = ensembles.predict(fitted, pool)
    assert (scores.filter(pl.col("intent") == N_LABELS)["score"] == 0).all()
    fitted.save(tmp_path)
    assert ensembles.predict(ensembles.load_ensemble("class_blend", tmp_path), pool).equals(scores)


def test_a_pool_without_a_reject_row_has_probabilities_only() -> None:
    pool, truth = make_pool(share=0.0)
    inside = pool.filter(pl.col("reject") == 0).drop("reject")
    spec = ensembles.PoolSpec(KEYS, MEMBERS, (), "probability", log_likelihood)
    for name in NAMES:
        scores = ensembles.predict(ensembles.make_ensemble(name, spec, {}).fit(inside, truth), inside)
        np.testing.assert_allclose(scores.group_by("query").agg(pl.col("score").sum())["score"], 1, atol=1e-5)


def test_where_the_reject_row_stands_does_not_matter() -> None:
    pool, truth = make_pool()
    moved, told = (table.with_columns((pl.col("intent") + 1) % (N_LABELS + 1)) for table in (pool, truth))
    moved = moved.sort(KEYS)
    for name in NAMES:
        first = ensembles.predict(ensembles.make_ensemble(name, SPEC, {}).fit(pool, truth), pool)
        second = ensembles.predict(ensembles.make_ensemble(name, SPEC, {}).fit(moved, told), moved)
        back = second.with_columns((pl.col("intent") + N_LABELS) % (N_LABELS + 1)).sort(KEYS)
        np.testing.assert_allclose(back["score"], first["score"], atol=1e-3)


def test_mistakes_are_named() -> None:
    pool, truth = make_pool()
    ranks = ensembles.PoolSpec(("query", "item"), ("a",), (), "rank", ndcg_objective(10))
    with pytest.raises(ModelError, match=r"class_blend.*rank"):
        ensembles.make_ensemble("class_blend", ranks, {})
    fitted = ensembles.make_ensemble("class_vote", SPEC, {}).fit(pool, truth)
    with pytest.raises(DataError, match="learned 4 labels, the pool has 3"):
        ensembles.predict(fitted, pool.filter(pl.col("intent") != 1))
    with pytest.raises(DataError, match=r"sharp|timid"):
        ensembles.predict(fitted, pool.drop("sharp", "timid"))
    with pytest.raises(DataError, match="got none"):
        ensembles.make_ensemble("class_vote", SPEC, {}).fit(pool, truth.filter(pl.col("intent") == N_LABELS))


def test_pools_that_reject_nothing_are_written_as_before(tmp_path: Path) -> None:
    ensembles.PoolSpec(("query", "item"), ("a",), (), "rank").save(tmp_path)
    kept = set(read_json(tmp_path / "pool.json"))
    assert kept == {"keys", "members", "features", "unit", "stack", "level", "parts", "scale"}
    assert ensembles.PoolSpec.load(tmp_path).reject is None
    SPEC.save(tmp_path)
    assert ensembles.PoolSpec.load(tmp_path).reject == "reject"
