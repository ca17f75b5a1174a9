"""Small graphs of shell stages, so that flows are tested without training anything."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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
