"""The loop by a Prefect deployment, on a tiny shop in a copy of the project: served by nothing but its own tools."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml

from flows import QUIET
from flows.leash import Leashed

ROOT = Path(__file__).parents[2]
Hunt = Callable[[subprocess.Popen[bytes]], list[psutil.Process]]
PARAMS = {
    "timezone": "UTC",
    "sources": {name: {"kind": "folder", "path": "tables"} for name in ("transactions", "products")},
    "quality": {name: {"quarantine_share_max": 0.5} for name in ("transactions", "products", "behaviour", "stock")},
    "applications": ["recommendation", "demand"],
    "recommendation": {
        "split": {"horizon_days": 14, "oof_folds": 1, "anonymous_queries": 5},
        "features": {},
        "models": {"popularity": {}, "personal": {"half_life_days": 30}},
        "ensembles": {"rrf": {}},
        "gates": {"slack": 1.0, "slice_slack": 1.0, "ms_per_query": 1000},
    },
    "demand": {
        "split": {"horizon": 2, "origins": 1, "oof_folds": 1, "min_history": 6},
        "features": {},
        "models": {"seasonal_naive": {}, "moving_average": {}},
        "ensembles": {"select": {}, "blend": {}},
        "gates": {"against_floors": 9, "wql_floor": 9, "coverage": [0, 1], "class_coverage": [0, 1], "bias": 9},
    },
    "support": {"split": {}, "features": {}, "models": {"tfidf": {}}, "ensembles": {}, "gates": {}},
}


@pytest.fixture(scope="module")
def shop(tiny: dict[str, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with data of its own, as a person has it after unpacking."""
    root = tmp_path_factory.mktemp("shop")
    for name in ("components", "expectations", "flows", "serving"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "prefect.yaml", "requirements.lock", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, root / name)
    (root / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", root / ".dvc" / "config")
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS, sort_keys=False))
    (root / "tables").mkdir()
    for name, table in tiny.items():
        table.write_parquet(root / "tables" / f"{name}.parquet")
    run(root, "git", "init", "--quiet")
    return root


