"""Small graphs of shell stages, so that flows are tested without training anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
import yaml

# Before flows (and with it Prefect and BentoML) is imported: a test leaves no trace in the project or at home.
_STATE = tempfile.mkdtemp(prefix="flows-tests-")
os.environ["PREFECT_HOME"] = f"{_STATE}/prefect"
os.environ["BENTOML_HOME"] = f"{_STATE}/bentoml"
os.environ.pop("PREFECT_API_URL", None)

PARAMS = """\
left: {size: 1}
right: {size: 1}
"""

# read -> left, right -> join; other stands alone
GRAPH = """\
stages:
  read:
    foreach: [things]
    do:
      cmd: mkdir -p data && cp source.txt data/read.txt
      always_changed: true
      outs:
        - data/read.txt
  left:
    cmd: echo left >> runs.txt && cat data/read.txt left.txt > data/left.txt
    deps:
      - data/read.txt
      - left.txt
    params:
      - left.size
    outs:
      - data/left.txt
  right:
    cmd: echo right >> runs.txt && sh right.sh && cat data/read.txt > data/right.txt
    deps:
      - data/read.txt
      - right.sh
    params:
      - right.size
    outs:
      - data/right.txt
  join:
    cmd: echo join >> runs.txt && cat data/left.txt data/right.txt > data/join.txt
    deps:
      - data/left.txt
      - data/right.txt
    outs:
      - data/join.txt
  other:
    cmd: echo other >> runs.txt && echo other > data/other.txt
    deps:
      - left.txt
    outs:
      - data/other.txt
"""


ROOT = Path(__file__).parents[2]

# A shop that learns in seconds. `gates` let everything pass that is not worse beyond noise than what is live, and under
# so long a half-life a week more never is.
SHOP_PARAMS: dict[str, Any] = {
    "timezone": "UTC",
    "sources": {name: {"kind": "folder", "path": "tables"} for name in ("transactions", "products")},
    "quality": {name: {"quarantine_share_max": 0.2} for name in ("transactions", "products")},
    "applications": ["recommendation"],
    "recommendation": {
        "split": {"horizon_days": 14, "oof_folds": 1, "anonymous_queries": 5},
        "features": {},
        "models": {"popularity": {}, "personal": {"half_life_days": 365}},
        "ensembles": {"rrf": {}},
        "gates": {"slack": 0.1, "slice_slack": 1.0, "ms_per_query": 1000, "slower": 1000},
    },
    "demand": {"split": {}, "features": {}, "models": {"moving_average": {}}, "ensembles": {}, "gates": {}},
    "support": {"split": {}, "features": {}, "models": {"tfidf": {}}, "ensembles": {}, "gates": {}},
}


@dataclass(frozen=True)
class Shop:
    """A copy of the project with data of its own under git, as a person has it after unpacking and `make loop`."""

    root: Path
    reach: dict[str, str]

    @property
    def home(self) -> Path:
        return self.root / "shop"

    def run(self, *words: str, status: int = 0, **more: str) -> str:
        """What a module of the project says, both streams; it must end with `status`."""
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=self.root, env={**self.environment(), **more}, capture_output=True,
            text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == status, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout + done.stderr

    def git(self, *words: str) -> str:
        return sh("git", *words, cwd=self.root).strip()

    def environment(self) -> dict[str, str]:
        from flows import QUIET

        foreign = ("SHOP_", "PREFECT_", "PYTEST_")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        own = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{ours['PATH']}", "OMP_NUM_THREADS": "1"}
        own |= {"PREFECT_HOME": str(self.root / "prefect-home"), "BENTOML_HOME": str(self.root / "bentoml-home")}
        return {**ours, **QUIET, **own, **self.reach, "COLUMNS": "250"}

    def live(self, application: str = "recommendation") -> str | None:
        pointer = self.home / "live" / f"{application}.json"
        return str(json.loads(pointer.read_text())["version"]) if pointer.exists() else None

    def lines(self) -> list[dict[str, Any]]:
        """Of retrains.jsonl."""
        file = self.home / "retrains.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def sells(self, rows: pl.DataFrame) -> None:
        """Replace the shop's own transactions."""
        rows.write_parquet(self.root / "tables" / "transactions.parquet")


@pytest.fixture(scope="module")
def loop_shop(tiny: dict[str, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Released once from all but the last two weeks of its transactions; its Prefect server runs meanwhile."""
    from prefect.settings import PREFECT_API_URL

    from flows.server import some_server

    root = tmp_path_factory.mktemp("loop")
    for name in ("components", "expectations", "flows", "serving"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "requirements.lock", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, root / name)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    (root / "params.yaml").write_text(yaml.safe_dump(SHOP_PARAMS, sort_keys=False))
    (root / "tables").mkdir()
    tiny["products"].write_parquet(root / "tables" / "products.parquet")
    (root / ".gitignore").write_text((root / ".gitignore").read_text() + "tables/\n*-home/\n")
    sh("git", "init", "--quiet", cwd=root)
    sh("git", "add", "--all", cwd=root)
    sh("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "Start", cwd=root)
    with some_server():
        shop = Shop(root, {"PREFECT_API_URL": str(PREFECT_API_URL.value())})
        shop.sells(all_but(tiny["transactions"], weeks=2))
        yield shop


def all_but(transactions: pl.DataFrame, weeks: float) -> pl.DataFrame:
    """Without the last `weeks`."""
    return transactions.filter(pl.col("at") < AS_OF - timedelta(weeks=weeks))


@pytest.fixture(scope="session")
def before() -> Callable[[pl.DataFrame, float], pl.DataFrame]:
    """`all_but`, for tests that let weeks pass."""
    return all_but


AS_OF = datetime(2025, 7, 1, tzinfo=UTC)  # of the tiny tables


def sh(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    sh("git", "init", "--quiet", cwd=root)
    sh(sys.executable, "-m", "dvc", "init", "--quiet", cwd=root)
    for name, text in {
        ".gitignore": "data/\nshop/\nruns.txt\n",
        "params.yaml": PARAMS,
        "dvc.yaml": GRAPH,
        "source.txt": "source\n",
        "left.txt": "left\n",
        "right.sh": "true\n",
    }.items():
        (root / name).write_text(text)
    return root


@pytest.fixture
def project(_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own with the graph above; the working directory."""
    root = tmp_path / "project"
    sh("cp", "-r", str(_template), str(root), cwd=tmp_path)
    monkeypatch.chdir(root)
    monkeypatch.setenv("SHOP_HOME", str(root / "shop"))
    return root


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One server for all tests of a worker."""
    from flows.server import quieten, some_server

    quieten()
    with some_server():
        yield


@pytest.fixture(scope="session")
def family_in_training() -> Callable[[subprocess.Popen[bytes]], list[psutil.Process]]:
    """Everything below a flow, once a model is being trained."""

    def hunt(flow: subprocess.Popen[bytes]) -> list[psutil.Process]:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            family = psutil.Process(flow.pid).children(recursive=True)
            if any({"components", "train"} <= set(_words(one)) for one in family):
                return family
            time.sleep(0.02)
        raise AssertionError("nothing was trained")

    return hunt


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
