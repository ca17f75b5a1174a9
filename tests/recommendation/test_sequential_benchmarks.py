"""The next-item benchmarks, on generated files: figures against hand counts, and whole runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import sequential, sessions
from benchmarks.next_item import NEVER, ask, objective, pooled_ranks, rank_of, values_of
from components.core.metrics import Asked
from components.core.model import make_model
from components.recommendation.features.histories import Histories

N_ITEMS = 20
TINY_NETWORK = (
    "{target: next_item, habit_days: [], min_support: 1, dim: 16, batch: 16, "
    "learning_rate: 0.01, epochs: 8, length: 10}"
)
TINY_MEMBERS = f"""
default:
  models:
    gru: {TINY_NETWORK}
    session_knn: {{session: customer, place_decay: 1, later_only: true}}
    popularity: {{}}
  ensembles:
    select: {{}}
    rrf: {{}}
    blend: {{}}
    stack: {{n_trees: 5, min_rows_per_leaf: 2}}
"""


def walks(n: int, length: int) -> list[list[int]]:
    """Sequences in which item i + 1 follows item i; names start at 100."""
    random = np.random.default_rng(0)
    lengths = random.integers(4, length, n)
    starts = random.integers(0, N_ITEMS, n)
    return [[100 + (s + i) % N_ITEMS for i in range(m)] for s, m in zip(starts, lengths, strict=True)]


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small members in place of the benchmarks' own."""
    file = tmp_path / "members.yaml"
    file.write_text(TINY_MEMBERS)
    chosen = sequential.chosen
    for module in (sequential, sessions):
        monkeypatch.setattr(module, "chosen", lambda _, data, only: chosen(file, data, only))


def test_measures_by_hand() -> None:
    scores = np.array([[0.3, 0.5, np.nan], [0.5, 0.5, 0.1], [0.5, 0.5, 0.1]], np.float32)
    assert rank_of(scores, np.array([0, 1, 0])).tolist() == [2, 2, 1]  # ties go to the lower code
    assert rank_of(scores[:1], np.array([2])).tolist() == [NEVER]
    ranks = np.array([1, 2, 11, NEVER])
    assert values_of("hr@10", ranks).tolist() == [1, 1, 0, 0]
    assert values_of("mrr@20", ranks).tolist() == [1, 1 / 2, 1 / 11, 0]
    np.testing.assert_allclose(values_of("ndcg@10", ranks), [1, 1 / np.log2(3), 0, 0])


def test_objective_is_the_mean_over_all_questions() -> None:
    labels, offsets = np.array([0, 1, 0, 0.0]), np.array([0, 2, 4])
    judged = objective("mrr@20")(np.array([0.9, 0.5, 0.3, 0.2]), Asked(labels, offsets, np.ones(2)))
    assert judged == pytest.approx(0.25)  # the answer at rank 2, and one question without its answer


def test_answers_outside_the_pool_are_missed() -> None:
    pool = pl.DataFrame({"query": [0, 0, 1], "item": [3, 5, 3]}, schema={"query": pl.Int32, "item": pl.Int32})
    truth = pl.DataFrame({"query": [0, 1], "item": [5, 4]}, schema={"query": pl.Int32, "item": pl.Int32})
    assert pooled_ranks(np.array([0.1, 0.9, 0.5]), pool, truth).tolist() == [1, NEVER]


