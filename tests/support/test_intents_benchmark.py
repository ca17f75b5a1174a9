"""The intents benchmark on a generated folder: its folds, its figures, what is said of out of scope, a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from benchmarks import intents
from components.core.splits import fold_table, read_folds
from components.support.features.panel import OUT_OF_SCOPE, read_labels

WORDS = {
    "cancel": ["cancel", "stop", "annul"],
    "refund": ["refund", "money", "repay"],
    "where": ["where", "parcel", "arrive"],
    "oos": ["sing", "weather", "football"],
}
ENDS = ["my order", "it now", "please", "today", "for me", "at once", "would you", "I ask", "soon", "again"]
N = {"train": 6, "validation": 2, "test": 2}  # of the endings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three intents and what is out of scope, told by their words; other endings in every part."""
    root, first = tmp_path_factory.mktemp("shop"), 0
    for part, n in N.items():
        ends = ENDS[first : first + n]
        rows = [(f"{word} {end}", label) for label, words in WORDS.items() for word in words for end in ends]
        if part == "train":
            rows.append(("write to jo@example.com, cancel", "cancel"))
        pl.DataFrame(rows, schema=["text", "label"], orient="row").write_parquet(root / f"{part}.parquet")
        first += n
    return root


def parameters(*arguments: str) -> dict[str, Any]:
    return intents.benchmark_params(intents.arguments_of(["any", *arguments]))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """No encoder, two cheap models, two out-of-fold parts."""
    params = parameters("--models", "tfidf", "--ensembles", "class_blend", "--oos-share", "0.3")
    params |= {"features": {"encoders": []}, "split": {"oof_folds": 2, "valid_share": 0.1}}
    monkeypatch.setattr(intents, "benchmark_params", lambda asked: params)
    return params


def test_the_command_states_what_is_expected_and_the_file_the_rest() -> None:
    params = parameters("--models", "tfidf,knn", "--ensembles", "class_vote", "--oos-share", ".2", "--precision", ".8")
    stated = {"expected_share": 0.2, "precision": 0.8}
    assert list(params["models"]) == ["tfidf", "knn"]
    assert params["ensembles"] == {"class_select": stated, "class_vote": stated}, "single models answer through select"
    plain = parameters()
    assert len(plain["models"]) >= 5 and len(plain["ensembles"]) >= 4 and not any(plain["ensembles"].values())
    assert "default" in yaml.safe_load(Path(intents.__file__).with_suffix(".yaml").read_text())


@pytest.mark.parametrize("refit", [False, True])
def test_folds_ask_every_message_once_and_nobody_learns_what_is_asked(
    folder: Path, tmp_path: Path, quick: dict[str, Any], refit: bool
) -> None:
    intents.write_features(folder, tmp_path / "features", quick | {"refit": refit})
    assert read_labels(tmp_path / "features") == ["cancel", "refund", "where", OUT_OF_SCOPE]
    found = read_folds(tmp_path / "features")
    assert [fold.role for fold in found] == ["oof", "oof", "validation", "test"]
    asked: dict[str, set[str]] = {}
    for fold in found:
        learned = set(fold_table(tmp_path / "features", fold.name, "train")["text"])
        early = set(fold_table(tmp_path / "features", fold.name, "valid")["text"])
        asked[fold.name] = set(fold_table(tmp_path / "features", fold.name, "queries")["text"])
        assert early and not early & learned and not asked[fold.name] & (learned | early)
        known = learned | early
    assert asked["validation"] <= known if refit else not asked["validation"] & known, "what the test's models learned"
    of = {name: set(pl.read_parquet(folder / f"{name}.parquet")["text"]) for name in N}
    assert asked["validation"] == of["validation"] and asked["test"] == of["test"]
    oof = [text for fold in found[:2] for text in fold_table(tmp_path / "features", fold.name, "queries")["text"]]
    assert len(oof) == len(of["train"]) == len(set(oof)) and len(asked["oof_1"]) > len(oof) / 3
    assert "write to <EMAIL>, cancel" in oof, "what is learned from is masked, as in the loop"


def test_a_whole_run_finds_the_words_and_rejects_the_rest(folder: Path, tmp_path: Path, quick: dict[str, Any]) -> None:
    out, arguments = tmp_path / "result.json", [str(folder), "--work", str(tmp_path / "work")]
    intents.main([*arguments, "--json", str(out)])
    result = json.loads(out.read_text())
    rows = {row["name"]: row for row in result["rows"]}
    assert [(row["name"], row["kind"]) for row in result["rows"]] == [
        ("tfidf", "single"), ("class_select", "ensemble"), ("class_blend", "ensemble"),
    ]  # fmt: skip
    assert result["benchmark"] == "intents" and result["shipped"] == "tfidf"
    for row in rows.values():
        figures = row["metrics"]
        assert figures["in_scope_accuracy"] == 1.0 and figures["ms"] > 0
        assert {"accuracy", "oos_recall", "macro_f1", "ece", "validation accuracy"} <= set(figures)
        assert all(0 <= value <= 1 for name, value in figures.items() if name != "ms")
    assert rows["tfidf"]["metrics"]["oos_recall"] > 0, "a single model is shown with a detector of its own"
