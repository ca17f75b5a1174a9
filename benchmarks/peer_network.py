"""Our sequence network beside RecTools' SASRec with softmax loss: the same data, sizes and minutes.

RecTools 0.19 pins NumPy below 2 and an older Lightning than ours, so it lives in a virtual
environment of its own below data/peers, made on first use. What differs is what the libraries differ
in: our schedule, clipping and early stopping, their initialisation and feed-forward. Of the peer only
training counts as time; of ours, validation too.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.next_item import ask, fit_members, values_of
from benchmarks.sequential import chosen, leave_one_out
from components.core.artifacts import read_json
from components.core.errors import DataError
from components.settings import settings

log = logging.getLogger(__name__)

WANTED = ("rectools[torch]==0.19.0", "torch==2.13.0", "polars")
SAME = ("dim", "n_blocks", "n_heads", "length", "batch", "learning_rate", "dropout", "max_valid")
SCRIPT = Path(__file__).with_name("rectools_sasrec.py")
NAME, METRIC = "transformer", "ndcg@10"
Row = dict[str, Any]


def sequence_models(file: Path, minutes: float) -> list[Row]:
    """nDCG@10 on the test items, ours first; "ratio" is ours to theirs, "at our time" theirs as early as ours."""
    params = chosen(SCRIPT.with_name("sequential.yaml"), file.parent.name, NAME)[0][NAME]
    ours, seconds, sizes = _ours(file, params | {"max_minutes": minutes})
    theirs = _theirs(file, minutes, {name: sizes[name] for name in SAME})
    return rows_of(ours, seconds, theirs)


def rows_of(ours: float, seconds: float, theirs: dict[str, Any]) -> list[Row]:
    """Rows for `publish`; the curve's last point is the peer's best epoch on validation."""
    curve = theirs["curve"]
    early = [point["test"] for point in curve if point["seconds"] <= seconds]
    best = curve[-1]
    compared = {METRIC: ours, "ratio": ours / max(best["test"], 1e-9)}
    peer = {METRIC: best["test"], "at our time": early[-1] if early else 0.0, "epochs": float(theirs["epochs"])}
    return [
        {"name": NAME, "kind": "single", "metrics": compared, "seconds": seconds},
        {"name": "rectools: SASRec, softmax", "kind": "peer", "metrics": peer, "seconds": theirs["seconds"]},
    ]


def _ours(file: Path, params: dict[str, Any]) -> tuple[float, float, dict[str, Any]]:
    """nDCG@10 of the test, seconds of the fit, and the parameters with their defaults."""
    task = leave_one_out(file)
    models, seconds = fit_members({NAME: params}, task.train, task.valid)
    ranks = ask(models, task.test, task).ranks[NAME]
    model: Any = models[NAME]
    return float(values_of(METRIC, ranks).mean()), seconds[NAME], model.params.model_dump()


def _theirs(file: Path, minutes: float, sizes: dict[str, Any]) -> dict[str, Any]:
    """What the script wrote; raises DataError with its last words where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        options = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
        command = [str(environment()), "-P", str(SCRIPT), str(file), str(out), "--minutes", str(minutes), *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode:
            raise DataError(f"expected RecTools to train, but it ended with: {done.stderr.strip()[-500:]}")
        found: dict[str, Any] = read_json(out)
        return found


def environment() -> Path:
    """The Python of the peer's virtual environment, made on first use."""
    folder = (settings().data / "peers" / "rectools").absolute()
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.is_file():
        log.warning("installing %s into %s, once", " ".join(WANTED), folder)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *WANTED], check=True)
        complete.touch()
    return python