def test_pool_holds_the_best_of_every_model_and_no_seen_item(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": range(40), "items": walks(40, 9)}).write_parquet(tmp_path / "sequences.parquet")
    task = sequential.leave_one_out(tmp_path / "sequences.parquet")
    models = {
        "popularity": make_model("recommendation", "popularity", {}).fit(task.train),
        "session_knn": make_model("recommendation", "session_knn", {"session": "customer"}).fit(task.train),
    }
    answers = ask(models, task.test, task)
    histories = task.test.histories
    seen = pl.DataFrame({"query": histories.rows().astype(np.int32), "item": histories.items})
    assert answers.pool.join(seen, on=["query", "item"], how="semi").is_empty()
    for name, ranks in answers.ranks.items():
        scores = answers.pool[name].fill_null(np.nan).to_numpy()
        listed = ranks <= task.top
        assert listed.any()
        np.testing.assert_array_equal(pooled_ranks(scores, answers.pool, answers.truth)[listed], ranks[listed])


def test_events_since_counts_back_to_the_last_occurrence() -> None:
    from benchmarks.next_item import _events_since

    histories = Histories(
        np.array([0, 3, 4]), np.array([7, 8, 7, 9], np.int32), *(np.ones(4, np.float32),) * 2, np.zeros(4, np.int32)
    )
    found = _events_since(histories, np.array([0, 0, 0, 1]), np.array([7, 8, 9, 9]), 10)
    np.testing.assert_array_equal(found, [1, 2, np.nan, 1])


def test_last_items_are_asked_and_never_learned(tmp_path: Path) -> None:
    file = tmp_path / "sequences.parquet"
    pl.DataFrame({"user_id": [5, 6], "items": [[11, 12, 13, 14], [13, 11, 15]]}).write_parquet(file)
    task = sequential.leave_one_out(file)
    assert task.n_items == 5
    assert task.train.sort("customer", "days_ago", descending=[False, True])["item"].to_list() == [0, 1, 2]
    assert task.test.answers.tolist() == [3, 4]
    assert task.test.histories.items.tolist() == [0, 1, 2, 2, 0]
    assert sorted(task.validation.answers.tolist()) == [0, 2]


def test_prefixes_of_sessions_ask_for_what_follows() -> None:
    asked = sessions.prefixes(pl.Series([[4, 5, 6], [7, 8]]))
    assert asked.answers.tolist() == [5, 6, 8]
    assert asked.histories.items.tolist() == [4, 4, 5, 7]
    assert asked.histories.offsets.tolist() == [0, 1, 3, 4]


def test_sessions_keep_their_order_in_the_train_table() -> None:
    table = sessions.session_events(pl.DataFrame({"customer": [0, 1], "items": [[3, 1], [2, 0]]}))
    histories, _ = Histories.from_train(table)
    assert histories.items.tolist() == [3, 1, 2, 0]
    assert (np.diff(table["days_ago"].to_numpy()) < 0).all()


@pytest.mark.slow
@pytest.mark.usefixtures("members")
def test_sequential_runs_to_its_verdict(tmp_path: Path) -> None:
    folder = tmp_path / "sequences_walks"
    folder.mkdir()
    pl.DataFrame({"user_id": range(200), "items": walks(200, 12)}).write_parquet(folder / "sequences.parquet")
    sequential.main([str(folder / "sequences.parquet"), "--json", str(tmp_path / "out.json")])
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["benchmark"] == "sequential"
    rows = {row["name"]: row for row in result["rows"]}
    assert [row["kind"] for row in rows.values()] == ["single"] * 3 + ["ensemble"] * 4
    assert rows["gru"]["metrics"]["ndcg@10"] > 0.9 > rows["popularity"]["metrics"]["ndcg@10"]
    assert rows["select"]["metrics"]["ndcg@10"] > 0.9
    assert result["gain"]["low"] <= result["gain"]["mean"] <= result["gain"]["high"]
    assert result["shipped"] in rows


@pytest.mark.slow
@pytest.mark.usefixtures("members")
def test_sessions_run_to_their_verdict(tmp_path: Path) -> None:
    folder = tmp_path / "sessions_walks"
    folder.mkdir()
    known, later = walks(300, 8)[:250], walks(300, 8)[250:]
    pl.DataFrame({"session_no": range(250), "items": known}).write_parquet(folder / "train.parquet")
    pl.DataFrame({"items": [row[:-1] for row in later], "target": [row[-1] for row in later]}).write_parquet(
        folder / "test.parquet"
    )
    sessions.main([str(folder), "--json", str(tmp_path / "out.json"), "--models", "session_knn,popularity"])
    rows = {row["name"]: row for row in json.loads((tmp_path / "out.json").read_text())["rows"]}
    assert rows["session_knn"]["metrics"]["mrr@20"] > 0.9 > rows["popularity"]["metrics"]["mrr@20"]
    assert set(rows) == {"session_knn", "popularity", "select", "rrf", "blend", "stack"}
