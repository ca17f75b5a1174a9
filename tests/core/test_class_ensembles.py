"""Ensembles over classifications: what each learns on a pool whose answer is known, and what it rejects."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.core import ensembles
from components.core.classification import answers, log_likelihood, normalised, outcomes, summary
from components.core.errors import DataError, ModelError, NotFitted, ParamsError
from components.core.metrics import ndcg_objective

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
    means = {name: rows[name].mean() for name in ("accuracy", "nll")}
    ratios = {name: rows[name].sum() / rows[f"{name} of"].sum() for name in ("in_scope_accuracy", "oos_recall")}
    return means | ratios | summary(scores, truth, pool)


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
