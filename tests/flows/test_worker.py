"""What a worker's start does to the schedules on a real server: those that a person switched on stay on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from components.core.artifacts import write_json
from flows import worker

NAMES = ("watch", "pipeline", "retrain", "pin")


@pytest.fixture
def register(prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A stand-in for `prefect deploy --all`: it too makes all schedules anew, switched off."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import IntervalSchedule

    def made(*_: str) -> None:
        hourly = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(hours=1)), active=False)
        with get_client(sync_client=True) as client:
            for name in NAMES:
                flow = client.create_flow_from_name(name)
                client.create_deployment(flow, name, schedules=[] if name == "pin" else [hourly])

    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.setattr(worker, "_prefect", made)
    return made


def switched_on() -> set[str]:
    return set(asyncio.run(worker._switched_on()))


def test_what_a_person_switched_on_is_on_after_the_next_start(register: Callable[..., None], tmp_path: Path) -> None:
    register()
    assert switched_on() == set()
    worker.deploy()
    assert switched_on() == {"watch/watch"}
    asyncio.run(worker._switch_on(["pipeline/pipeline"]))
    worker.deploy()
    assert switched_on() == {"watch/watch", "pipeline/pipeline"}
    assert not list((tmp_path / "shop").glob("*.json"))


def test_a_start_that_was_cut_short_forgets_nothing(
    register: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*words: str) -> None:
        register(*words)
        raise KeyboardInterrupt

    register()
    asyncio.run(worker._switch_on(["retrain/retrain"]))
    with monkeypatch.context() as broken:
        broken.setattr(worker, "_prefect", killed)
        with pytest.raises(KeyboardInterrupt):
            worker.deploy()
    assert switched_on() == set()
    worker.deploy()
    assert switched_on() == {"watch/watch", "retrain/retrain"}


def test_a_deployment_that_is_no_more_is_passed_over(register: Callable[..., None], tmp_path: Path) -> None:
    write_json(tmp_path / "shop" / "switched-on.json", ["gone/gone"])
    worker.deploy()
    assert "watch/watch" in switched_on()
