"""Classifications through the stages: every member is judged, and ships, calibrated and able to reject."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from components.core import bundle, classification
from components.core.application import Application, load_application, scores_file
from components.core.artifacts import read_json, write_json
from components.core.splits import Fold, write_folds
from components.stages import ensemble, evaluate, package

L, N = 5, 300
KEYS = ["query", "intent"]
FOLDS = ("oof_1", "validation", "test")
ENSEMBLES: dict[str, Any] = {"class_vote": {}, "class_blend": {}}


def application() -> Application:
    return replace(
        load_application("demand"), keys=("query", "intent"), unit="probability", reject="reject", level=None,
        parts=(), scale=None, terms=(), metrics={"accuracy": "higher", "oos_recall": "higher"}, slices=("intent",),
        outcomes=classification.outcomes, objective=classification.objective, package=lambda features, out: None,
        summary=lambda scores, features: {}, gates=lambda values, features: [], pictures=None, plots=None,
    )  # fmt: skip


class Told:
    """A model that has learned the test rows' scores by heart."""

    def __init__(self, scores: pl.DataFrame) -> None:
        self.scores = scores

    def predict(self, queries: pl.DataFrame) -> pl.DataFrame:
        return self.scores.join(queries.select("query"), on="query", how="semi", maintain_order="left")

    @classmethod
    def load(cls, folder: Path) -> "Told":
        return cls(pl.read_parquet(folder / "scores.parquet"))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """data/support with features of three folds and no model yet."""
    for module in (ensemble, evaluate, package, bundle):
        monkeypatch.setattr(module, "load_application", lambda name: application())
    monkeypatch.setattr(bundle, "model_class", lambda application, name: Told)
    monkeypatch.setenv("SHOP_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    features = tmp_path / "data" / "support" / "features"
    for number, fold in enumerate(FOLDS):
        true = np.random.default_rng(number).integers(0, L + 1, N)
        queries = pl.DataFrame({"query": np.arange(N, dtype=np.int32)})
        pool = queries.join(pl.DataFrame({"intent": np.arange(L + 1, dtype=np.int32)}), how="cross")
        pool = pool.with_columns(reject=(pl.col("intent") == L).cast(pl.Float32))
        truth = queries.with_columns(intent=pl.Series(true, dtype=pl.Int32), label=pl.lit(1.0))
        truth = truth.with_columns(name=pl.format("i{}", "intent"), language=pl.lit("en"))
        (features / fold).mkdir(parents=True)
        for name, table in {"queries": queries, "pool": pool, "truth": truth}.items():
            table.write_parquet(features / fold / f"{name}.parquet")
    folds = [Fold(name, name.split("_")[0], datetime(2024, 1 + n, 1, tzinfo=UTC)) for n, name in enumerate(FOLDS)]  # type: ignore[arg-type]
    write_folds(features, folds)
    write_json(features / "data.json", {"as_of": "2024-04-01", "tables": {}})
    return features.parent


def put_member(data: Path, name: str, noise: float, seed: int) -> None:
    """A model whose scores are the truth, none out of scope, with so much noise; its scale is its own."""
    for number, fold in enumerate(FOLDS):
        true = pl.read_parquet(data / "features" / fold / "truth.parquet")["intent"].to_numpy()
        random = np.random.default_rng(100 * seed + number)
        scores = 30.0 * seed * (np.eye(L + 1)[true][:, :L] + noise * random.normal(size=(N, L)))
        rows = {"query": np.repeat(np.arange(N, dtype=np.int32), L), "intent": np.tile(np.arange(L, dtype=np.int32), N)}
        table = pl.DataFrame({**rows, "score": scores.ravel()})
        for target in (data / "models" / name / "scores" / f"{fold}.parquet", data / "models" / name / "model" / "x"):
            target.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(data / "models" / name / "scores" / f"{fold}.parquet")
    table.write_parquet(data / "models" / name / "model" / "scores.parquet")
    report = {"model": name, "skipped": None, "seconds": 1.0, "bytes": 1000, "ms_per_query": 1.0}
    write_json(data / "models" / name / "report.json", report)


def shipped(data: Path, members: dict[str, float]) -> dict[str, Any]:
    """metrics.json of a run with these members (name -> noise) from ensemble to package."""
    for seed, (name, noise) in enumerate(members.items(), 1):
        put_member(data, name, noise, seed)
    params = {"models": {name: {} for name in members}, "ensembles": ENSEMBLES, "gates": {}}
    Path("params.yaml").write_text(yaml.safe_dump({"support": params}))
    for stage in (ensemble.ensemble, evaluate.evaluate, package.package):
        stage("support")
    metrics: dict[str, Any] = read_json(data / "metrics.json")
    return metrics


def answered(data: Path) -> pl.DataFrame:
    """What the bundle says of the test rows."""
    tables = (pl.read_parquet(data / "features" / "test" / f"{name}.parquet") for name in ("queries", "pool"))
    return bundle.load_bundle(data / "bundle").predict(*tables)


def test_every_single_model_is_judged_as_it_would_ship(data: Path) -> None:
    rows = shipped(data, {"one": 0.3, "two": 0.3})["rows"]
    assert {name: row["kind"] for name, row in rows.items()} == {
        "one": "single", "two": "single", "class_vote": "ensemble", "class_blend": "ensemble"
    }  # fmt: skip
    assert all(row["metrics"]["oos_recall"]["mean"] > 0.5 for row in rows.values())
    alone = pl.read_parquet(scores_file(data, "one", "single"))
    assert not alone.equals(pl.read_parquet(data / "models" / "one" / "scores" / "test.parquet"))
    own = alone.filter(pl.col("intent") < L).group_by("query").agg(pl.col("score").sum())["score"]
    np.testing.assert_allclose(own, 1, atol=1e-5)
    assert rows["one"]["bytes"] > 1000, "what calibrates it counts"


def test_an_ensemble_ships_where_two_know_more_than_one(data: Path) -> None:
    metrics = shipped(data, {"one": 0.6, "two": 0.6})
    assert metrics["shipped"]["kind"] == "ensemble" and "through" not in metrics["shipped"]
    assert answered(data).equals(pl.read_parquet(scores_file(data, metrics["shipped"]["name"], "ensemble")))


def test_a_single_model_ships_through_what_calibrates_it(data: Path) -> None:
    metrics = shipped(data, {"good": 0.3, "bad": 5.0})
    assert metrics["shipped"]["name"] == "good"
    assert (metrics["shipped"]["kind"], metrics["shipped"]["through"]) == ("single", "class_select")
    assert sorted(path.name for path in (data / "bundle" / "members").iterdir()) == ["good"]
    answer = answered(data)
    assert answer.equals(pl.read_parquet(scores_file(data, "good", "single")))
    shutil.rmtree(data / "ensembles")
    assert answered(data).equals(answer), "the bundle needs nothing else"
