"""The speed benchmark's peer network: what the rows say, and that the peer is trained on the same terms."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from benchmarks import peer_network
from benchmarks.next_item import rank_of, values_of
from benchmarks.rectools_sasrec import gains
from benchmarks.speed import main
from components.core.errors import DataError

CURVE = [
    {"seconds": 20.0, "valid": 0.01, "test": 0.012},
    {"seconds": 40.0, "valid": 0.02, "test": 0.018},
    {"seconds": 60.0, "valid": 0.03, "test": 0.02},
]


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """Everybody goes round one circle of twelve items; the last two of one list are in nobody's past."""
    lists = [[(start + step) % 12 for step in range(8)] for start in range(12) for _ in range(4)]
    lists.append([1, 2, 3, 98, 99])
    path = tmp_path / "circle" / "sequences.parquet"
    path.parent.mkdir()
    pl.DataFrame({"user_id": range(len(lists)), "items": lists}).write_parquet(path)
    return path


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A made environment whose Python only writes down what it was asked; the calls."""
    monkeypatch.setenv("SHOP_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "peers" / "rectools"
    folder.mkdir(parents=True)
    (folder / "complete").touch()
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        Path(command[4]).write_text(json.dumps({"curve": CURVE, "epochs": 3, "seconds": 60.0}))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_ours_and_theirs_are_one_ratio(sequences: Path, peer: list[list[str]], tmp_path: Path) -> None:
    main(["--only", "sequences", "--sequences", str(sequences), "--minutes", "0.05", "--json", str(tmp_path / "out")])
    ours, theirs = json.loads((tmp_path / "out").read_text())["rows"]
    assert ours["name"] == "transformer" and theirs["kind"] == "peer"
    assert theirs["metrics"]["ndcg@10"] == 0.02
    assert ours["metrics"]["ratio"] == pytest.approx(ours["metrics"]["ndcg@10"] / 0.02)
    (command,) = peer
    options = dict(zip(command[5::2], command[6::2], strict=True))
    assert options["--minutes"] == "0.05"
    # the sizes of benchmarks/sequential.yaml and, where it says nothing, our defaults
    assert options["--batch"] == "128" and options["--dropout"] == "0.4" and options["--dim"] == "64"


def test_the_peer_is_read_at_our_time_too() -> None:
    for seconds, early in ((45.0, 0.018), (10.0, 0.0), (90.0, 0.02)):
        _, theirs = peer_network.rows_of(0.03, seconds, {"curve": CURVE, "epochs": 3, "seconds": 60.0})
        assert theirs["metrics"]["at our time"] == early


def test_a_peer_that_fails_says_why(sequences: Path, peer: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "no module named rectools")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(DataError, match="no module named rectools"):
        peer_network.sequence_models(sequences, 0.05)


def test_a_missing_file_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "sequences"])
    assert "--sequences FILE" in capsys.readouterr().err


def test_the_peer_is_judged_as_we_are() -> None:
    """The script's own nDCG@10 against that of the other benchmarks: items seen and items unknown included."""
    random = np.random.default_rng(0)
    scores = random.random((40, 30)).astype(np.float32)
    scores[:, 0] = -np.inf  # padding
    histories = [random.choice(np.arange(1, 30), 5, replace=False).tolist() for _ in range(40)]
    answers = [int(random.choice(np.setdiff1d(np.arange(1, 30), items))) for items in histories]
    ours = scores.copy()
    for row, items in enumerate(histories):
        ours[row, items] = np.nan
    expected = values_of("ndcg@10", rank_of(ours, np.array(answers)))
    expected[3] = 0.0
    theirs = gains(torch.from_numpy(scores), histories, [*answers[:3], None, *answers[4:]])
    assert theirs == pytest.approx(expected.sum())
