"""Package: what ships, with everything that serving needs, as one sealed folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from components.core.application import ALONE, load_application
from components.core.artifacts import file_sha256, read_json, seal, write_json
from components.core.bundle import FORMAT
from components.core.params import read_params, section
from components.settings import settings

LOCK = Path("requirements.lock")


def package(application: str) -> None:
    """Write data/<application>/bundle/. The same inputs give the same bytes: no clock, no machine.

    The models are those that were tested, fitted up to the test cut-off; histories and item
    statistics are as of the end of the data, so that answers are fresh and figures are honest. Where
    only they were made anew (a refresh), the figures are those of when the models were tested.
    """
    chosen, data = load_application(application), settings().data / application
    metrics, params = read_json(data / "metrics.json"), section(read_params(), application)
    bundle = data / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir(parents=True)
    members = _copy_shipped(metrics["shipped"], data, bundle)
    if LOCK.is_file():
        shutil.copy(LOCK, bundle / LOCK.name)
    write_json(bundle / "manifest.json", _manifest(application, metrics, params, members))
    chosen.package(data / "features", bundle)  # last: it may answer with what is being packaged
    seal(bundle)


def _copy_shipped(shipped: dict[str, str], data: Path, bundle: Path) -> list[str]:
    """Copy the shipped model or ensemble with its members; answers the members' names."""
    if shipped["kind"] == "single" and "through" not in shipped:
        members = [shipped["name"]]
    else:
        learned = data / "ensembles" / shipped["name"]
        if "through" in shipped:
            learned = data / "ensembles" / ALONE / shipped["name"] / shipped["through"]
        shutil.copytree(learned / "model", bundle / "ensemble")
        members = read_json(bundle / "ensemble" / "pool.json")["members"]
    for name in members:
        shutil.copytree(data / "models" / name / "model", bundle / "members" / name)
    return members


def _manifest(application: str, metrics: dict[str, Any], params: dict[str, Any], members: list[str]) -> dict[str, Any]:
    read = read_json(settings().data / application / "features" / "data.json")
    return {
        "format": FORMAT,
        "application": application,
        "shipped": metrics["shipped"],
        "members": members,
        "as_of": read["as_of"],
        "tested_as_of": metrics["as_of"],
        "params": params,
        "data": read["tables"],
        "metrics": {name: row["metrics"] for name, row in metrics["rows"].items()},
        "gain": metrics["gain"],
        "lock": file_sha256(LOCK) if LOCK.is_file() else None,
    }
