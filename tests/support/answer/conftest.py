"""A release whose models are a few words, so that what is decided and said is known; and one that was trained."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest
import yaml

from components.core.artifacts import read_json, seal, write_json
from components.core.bundle import FORMAT
from components.sources.taxonomy import Taxonomy as Source
from components.sources.taxonomy import TaxonomyParams
from components.stages.ensemble import ensemble
from components.stages.train import train
from components.support.answer.answerer import Answerer
from components.support.answer.decision import AnswerParams
from components.support.answer.intents import Intents, by_tables
from components.support.features.panel import in_order
from components.support.taxonomy import OUT_OF_SCOPE, STARTER, Taxonomy

TAXONOMY = Taxonomy.load(STARTER)
LABELS = in_order(TAXONOMY.names)
WORDS: Mapping[str, Mapping[str, float]] = {  # in a masked text -> probabilities; the first that fits
    "vague": {"order_status": 0.5, "invoice": 0.4},
    "unclear": {"order_status": 0.2, "invoice": 0.2},
    "weather": {"order_status": 0.9, OUT_OF_SCOPE: 0.95},
    "invoice": {"invoice": 0.9},
    "cancel": {"cancel_order": 0.95},
    "取消": {"cancel_order": 0.95},
    "where": {"order_status": 0.9},
    "到哪": {"order_status": 0.9},
    "how is the": {"product_question": 0.9},
    "delete": {"delete_my_data": 0.9},
    "hello": {"thanks_greeting": 0.95},
}
Asked = list[str]


def predict_by_words(queries: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """What an ensemble answers: probabilities of the labels, and on the reject row how surely none fits."""
    rows = []
    for query, text in queries.select("query", "text").rows():
        found = next((shares for word, shares in WORDS.items() if word in text.casefold()), {OUT_OF_SCOPE: 0.6})
        known = {name: share for name, share in found.items() if name != OUT_OF_SCOPE}
        rest = (1 - sum(known.values())) / (len(LABELS) - 1 - len(known))
        for code, name in enumerate(LABELS):
            score = found.get(name, 0.1) if name == OUT_OF_SCOPE else known.get(name, rest)
            rows.append((query, code, score))
    assert math.isclose(sum(row[2] for row in rows[: len(LABELS) - 1]), 1)
    return pl.DataFrame(rows, {"query": pl.Int32, "intent": pl.Int32, "score": pl.Float64}, orient="row")


@pytest.fixture
def asked() -> Asked:
    """Every text that models were asked, in order."""
    return []


@pytest.fixture
def make_answerer(asked: Asked) -> Callable[..., Answerer]:
    def make(params: AnswerParams | None = None) -> Answerer:
        def predict(queries: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
            asked.extend(queries["text"])
            return predict_by_words(queries, pool)

        return Answerer(Intents(by_tables(predict, len(LABELS)), LABELS), TAXONOMY, params)

    return make


@pytest.fixture
def answerer(make_answerer: Callable[..., Answerer]) -> Answerer:
    return make_answerer()


PARAMS = {
    "models": {"tfidf": {}, "embedding": {}, "knn": {}},
    "ensembles": {"class_blend": {}},
    "split": {"oof_folds": 2},
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle of tfidf and embedding, learned from the starter by the project's own stages."""
    from components.support.application import APPLICATION, featurise

    folder = tmp_path_factory.mktemp("trained")
    data = folder / "data" / "support"
    source = TaxonomyParams(kind="taxonomy")
    tables = {name: Source(name, source).read() for name in ("examples", "intents")}
    featurise(tables, "2026-11-23T00:00:00+00:00", PARAMS, data / "features")
    (folder / "params.yaml").write_text(yaml.safe_dump({"support": PARAMS}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_DATA", os.fspath(folder / "data"))
        patch.chdir(folder)
        for name in PARAMS["models"]:
            train("support", name)
        ensemble("support")
    bundle = _packed(data, folder / "bundle")
    APPLICATION.package(data / "features", bundle)
    seal(bundle)
    return bundle


def _packed(data: Path, bundle: Path) -> Path:
    """As the stage `package` lays it out, with what is shipped stated instead of chosen."""
    shutil.copytree(data / "ensembles" / "class_blend" / "model", bundle / "ensemble")
    members = read_json(bundle / "ensemble" / "pool.json")["members"]
    for name in members:
        shutil.copytree(data / "models" / name / "model", bundle / "members" / name)
    shipped = {"kind": "ensemble", "name": "class_blend"}
    manifest = {"format": FORMAT, "application": "support", "shipped": shipped, "members": members, "params": PARAMS}
    write_json(bundle / "manifest.json", manifest)
    return bundle
