"""prefect.yaml on a real server: every deployment is accepted, and the event of the watch starts a retrain."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import QUIET
from flows.leash import Leashed
from flows.triggers import emit

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = {
    f"{name}/{name}"
    for name in ("pipeline", "watch", "retrain", "release", "rollback", "pin", "freeze", "thaw", "settle")
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name in ("components", "flows"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "prefect.yaml"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture(scope="module")
def environment(project: Path) -> Iterator[dict[str, str]]:
    """A server with its triggers, but no worker: what it starts stays scheduled."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOP_", "PREFECT_"))}
    own = {"PREFECT_HOME": str(project / "prefect-home"), "PREFECT_SERVER_UI_ENABLED": "false", "COLUMNS": "200"}
    own |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "SHOP_PROJECT": str(project)}
    found = {**kept, **QUIET, **own, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    alone = {name: value for name, value in found.items() if name != "PREFECT_API_URL"}
    server = Leashed(["prefect", "server", "start", "--host", "127.0.0.1", "--port", port], project, alone)
    try:
        _await(lambda: ask(found, "health") is True, 120)
        call(found, project, "prefect", "work-pool", "create", "shop", "--type", "process")
        yield found
    finally:
        server.stop()
        server.wait()


def ask(environment: dict[str, str], path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{environment['PREFECT_API_URL']}/{path}", data)  # noqa: S310 - our own loopback
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)
    except OSError:
        return None


def call(environment: dict[str, str], project: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def _await(happened: Any, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def deployed(environment: dict[str, str], project: Path) -> dict[str, str]:
    """Twice, as every `make up` does."""
    for _ in range(2):
        said = call(environment, project, "prefect", "--no-prompt", "deploy", "--all")
        assert said.count("successfully created") == len(DEPLOYMENTS)
    return environment


def test_nothing_runs_before_somebody_switches_it_on(deployed: dict[str, str], project: Path) -> None:
    flows = {flow["id"]: flow["name"] for flow in ask(deployed, "flows/filter", {})}
    found = {f"{flows[one['flow_id']]}/{one['name']}": one for one in ask(deployed, "deployments/filter", {})}
    assert found.keys() == DEPLOYMENTS
    schedules = {name: [each["active"] for each in one["schedules"]] for name, one in found.items() if one["schedules"]}
    assert schedules == {"pipeline/pipeline": [False], "watch/watch": [False], "retrain/retrain": [False]}
    stated = {
        one["name"]: set(one.get("parameters", {}))
        for one in yaml.safe_load((project / "prefect.yaml").read_text())["deployments"]
    }
    for name, one in found.items():
        properties = one["parameter_openapi_schema"]["properties"]
        assert stated[one["name"]] <= properties.keys(), name


def test_the_event_of_the_watch_starts_one_retrain_with_its_reason(
    deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(ask(deployed, "automations/filter", {})) == 1, "deploying again must not make two retrains of one event"
    monkeypatch.setenv("PREFECT_API_URL", deployed["PREFECT_API_URL"])
    for name in ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    reason = 'drift of price: 0.41 > 0.25, "quoted" {{ braces }}'
    assert emit("demand", reason, "drift", {"psi": 0.41}, refit=False).sent
    assert emit("recommendation", "age", "age", {}).sent
    _await(lambda: len(ask(deployed, "flow_runs/filter", {}) or []) >= 2, 60)
    runs = ask(deployed, "flow_runs/filter", {})
    asked = sorted((run["parameters"] for run in runs), key=lambda one: str(one["applications"]))
    assert [(one["reason"], one["applications"], one["refit"]) for one in asked] == [
        (reason, ["demand"], False), ("age", ["recommendation"], True),
    ]  # fmt: skip
