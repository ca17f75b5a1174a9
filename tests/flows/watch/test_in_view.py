"""Decisions on disk, on the page and in Prefect; mistakes are told, one by one."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from components.core.artifacts import read_json
from flows.watch import main, watch, watch_all

NAME = "recommendation"


def test_decisions_stay_on_disk_up_to_a_number_and_the_page_shows_them(shop: Any) -> None:
    version = shop.live()
    shop.set(keep=5)
    shop.weeks(0, 4, version)
    for day in range(20, 29):
        decision = shop.look(day / 7)
    folder = shop.home / "watch" / NAME
    assert len(list(folder.glob("2026*.json"))) == 5 and shop.latest() == json.loads(json.dumps(decision))
    assert len(list(folder.glob("*.parquet"))) == len(read_json(folder / "notes.json")["files"])
    page = (shop.home / "watch" / "index.html").read_text()
    assert "<svg" in page and version in page and "nothing to do" in page
    assert 'src="http' not in page and 'href="http' not in page


def test_notes_that_lost_a_part_say_what_to_do(shop: Any) -> None:
    shop.live()
    shop.look(0)
    next((shop.home / "watch" / NAME).glob("orders-*.parquet")).unlink()
    _, problems = watch_all([NAME])
    assert "delete the folder" in problems[0]


def test_an_unknown_threshold_is_refused(shop: Any) -> None:
    shop.set(max_age=3)
    shop.live()
    _, problems = watch_all([NAME])
    assert problems and "watch.recommendation.max_age" in problems[0]


def test_unknown_applications_are_a_problem_of_their_own(shop: Any) -> None:
    version = shop.live()
    decisions, problems = watch_all([NAME, "Nobody!"])
    assert [one["release"] for one in decisions] == [version] and len(problems) == 1


def test_the_flow_leaves_its_figures_in_prefect(shop: Any, prefect_server: None) -> None:
    from prefect.client.orchestration import get_client

    version = shop.live()
    shop.weeks(0, 2, version)
    shop.turn(shop.monday + timedelta(weeks=2))
    (decision,) = watch([NAME])
    assert decision["decision"] == "nothing"
    with get_client(sync_client=True) as client:
        keys = {artifact.key for artifact in client.read_artifacts()}
    assert {"watch-recommendation", "watch-recommendation-decision"} <= keys


def test_the_command_says_what_it_found(shop: Any, prefect_server: None, capsys: pytest.CaptureFixture[str]) -> None:
    version = shop.live()
    shop.weeks(0, 1, version)
    shop.turn(shop.monday + timedelta(weeks=1))
    assert main(["--dry-run"]) == 0
    assert f"**recommendation** ({version}): nothing" in capsys.readouterr().out
    assert not (shop.home / "watch" / NAME).exists()
