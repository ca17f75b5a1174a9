"""The loop as a Prefect flow: one task per stale stage of the graph, then the release of what came out.

python -m flows.pipeline [--applications recommendation ...] [--profile quick|full] [--refresh] [--no-release]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first

os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # the board shows the rest

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

from components.core.artifacts import write_json
from components.core.errors import ShopError
from components.core.params import PARAMS_FILE, read_params
from components.logs import set_up_logs
from components.settings import settings
from flows.crew import Crew, StageFailed, only_run, sensible_slots
from flows.freshness import lacking, too_old
from flows.graph import Graph, read_graph, read_stale
from flows.profiles import apply_profile
from flows.progress import ProgressBoard
from flows.release import release
from flows.scoreboard import PLAIN_WIDTH, metrics_of, print_scores, quality_markdown, rows_of
from flows.server import quieten, some_server
from flows.standing import Released

# Waiting tasks occupy threads, so these are many; the crew's slots bound what really runs.
REFRESHED = ("collect", "validate", "featurise", "package")  # blocks of dvc.yaml that renew all but the weights
READY = "ready.json"  # below data/: which applications came out whole, and what went wrong with the others
THREADS: Any = ThreadPoolTaskRunner(max_workers=256)


@flow(name="pipeline", task_runner=THREADS, validate_parameters=False)
def pipeline(
    applications: list[str] | None = None,
    reason: str = "run by hand",
    slots: int | None = None,
    refit: bool = True,
    releasing: bool = True,
) -> list[str]:
    """Bring the applications up to date and release them; returns the versions that are live now.

    Args:
        applications: names from params.yaml; all of `applications` where left out.
        reason: why it runs now, for the audit trail.
        slots: stages at once; what the machine bears where left out.
        refit: False packs the weights as they are with today's histories, and trains nothing.
        releasing: False ends before the release, and says in data/ready.json what could be released.
    """
    root, chosen = Path(), applications or list(read_params()["applications"])
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    with only_run(root):
        with ProgressBoard(console) as board:
            graph = read_graph(root).of(chosen)
            graph = graph if refit else graph.only(REFRESHED)
            crew = Crew(root, settings().home / "logs", board, slots or sensible_slots())
            failed = bring_up_to_date(graph, crew, board.expect, root)
        old = _publish_quality(graph, console)
        spared = [name for name in chosen if not old and not _touches(graph, failed, name)]
        write_json(settings().data / READY, {"ready": spared, "problems": [*failed.values(), *old]})
        released, refused = _release_all(spared, reason, console) if releasing else ([], [])
    problems = [*failed.values(), *old, *refused]
    for problem in problems:
        console.print(f"[red]not released:[/] {problem}", highlight=False, soft_wrap=True)
    if problems:
        raise ShopError(problems[0])
    return [result.version for result in released]


def bring_up_to_date(graph: Graph, crew: Crew, expect: Callable[[int], None], root: Path) -> dict[str, str]:
    """Run what is stale; returns the stages that failed, each with its reason."""

    @task(task_run_name="{name}", cache_policy=NO_CACHE)
    def stage(name: str) -> str:
        return crew.run(name)

    submit: Callable[..., PrefectFuture[Any]] = stage.submit  # its overloads know no wait_for beside parameters

    def run(names: Iterable[str], barred: Iterable[str] = ()) -> dict[str, str]:
        """Every stage waits for its upstreams among `names`, and for nothing else."""
        wanted, futures = set(names) - set(barred), dict[str, PrefectFuture[Any]]()
        expect(len(wanted))
        for name in (one.name for one in graph if one.name in wanted):
            needs = [futures[upstream] for upstream in graph.stages[name].upstreams if upstream in futures]
            futures[name] = submit(name, wait_for=needs)
        try:
            for future in futures.values():
                future.wait()
        except BaseException:  # Ctrl-C, or Prefect cancelling the run
            crew.stop()
            raise
        return {name: why for name, future in futures.items() if (why := _failure(future.state))}

    # what reads from outside the graph first: only then can DVC say what is stale
    spared = lacking(read_params(root / PARAMS_FILE), settings().data)
    first = {one.name for one in graph if one.always and not one.upstreams}
    failed = run(first - spared)
    stale = graph.downstreams((read_stale(root).keys() & graph.stages.keys()) - first - spared)
    return failed | run(stale, barred=graph.downstreams(failed) | first)


def _failure(state: State[Any]) -> str | None:
    """Why a stage failed; None where it did not, or was only kept from running by another's failure."""
    if not (state.is_failed() or state.is_crashed()):
        return None
    error = state.result(raise_on_failure=False)
    return str(error) if isinstance(error, StageFailed) else f"{type(error).__name__}: {error}"


def _touches(graph: Graph, failed: Iterable[str], application: str) -> bool:
    lost = graph.downstreams(failed)
    return any(graph.stages[name].application == application for name in lost)


def _release_all(applications: Sequence[str], reason: str, console: Console) -> tuple[list[Released], list[str]]:
    """The scores, then the duel, of each application; a refusal of one does not hold back the next."""
    released, refused = list[Released](), list[str]()
    for application in applications:
        metrics = metrics_of(settings().data, application)
        print_scores(console, metrics)
        create_table_artifact(rows_of(metrics), key=f"{application}-scores", description=metrics["shipped"]["reason"])
        try:
            result = release(application, reason, automatic=True)
        except ShopError as error:
            refused.append(f"{application}: {error}")
        else:
            released.append(result)
            console.print(f"[green]{result.words}[/]", highlight=False, soft_wrap=True)
    return released, refused


def _publish_quality(graph: Graph, console: Console) -> list[str]:
    """The artifact and the warnings; returns in words which tables are so old that nothing may be released."""
    tables = [one.name.partition("@")[2] for one in graph if one.name.startswith("validate@")]
    if not tables:
        return []
    old = too_old(settings().data, read_params(), tables)
    for one in old:
        console.print(f"[yellow]old data:[/] {one.words}", highlight=False, soft_wrap=True)
    page = "\n\n".join([quality_markdown(settings().data, tables), *(one.words for one in old)])
    create_markdown_artifact(page, key="quality", description="Data quality")
    return [one.words for one in old if one.stops]


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--applications", nargs="+", metavar="NAME", help="only these (default: all of params.yaml)")
    parser.add_argument("--profile", metavar="NAME", help="first write this block of `profiles` into params.yaml")
    parser.add_argument("--side-by-side", type=int, metavar="N", help="stages at once")
    parser.add_argument("--reason", default="run by hand", help="for the audit trail")
    parser.add_argument("--refresh", action="store_true", help="the weights as they are, with today's histories")
    parser.add_argument("--no-release", action="store_true", help="end before the release")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run the flow; a mistake or a refusal is one line and status 1, Ctrl-C is status 130."""
    asked, console = _arguments(words), Console(stderr=True)
    set_up_logs(settings().log_level, settings().log_json)
    quieten()
    try:
        if asked.profile:
            for change in apply_profile(asked.profile):
                console.print(f"params.yaml: {change}", highlight=False, soft_wrap=True)
        with some_server():
            pipeline(asked.applications, asked.reason, asked.side_by_side, not asked.refresh, not asked.no_release)
    except ShopError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on where this one ended")
        return 130
    if not asked.no_release:
        console.print("next: [bold]make serve[/]", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
