"""The flow over a small graph: DVC's edges, only what is stale, failures that stay where they are, resuming."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.runtime import flow_run

from components.core.errors import ParamsError, ShopError
from flows.crew import Crew, StageFailed, only_run
from flows.graph import Graph, read_graph, read_stale
from flows.pipeline import THREADS, bring_up_to_date

ALL = {"left", "right", "join", "other"}


class Notes:
    """A watcher that writes down what ended and how."""

    def __init__(self) -> None:
        self.ends: dict[str, str] = {}
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def started(self, stage: str) -> None:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)

    def said(self, stage: str, line: str) -> None: ...

    def ended(self, stage: str, how: str, seconds: float) -> None:
        with self._lock:
            self.at_once -= 1
            self.ends[stage] = how


def crew_of(project: Path, slots: int = 2) -> tuple[Crew, Notes]:
    notes = Notes()
    return Crew(project, project / "shop" / "logs", notes, slots), notes


def run(project: Path) -> tuple[dict[str, str], Notes, str]:
    """What failed and why, what ended how, and the id of the flow run."""
    crew, notes = crew_of(project)

    @flow(task_runner=THREADS)
    def small() -> tuple[dict[str, str], str]:
        return bring_up_to_date(read_graph(project), crew, lambda n: None, project), str(flow_run.id)

    failed, identity = small()
    return failed, notes, identity


def ran(project: Path) -> list[str]:
    """Stages whose command really ran, in order."""
    log = project / "runs.txt"
    return log.read_text().split() if log.exists() else []


def test_the_graph_is_dvcs(project: Path) -> None:
    graph = read_graph(project)
    assert {stage.name: stage.upstreams for stage in graph} == {
        "read@things": (),
        "left": ("read@things",),
        "right": ("read@things",),
        "join": ("left", "right"),
        "other": (),
    }
    order = [stage.name for stage in graph]
    assert all(order.index(up) < order.index(stage.name) for stage in graph for up in stage.upstreams)
    assert graph.stages["read@things"].always and not graph.stages["left"].always
    assert graph.stages["left"].params == ("left.size",)
    assert graph.downstreams(["read@things"]) == {"read@things", "left", "right", "join"}
    assert graph.upstreams(["join"]) == {"read@things", "left", "right", "join"}


def test_an_unknown_application_is_named(project: Path) -> None:
    with pytest.raises(ParamsError, match="got nothing_like_it"):
        read_graph(project).of(["nothing_like_it"])


def test_a_broken_dvc_yaml_is_one_line(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: {left: {}}")
    with pytest.raises(ShopError, match=r"dvc\.yaml"):
        read_graph(project)


def test_prefects_edges_are_dvcs_edges(project: Path, prefect_server: None) -> None:
    failed, _, identity = run(project)
    assert not failed
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[identity])))
    names = {task.id: task.name for task in runs}
    edges = {task.name: {names[up.id] for up in task.task_inputs.get("wait_for", ())} for task in runs}
    graph = read_graph(project)
    assert set(names.values()) == set(graph.stages)
    first = {"read@things"}  # reads from outside: all of it has ended before anything else is submitted
    assert edges == {stage.name: set(stage.upstreams) - first for stage in graph}


def test_only_stale_stages_run(project: Path, prefect_server: None) -> None:
    run(project)
    assert set(ran(project)) == ALL
    (project / "runs.txt").unlink()

    _, notes, _ = run(project)
    assert set(notes.ends) == {"read@things"}, "nothing changed: only what reads from outside runs"
    assert ran(project) == []

    params = project / "params.yaml"
    params.write_text(params.read_text().replace("left: {size: 1}", "left: {size: 2}"))
    assert set(read_stale(project)) == {"read@things", "left"}
    _, notes, _ = run(project)
    assert notes.ends["left"] == "ran"
    assert notes.ends["join"] == "unchanged", "left wrote the same bytes, so join need not run"
    assert not {"right", "other"} & set(notes.ends)
    assert ran(project) == ["left"]


def test_new_bytes_at_the_source_run_what_is_made_of_them(project: Path, prefect_server: None) -> None:
    run(project)
    (project / "runs.txt").unlink()
    (project / "source.txt").write_text("news\n")
    run(project)
    assert sorted(ran(project)) == ["join", "left", "right"]
    assert "news" in (project / "data" / "join.txt").read_text()


def test_a_failure_stops_only_its_descendants(project: Path, prefect_server: None) -> None:
    (project / "right.sh").write_text("echo the cupboard is bare >&2; exit 1\n")
    failed, notes, _ = run(project)
    assert list(failed) == ["right"]
    assert failed["right"] == "right: the cupboard is bare"
    assert notes.ends == {"read@things": "ran", "left": "ran", "other": "ran", "right": "failed"}
    assert "the cupboard is bare" in (project / "shop" / "logs" / "right.log").read_text()

    (project / "right.sh").write_text("true\n")
    (project / "runs.txt").unlink()
    assert run(project)[0] == {}
    assert ran(project) == ["right", "join"], "mended: what had succeeded is not done again"


def test_independent_stages_run_side_by_side_within_the_slots(project: Path, prefect_server: None) -> None:
    (project / "right.sh").write_text("sleep 1\n")
    assert run(project)[1].most_at_once == 2


def test_an_interrupted_run_resumes(project: Path) -> None:
    """Stopped while `right` runs: it leaves nothing running, and a second run does only what is left."""
    (project / "right.sh").write_text("sleep 30\n")
    crew, notes = crew_of(project)
    for stage in ("read@things", "left"):
        crew.run(stage)
    fault: list[StageFailed] = []
    thread = threading.Thread(target=lambda: fault.append(failure(lambda: crew.run("right"))))
    thread.start()
    wait_for(lambda: "right" in ran(project))
    crew.stop()
    thread.join(20)
    assert not thread.is_alive() and fault
    assert notes.ends["right"] == "failed"
    assert "not started" in str(failure(lambda: crew.run("join")))

    (project / "right.sh").write_text("true\n")
    (project / "runs.txt").unlink()
    crew, _ = crew_of(project)
    assert set(read_stale(project)) == {"read@things", "right", "join", "other"}
    for stage in ("right", "join"):
        assert crew.run(stage) == "ran"
    assert ran(project) == ["right", "join"]


def failure(action: Callable[[], object]) -> StageFailed:
    with pytest.raises(StageFailed) as caught:
        action()
    return caught.value


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_run_at_a_time(project: Path) -> None:
    faults: list[BaseException] = []

    def other_run() -> None:
        try:
            with only_run(project):
                pass
        except ShopError as error:
            faults.append(error)

    def while_other_tries() -> None:
        other = threading.Thread(target=other_run)
        other.start()
        other.join()

    with only_run(project):
        while_other_tries()
        with only_run(Path()):  # who holds it may take it again, and gives it back once
            pass
        while_other_tries()
    assert ["is at it" in str(fault) for fault in faults] == [True, True]
    while_other_tries()  # it can be had again afterwards
    assert len(faults) == 2


def test_applications_are_read_from_stage_names() -> None:
    from flows.graph import Stage

    def application(name: str) -> str | None:
        return Stage(name, "", (), False, (), (), ()).application

    names = ["collect@products", "validate@stock", "featurise@demand", "train_demand@ets", "package@demand"]
    assert [application(name) for name in names] == [None, None, "demand", "demand", "demand"]
    assert Graph({}).downstreams([]) == set()