def environment(shop: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOP_", "PREFECT_", "PYTEST_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    own = {"PREFECT_HOME": str(shop / "prefect-home"), "BENTOML_HOME": str(shop / "bentoml-home"), "PATH": path}
    return {**kept, **QUIET, **own, "OMP_NUM_THREADS": "1", "COLUMNS": "250", "SHOP_PROJECT": str(shop)}


def run(shop: Path, *command: str, status: int = 0, **more: str) -> str:
    """The command's output (both streams); it must end with `status`."""
    done = subprocess.run(
        command, cwd=shop, env={**environment(shop), **more}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == status, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def pipeline(shop: Path, status: int = 0) -> str:
    return run(shop, sys.executable, "-m", "flows.pipeline", "--applications", "recommendation", status=status)


def live(shop: Path, application: str = "recommendation") -> str | None:
    pointer = shop / "shop" / "live" / f"{application}.json"
    return str(json.loads(pointer.read_text())["version"]) if pointer.exists() else None


@pytest.fixture(scope="module")
def server(shop: Path) -> Iterator[dict[str, str]]:
    """A Prefect server and a process worker of the shop's own; the settings by which to reach them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    reach = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    running = [Leashed(command, shop, {**environment(shop), "PREFECT_SERVER_UI_ENABLED": "false"})]
    try:
        await_answer(f"{reach['PREFECT_API_URL']}/health")
        run(shop, "prefect", "work-pool", "create", "shop", "--type", "process", **reach)
        worker = ["prefect", "worker", "start", "--pool", "shop", "--name", "tested"]
        running.append(Leashed(worker, shop, {**environment(shop), **reach, "PREFECT_WORKER_QUERY_SECONDS": "1"}))
        yield reach
    finally:
        for leashed in reversed(running):
            leashed.stop()
            leashed.wait()


def await_answer(url: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own loopback
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_deployment_moves_the_live_pointer(shop: Path, server: dict[str, str]) -> None:
    deployed = run(shop, "prefect", "--no-prompt", "deploy", "--all", **server)
    assert deployed.count("successfully created") == 9
    assert live(shop) is None
    run(shop, "prefect", "deployment", "run", "pipeline/pipeline", "--watch", "--watch-interval", "1", **server)
    version = live(shop)
    assert version is not None
    release = json.loads((shop / "shop" / "releases" / "recommendation" / version / "release.json").read_text())
    assert release["reason"] == "nightly"
    assert version in run(shop, "bentoml", "models", "list")
    artifacts = run(shop, "prefect", "artifact", "ls", **server)
    assert {"quality", "recommendation-scores", "demand-scores"} <= set(artifacts.split())
    forecasts = live(shop, "demand")
    assert forecasts is not None
    alone = ("--param", 'applications=["demand"]', "--watch", "--watch-interval", "1")
    run(shop, "prefect", "deployment", "run", "pipeline/pipeline", *alone, **server)
    assert (live(shop), live(shop, "demand")) == (version, forecasts), "nothing was new for the one that was asked for"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_again_and_after_one_hyper_parameter(shop: Path) -> None:
    """Follows the test above: nothing is left to do, then one model and what depends on it."""
    if live(shop) is None:
        pipeline(shop)
    version = live(shop)
    said = pipeline(shop)
    assert "nothing to do" in said and "next: make serve" in said
    assert {line.split()[1] for line in said.splitlines() if line.startswith(("done", "same", "kept"))} == {
        f"collect@{table}" for table in ("products", "transactions")
    }, "a table that the shop does not have costs nothing"

    params = shop / "params.yaml"
    params.write_text(params.read_text().replace("popularity: {}", "popularity: {half_life_days: 7}"))
    said = pipeline(shop)
    ran = {line.split()[1] for line in said.splitlines() if line.startswith("done")}
    assert {name for name in ran if not name.startswith("collect@")} == {
        "train_recommendation@popularity", "ensemble@recommendation", "evaluate@recommendation",
        "package@recommendation",
    }  # fmt: skip
    assert live(shop) != version
    assert "ndcg@10" in run(shop, "dvc", "metrics", "show")
    run(shop, "dvc", "plots", "show")
    assert (shop / "data" / "plots" / "index.html").is_file()

    withdrawn = live(shop)
    assert version is not None
    command = ("rollback", "recommendation", version, "--why", "wrong prices")
    run(shop, sys.executable, "-m", "flows.release", *command)
    changed = params.read_text().replace("  transactions:\n    quar", "  transactions:\n    max_age_days: 30\n    quar")
    params.write_text(changed)
    said = pipeline(shop)
    assert f"{withdrawn} was withdrawn (wrong prices), not released again; {version} stays live" in said
    assert live(shop) == version
    assert "old data: transactions: expected data that end at most 30 days ago" in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_9_during_training_leaves_no_orphan_and_the_next_run_resumes(shop: Path, family_in_training: Hunt) -> None:
    if live(shop) is None:
        pipeline(shop)
    version, params = live(shop), shop / "params.yaml"
    changed = params.read_text().replace("half_life_days: 30", "half_life_days: 90")
    params.write_text(changed)
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows.pipeline"], cwd=shop, env=environment(shop), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    family = family_in_training(flow)
    os.kill(flow.pid, signal.SIGKILL)
    flow.wait()
    deadline = time.monotonic() + 20
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family):
        assert time.monotonic() < deadline, [one.cmdline() for one in family if one.is_running()]
        time.sleep(0.1)
    assert live(shop) == version
    said = pipeline(shop)
    assert "done train_recommendation@personal" in said and "train_recommendation@popularity" not in said
    assert live(shop) != version


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_critical_failure_stops_the_run_in_one_line_and_the_release_stays(shop: Path) -> None:
    if live(shop) is None:
        pipeline(shop)
    version, file = live(shop), shop / "tables" / "transactions.parquet"
    sound = file.read_bytes()
    pl.read_parquet(file).with_columns(quantity=pl.lit(None, pl.Float64)).write_parquet(file)
    try:
        said = pipeline(shop, status=1)
    finally:
        file.write_bytes(sound)
    reason = [line for line in said.splitlines() if line.startswith("error: validate@transactions")]
    assert len(reason) == 1 and "Traceback" not in said
    assert live(shop) == version
