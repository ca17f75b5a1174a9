"""The graph as DVC reads it from dvc.yaml; nothing here or elsewhere states an edge a second time."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import ParamsError, ShopError

if TYPE_CHECKING:
    from dvc.repo import Repo


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of dvc.yaml, by the name that `dvc repro` takes.

    always  runs every time, because what it reads is outside the graph
    params  the dotted keys of params.yaml whose change makes it stale
    """

    name: str
    command: str
    upstreams: tuple[str, ...]
    always: bool
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]

    @property
    def application(self) -> str | None:
        """The application it belongs to; None for a stage of a shop table."""
        return application_of(self.name)


@dataclass(frozen=True, slots=True)
class Graph:
    """All stages by name, every stage after its upstreams."""

    stages: Mapping[str, Stage]

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages.values())

    def upstreams(self, names: Iterable[str]) -> set[str]:
        """`names` and everything that they need, however far up."""
        found, waiting = set[str](), list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.stages[name].upstreams)
        return found

    def downstreams(self, names: Iterable[str]) -> set[str]:
        """`names` and everything that is made from them, however far down."""
        found = set(names)
        for stage in self:  # upstreams come first, so one pass is enough
            if found.intersection(stage.upstreams):
                found.add(stage.name)
        return found

    def only(self, blocks: Collection[str]) -> Graph:
        """The stages of these blocks of dvc.yaml, whatever they are made from."""
        return Graph({name: stage for name, stage in self.stages.items() if name.partition("@")[0] in blocks})

    def of(self, applications: Sequence[str]) -> Graph:
        """Only what these applications need."""
        known = {stage.application for stage in self} - {None}
        unknown = [name for name in applications if name not in known]
        if unknown:
            raise ParamsError(
                f"expected applications of dvc.yaml ({', '.join(sorted(map(str, known)))}), got {', '.join(unknown)}; "
                "correct APPS or add them to `applications` in params.yaml"
            )
        wanted = self.upstreams(stage.name for stage in self if stage.application in applications)
        return Graph({name: stage for name, stage in self.stages.items() if name in wanted})


def application_of(stage: str) -> str | None:
    """The application that a stage belongs to by its name; None for a stage of a shop table."""
    block, _, item = stage.partition("@")
    if block.startswith("train_"):
        return block.removeprefix("train_")
    return None if block in {"collect", "validate"} else item or None


@contextmanager
def _repo(root: Path) -> Iterator[Repo]:
    """DVC's own view of the project; its mistakes become one line, and so does a disk on which it cannot write."""
    import sqlite3

    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo(str(root), _wait_for_lock=True) as repo:
            yield repo
    except DvcException as error:
        raise ShopError(f"dvc.yaml: {error}; `dvc status` shows it in full") from error
    except (OSError, sqlite3.Error) as error:
        raise ShopError(f"DVC could not keep its notes: {error}; see whether there is disk left") from error


def read_graph(root: Path = Path()) -> Graph:
    """Every stage of the project, in an order in which they may run."""
    import networkx  # type: ignore[import-untyped]

    with _repo(root) as repo:
        found = repo.index.graph  # an edge points from a stage to what it needs
        order = list(networkx.lexicographical_topological_sort(found.reverse(), key=_name))
        return Graph({_name(stage): _stage(stage, found.successors(stage)) for stage in order})


def read_stale(root: Path = Path()) -> dict[str, str]:
    """Stages that DVC would run again, with what changed, in words."""
    with _repo(root) as repo:
        names = {stage.addressing: _name(stage) for stage in repo.index.stages}
        return {names[key]: "; ".join(map(_words, changes)) for key, changes in repo.status().items()}


def _name(stage: Any) -> str:
    """As in dvc.yaml; `addressing` puts a path before it when the project is not the working directory."""
    return str(getattr(stage, "name", None) or stage.addressing)


def _stage(stage: Any, upstreams: Iterable[Any]) -> Stage:
    params = tuple(name for dep in stage.deps for name in getattr(dep, "params", None) or ())
    return Stage(
        name=_name(stage),
        command=stage.cmd if isinstance(stage.cmd, str) else " && ".join(stage.cmd or ()),
        upstreams=tuple(sorted(map(_name, upstreams))),
        always=bool(stage.always_changed or stage.is_callback),
        deps=tuple(str(dep.def_path) for dep in stage.deps if not hasattr(dep, "params")),
        params=params,
        outs=tuple(str(out.def_path) for out in stage.outs),
    )


def _words(change: str | Mapping[str, Any]) -> str:
    """One entry of `dvc status`: {"changed deps": {path: "modified"}} or a plain phrase."""
    if isinstance(change, str):
        return "its command changed" if change == "changed checksum" else change
    parts = []
    for what, paths in change.items():
        for path, state in paths.items():
            shown = ", ".join(state) if isinstance(state, Mapping) else f"{path} {state}"
            parts.append(f"{what.removeprefix('changed ')}: {shown}")
    return "; ".join(parts)
