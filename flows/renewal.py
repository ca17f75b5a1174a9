"""What a retrain does once it is decided: worktree, graph, commit, push, release; each step may be the last."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from components import releases, sealed
from components.clock import now
from components.core.application import load_application
from components.core.artifacts import read_json, write_json
from components.core.errors import ShopError
from components.core.params import Params, parse
from components.settings import settings
from flows import artefacts
from flows.copies import push_branch, push_data
from flows.graph import read_graph
from flows.leash import Leashed
from flows.ledger import UNCHANGED
from flows.worktree import Worktree, make_worktree
from flows.worth import amount_of, paired, shares

RECORD = "retrain.json"
LEFT = "not released"
ORDER = ("released", "canary", "shadow", "refused", "failed", LEFT, UNCHANGED)  # what a retrain of several is called


class PlaceParams(Params):
    """`releases.<application>` in params.yaml: what becomes of a challenger that wins."""

    mode: Literal["live", "canary", "shadow"] = "live"
    share: float = Field(0.1, gt=0, le=1, description="Of the customers, where it is canary.")


@dataclass(frozen=True, slots=True)
class Order:
    """What shall be renewed, where, and under which name it is committed.

    push_seconds  how long each copy elsewhere may take
    rows_before   by application, what the weights that are live learned from
    """

    project: Path
    home: Path
    applications: tuple[str, ...]
    reason: str
    refit: bool
    branch: str
    author: str
    push: str | None
    push_seconds: float
    rows_before: Mapping[str, float]


@dataclass(slots=True)
class Renewal:
    """One retrain; `facts` grows as it goes, so that they are known where it fails."""

    order: Order
    places: Mapping[str, Any]
    say: Callable[[str], None]
    facts: dict[str, Any] = field(default_factory=lambda: {"problems": [], "commit": None, "pushed": False})
    _before: dict[str, str | None] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """All of it; returns the outcome. Raises ShopError where nothing could be released."""
        self._before = {name: releases.live(name) for name in self.order.applications}
        work = self._laid_out()
        ready = self._graph(work)
        fresh = [name for name in ready if self._versions(work)[name] != self._before[name]]
        self._note(work, ready)
        outcomes = dict.fromkeys(ready, (UNCHANGED, "the same data, parameters and code make what is live already"))
        if fresh:
            self._keep(work, fresh)
            outcomes |= {name: self._release(work, name) for name in fresh}
            self.facts["realised_gain"] = {name: self._realised(name) for name in fresh}
        return _summed(outcomes)

    @property
    def _place(self) -> Path:
        return self.order.home / "retrain"

    def _laid_out(self) -> Worktree:
        """The worktree, with what is known already."""
        project, branch = self.order.project, self.order.branch
        work = make_worktree(project, self._place / "work", branch)
        artefacts.share_cache(project, work.folder)
        lock = artefacts.starting_lock(project, branch)
        if not self.order.refit:
            lock = artefacts.lock_of_live(project, branch, self.order.applications, lock)
        if complaint := artefacts.restore(work.folder, lock, (self._place / "sources", project / "data" / "collected")):
            self.say(f"not everything could be restored, so it is made again: {complaint}")
        return work

    def _graph(self, work: Worktree) -> list[str]:
        """Run what is stale, below this process; returns the applications that came out whole."""
        command = ["flows.pipeline", "--no-release", *([] if self.order.refit else ["--refresh"])]
        command += ["--reason", self.order.reason, "--applications", *self.order.applications]
        code, said = self._below(work, command)
        artefacts.keep_states(work.folder / "data" / "collected", self._place / "sources")
        file = work.folder / "data" / "ready.json"
        found = read_json(file) if file.is_file() else {"ready": [], "problems": []}
        self.facts["problems"] += found["problems"] or ([said] if code else [])
        if not found["ready"]:
            raise ShopError(self.facts["problems"][0] if self.facts["problems"] else said)
        return list(found["ready"])

    def _versions(self, work: Worktree) -> dict[str, str]:
        data = work.folder / "data"
        return {name: sealed.version_of(data / name / "bundle") for name in self.order.applications
                if (data / name / "bundle" / "manifest.json").is_file()}  # fmt: skip

    def _note(self, work: Worktree, ready: Sequence[str]) -> None:
        """What it learned from and made; the next estimate starts there."""
        data = work.folder / "data"
        amounts = {name: amount_of(data, name) for name in ready}
        self.facts |= {
            "versions": {name: version for name, version in self._versions(work).items() if name in ready},
            "champions": {name: self._before[name] for name in ready},
            "n_before": {name: rows for name, rows in self.order.rows_before.items() if name in ready},
            "n_rows": {name: amount.rows for name, amount in amounts.items()},
            "rows_per_day": {name: amount.per_day for name, amount in amounts.items()},
            "as_of": {name: amount.as_of.isoformat() for name, amount in amounts.items()},
            "cost_share": shares(data, ready),
        }

    def _keep(self, work: Worktree, fresh: Sequence[str]) -> None:
        """The commit, and copies elsewhere; a copy that cannot be made is said and does not hold back the release."""
        write_json(work.folder / RECORD, self._record(work, fresh))
        if work.tip is not None and work.same_as(work.tip, but=(RECORD,)):
            self.facts["commit"] = work.tip  # of a retrain that was stopped before it could release
            work.stand_on(work.tip)
        else:
            words = f"Retrain {', '.join(fresh)}: {' '.join(self.order.reason.split())}\n\n[skip ci]"
            self.facts["commit"] = work.commit((artefacts.LOCK, RECORD), words, self.order.author)
        complaint = self._copied(work)
        self.facts |= {"pushed": not complaint, "push_words": complaint}
        if complaint:
            self.say(f"not pushed: {complaint}; what it made is in the cache and, once released, on the shelf")

    def _copied(self, work: Worktree) -> str:
        """What went wrong, if anything."""
        order, made = self.order, read_graph(work.folder).of(self.order.applications)
        complaint = push_data(work.folder, made, order.push_seconds)
        if complaint or not order.push:
            return complaint
        return push_branch(order.project, order.push, order.branch, order.push_seconds)

    def _record(self, work: Worktree, fresh: Sequence[str]) -> dict[str, Any]:
        """retrain.json: what a person who finds the commit wants to know."""
        found = {}
        for name in fresh:
            metrics = read_json(work.folder / "data" / name / "metrics.json")
            shipped = metrics["shipped"]
            told = {key: self.facts[f"{key}s"][name] for key in ("version", "champion")}
            told |= {key: self.facts[key].get(name) for key in ("as_of", "n_rows", "n_before")}
            found[name] = told | {"shipped": shipped, "metrics": metrics["rows"][shipped["name"]]["metrics"]}
        asked = {"reason": self.order.reason, "refit": self.order.refit, "at": now().isoformat()}
        return asked | {"applications": found}

    def _release(self, work: Worktree, name: str) -> tuple[str, str]:
        """The duel and the move, from the worktree; outcome and words."""
        version, place = self.facts["versions"][name], self._place_of(name)
        command = ["flows.release", "promote", name, "--why", self.order.reason, "--automatic", "retrain"]
        command += ["--canary", str(place.share)] if place.mode == "canary" else []
        command += ["--shadow"] if place.mode == "shadow" else []
        code, said = self._below(work, command)
        if code and self._verdict(name).get("passed") is False:
            return "refused", said
        if code:
            self.facts["problems"].append(f"{name}: {said}")
            return "failed", said
        pointer = releases.pointer(name)
        waiting = pointer.challenger if pointer else None
        if waiting and waiting.version == version:
            return waiting.mode, said
        return ("released" if pointer and pointer.version == version else LEFT), said

    def _place_of(self, name: str) -> PlaceParams:
        return parse(PlaceParams, dict(self.places.get(name) or {}), f"releases.{name}")

    def _verdict(self, name: str) -> dict[str, Any]:
        path = self.order.home / "verdicts" / name / f"{self.facts['versions'][name]}.json"
        return dict(read_json(path)) if path.is_file() else {}

    def _realised(self, name: str) -> dict[str, float] | None:
        chosen = load_application(name)
        return paired(self._verdict(name).get("difference"), chosen.metrics[chosen.primary])

    def _below(self, work: Worktree, module: Sequence[str]) -> tuple[int, str]:
        """Run a module of the worktree below this process; its status and last words."""
        leashed, last, errors = Leashed([sys.executable, "-m", *module], work.folder, self._environment()), "", ""
        try:
            for line in leashed.output:
                last = line.strip() or last
                errors = last if last.startswith("error: ") else errors
                self.say(line.rstrip())
            return leashed.wait(), (errors or last).removeprefix("error: ")
        except BaseException:  # Ctrl-C, or Prefect cancelling the run
            leashed.stop()
            with suppress(OSError):
                for _ in leashed.output:
                    pass
            leashed.wait()
            raise

    def _environment(self) -> dict[str, str]:
        """Ours, but for data/, which is the worktree's; what is the shop's is found from there too."""
        from prefect.settings import PREFECT_API_URL

        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
        kept.pop("SHOP_DATA", None)
        here, project = settings(), self.order.project
        own = {
            "SHOP_HOME": str(self.order.home),
            "SHOP_PROJECT": str((project / here.project).resolve()),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        }
        own |= {"SHOP_CLOCK": str((project / here.clock).resolve())} if here.clock else {}
        own |= {"PREFECT_API_URL": url} if (url := PREFECT_API_URL.value()) else {}
        return {**kept, **own}


def _summed(outcomes: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """One outcome for all: the one that a person would ask about first."""
    kinds = {name: kind for name, (kind, _) in outcomes.items()}
    words = "; ".join(
        said if said.startswith(f"{name}:") else f"{name}: {said}" for name, (_, said) in outcomes.items()
    )
    return {"outcome": min(kinds.values(), key=ORDER.index), "words": words, "outcomes": kinds}
