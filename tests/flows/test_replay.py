"""Three recorded weeks of a small shop through the whole loop: real service, real feedback, watch, retrain, duel."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from benchmarks.replay.__main__ import main
from benchmarks.replay.history import small
from benchmarks.replay.results import difference

WEEKS = 3


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("replay")
    assert main(["--small", "--weeks", str(WEEKS), "--arms", "loop", "--keep", str(root)]) == 0
    return root


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_basket_asked_and_what_was_bought_came_back_once(replayed: Path) -> None:
    history, shop = small(WEEKS), replayed / "loop" / "shop"
    weeks = range(history.trained + 1, history.last + 1)
    baskets = [basket for week in weeks for _, each in history.days(week) for basket in each]
    answers = pl.concat([pl.read_parquet(path) for path in (replayed / "loop" / "played").glob("answers-*.parquet")])
    assert sorted(answers["basket_id"]) == sorted(basket.basket_id for basket in baskets)
    assert answers["phr"].mean() > 0.5, "staples are bought again and again"

    with sqlite3.connect(shop / "feedback" / "events.sqlite") as store:
        kinds = Counter(kind for (kind,) in store.execute("select kind from feedback_events"))
    assert kinds["purchase"] == len(baskets)
    assert kinds["sales"] == WEEKS * len(
        {*pl.read_parquet(replayed / "loop/data/demand/bundle/queries.parquet")["series_id"]}
    )
    assert kinds["impression"] >= len(baskets) + WEEKS  # and one for every forecast


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_loop_renewed_itself_and_every_move_is_on_record(replayed: Path) -> None:
    root = replayed / "loop"
    retrains, audit = lines(root / "shop" / "retrains.jsonl"), lines(root / "shop" / "audit.jsonl")
    assert any(line["refit"] for line in retrains), "the watch never asked for a retrain"
    assert {line["outcome"] for line in retrains} <= {"released", "refused", "nothing to do", "skipped"}
    live = {path.stem: json.loads(path.read_text())["version"] for path in (root / "shop" / "live").glob("*.json")}
    for application, version in live.items():
        moves = [line for line in audit if line["application"] == application and line["what"] == "released"]
        assert moves[-1]["to"] == version and len(moves) > 1
    tip = subprocess.run(
        ["git", "show", "retrain:retrain.json"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    assert "reason" in json.loads(tip)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_and_the_figures_say_what_happened(replayed: Path) -> None:
    result = json.loads((replayed / "replay.json").read_text())
    (arm,) = result["arms"]
    assert arm["arm"] == "loop" and arm["retrains"] >= 1 and arm["cpu_seconds"] > 0
    assert 0 < arm["ndcg"] < 1 and arm["wape"] > 0
    page = (replayed / "replay.html").read_text()
    assert page.count("<svg") == 3
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page), "the page must work offline"
    same = difference(replayed / "loop", replayed / "loop", "ndcg", WEEKS)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)
