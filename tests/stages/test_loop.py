"""The whole loop from accepted tables to a bundle, on a tiny shop; and that the future stays unseen."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
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
    assert metrics["shipped"]["reason"].split("+")[0] in page
    assert not re.search(r"<script|src=|@import|<link", page), "the page needs nothing from anywhere"
    bundle = load_bundle(data / "bundle")
    answer = bundle.predict(*(fold_table(data / "features", "test", name) for name in ("queries", "pool")))
    assert answer.equals(_scores(data, metrics["shipped"]["name"], "test")), "what ships is what was tested"


def poisoned(tiny: Mapping[str, pl.DataFrame], cutoff: datetime) -> dict[str, pl.DataFrame]:
    """The shop with another future: other products, amounts, baskets and customers, other list prices."""
    lines = tiny["transactions"]
    future, first = pl.col("at") >= cutoff, tiny["products"]["product_id"][0]
    changed = lines.with_columns(
        product_id=pl.when(future).then(pl.lit(first)).otherwise("product_id"),
        quantity=pl.when(future).then(1000.0).otherwise("quantity"),
        amount=pl.when(future).then(0.01).otherwise("amount"),
    )
    strangers = lines.filter(future).with_columns(
        basket_id="a" + pl.col("basket_id"), customer_id="zz" + pl.col("customer_id")
    )
    views = lines.filter(future).select(
        "customer_id", "at", event_id="basket_id", session_id="basket_id", product_id=pl.lit(first), kind=pl.lit("view")
    )
    return {
        "transactions": pl.concat([changed, strangers]).sort("at"),
        "products": tiny["products"].with_columns(price=pl.lit(99.0), active=pl.col("product_id") != first),
        "behaviour": pl.concat([tiny["behaviour"], views.select(tiny["behaviour"].columns)]).sort("at"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("fold", ["validation", "test"])
def test_poisoning_the_future_changes_no_score(tiny: dict[str, pl.DataFrame], shop: Shop, fold: str) -> None:
    models = {
        name: MODELS.get(name, {})
        for name in ("popularity", "personal", "tifu_knn", "ease", "als", "item_knn", "user_knn")
    }
    split = {"horizon_days": 14, "oof_folds": 2, "anonymous_queries": 0}  # their sessions lie in the window itself
    block = PARAMS["recommendation"] | {"models": models, "split": split}  # type: ignore[operator]
    params = PARAMS | {"recommendation": block}
    viewed = tiny["transactions"].select(
        "customer_id", "at", "product_id", event_id="basket_id", session_id="basket_id", kind=pl.lit("click")
    )
    tiny = tiny | {"behaviour": viewed.gather_every(3)}
    clean = shop(tiny, params) / "recommendation"
    run(models, until="ensemble")
    cutoff = next(each.cutoff for each in read_folds(clean / "features") if each.name == fold)
    dirty = shop(poisoned(tiny, cutoff), params) / "recommendation"
    run(models, until="ensemble")
    known = fold_table(clean / "features", fold, "queries").select("query")
    assert fold_table(dirty / "features", fold, "queries").height > known.height, "strangers come last"
    assert not fold_table(clean / "features", fold, "truth").equals(fold_table(dirty / "features", fold, "truth"))
    for name in [*models, "select", "rrf", "blend", "stack"]:
        mine, theirs = _scores(clean, name, fold), _scores(dirty, name, fold)
        assert mine.equals(theirs.join(known, on="query", how="semi", maintain_order="left")), name


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
        (["featurise", "toys"], "expected an application (demand, recommendation"),
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
