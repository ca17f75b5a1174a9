"""The whole loop from accepted tables to a bundle, on a tiny shop; and that the future stays unseen."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml

from components.__main__ import main
from components.core.artifacts import read_json, write_json
from components.core.bundle import load_bundle
from components.core.splits import fold_table, read_folds

MODELS = {
    "popularity": {},
    "personal": {},
    "ease": {},
    "item_knn": {},
    "als": {"factors": 8, "iterations": 3},
    "transformer": {"dim": 8, "length": 10, "epochs": 1, "n_negatives": 8, "min_support": 1, "batch": 16},
}
PARAMS = {
    "timezone": "UTC",
    "recommendation": {
        "split": {"horizon_days": 14, "oof_folds": 2, "anonymous_queries": 10},
        "features": {"pool": {"n_popular": 15, "n_neighbours": 10}},
        "models": MODELS,
        "ensembles": {"select": {}, "rrf": {}, "blend": {}, "stack": {"n_trees": 10, "min_rows_per_leaf": 5}},
        "gates": {},
    },
}
Shop = Callable[[Mapping[str, pl.DataFrame], dict[str, object]], Path]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Writes accepted tables and params.yaml of a shop, enters its folder, answers its data root."""

    def make(tables: Mapping[str, pl.DataFrame], params: dict[str, object]) -> Path:
        data = tmp_path / f"shop_{len(list(tmp_path.iterdir()))}" / "data"
        as_of = tables["transactions"]["at"].max()
        for name, table in tables.items():
            (data / "accepted" / name).mkdir(parents=True)
            table.write_parquet(data / "accepted" / name / "part-0.parquet")
            write_json(data / "accepted" / name / "meta.json", {"as_of": (as_of + timedelta(hours=1)).isoformat()})  # type: ignore[operator]
        (data.parent / "params.yaml").write_text(yaml.safe_dump(params))
        monkeypatch.chdir(data.parent)
        monkeypatch.setenv("SHOP_DATA", str(data))
        return data

    return make


def run(models: Mapping[str, object], until: str = "package") -> None:
    stages = ["featurise", "train", "ensemble", "evaluate", "package"]
    for stage in stages[: stages.index(until) + 1]:
        for model in models if stage == "train" else [None]:
            assert main([stage, "recommendation", *([model] if model else [])]) == 0, stage


@pytest.mark.slow
def test_the_whole_loop_ends_in_a_bundle_that_answers_as_it_was_tested(
    tiny: dict[str, pl.DataFrame], shop: Shop
) -> None:
    data = shop(tiny, PARAMS) / "recommendation"
    run(MODELS)
    metrics = read_json(data / "metrics.json")
    assert set(metrics["rows"]) == {*MODELS, "select", "rrf", "blend", "stack"} and not metrics["skipped"]
    ndcg = {name: row["metrics"]["ndcg@10"]["mean"] for name, row in metrics["rows"].items()}
    assert ndcg["personal"] > ndcg["popularity"] + 0.1, "customers of this shop rebuy their own staples"
    assert metrics["shipped"]["name"] in metrics["shipped"]["reason"]
    assert {"audience=known", "audience=anonymous"} <= set(metrics["slices"]["personal"])
    assert (data / "plots" / "models.csv").is_file()
    page = (data / "evaluation" / "report.html").read_text()
    assert metrics["shipped"]["reason"] in page.replace("&#34;", '"') and "http" not in page.replace(
        "http://www.w3.org", ""
    )
    bundle = load_bundle(data / "bundle")
    answer = bundle.predict(*(fold_table(data / "features", "test", name) for name in ("queries", "pool")))
    assert answer.equals(_scores(data, metrics["shipped"]["name"], "test")), "what ships is what was tested"


@pytest.mark.slow
def test_poisoning_the_future_changes_no_score(tiny: dict[str, pl.DataFrame], shop: Shop) -> None:
    models = {name: values for name, values in MODELS.items() if name != "transformer"}
    block = PARAMS["recommendation"] | {
        "models": models,
        "split": {"horizon_days": 14, "oof_folds": 2, "anonymous_queries": 0},
    }  # type: ignore[operator]
    params = PARAMS | {"recommendation": block}
    clean = shop(tiny, params) / "recommendation"
    run(models, until="ensemble")
    cutoff = read_folds(clean / "features")[-1].cutoff
    future = pl.col("at") >= cutoff
    everything = tiny["products"]["product_id"]
    poisoned = tiny["transactions"].with_columns(
        product_id=pl.when(future).then(pl.lit(everything[0])).otherwise("product_id"),
        quantity=pl.when(future).then(1000.0).otherwise("quantity"),
    )
    dirty = shop(tiny | {"transactions": poisoned}, params) / "recommendation"
    run(models, until="ensemble")
    assert not fold_table(clean / "features", "test", "truth").equals(fold_table(dirty / "features", "test", "truth"))
    for name in [*models, "select", "rrf", "blend", "stack"]:
        assert _scores(clean, name, "test").equals(_scores(dirty, name, "test")), name


def test_a_model_that_does_not_fit_steps_aside_and_the_rest_go_on(
    tiny: dict[str, pl.DataFrame], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"popularity": {}, "ease": {}}
    data = shop(tiny, PARAMS | {"recommendation": PARAMS["recommendation"] | {"models": models}})  # type: ignore[operator]
    run(models, until="featurise")
    monkeypatch.setenv("SHOP_MEMORY_GIB", "0.00001")
    assert main(["train", "recommendation", "ease"]) == 0
    monkeypatch.delenv("SHOP_MEMORY_GIB")
    assert main(["train", "recommendation", "popularity"]) == 0
    for stage in ("ensemble", "evaluate", "package"):
        assert main([stage, "recommendation"]) == 0
    metrics = read_json(data / "recommendation" / "metrics.json")
    assert "ease" in metrics["skipped"] and "ease" not in metrics["rows"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["featurise", "toys"], "expected an application (recommendation"),
        (["train", "recommendation", "nonsense"], "no block"),
    ],
)
def test_mistakes_are_one_line(
    tiny: dict[str, pl.DataFrame], shop: Shop, capsys: pytest.CaptureFixture[str], command: list[str], words: str
) -> None:
    shop(tiny, PARAMS)
    assert main(command) == 1
    assert words in capsys.readouterr().err


def _scores(data: Path, name: str, fold: str) -> pl.DataFrame:
    single = data / "models" / name / "scores" / f"{fold}.parquet"
    return pl.read_parquet(single if single.is_file() else data / "ensembles" / "scores" / fold / f"{name}.parquet")
