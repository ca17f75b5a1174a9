"""Where the shop stands, on one screen: what runs, releases, last decisions, feedback since, the next run.

python -m flows.status
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first

from rich.console import Console  # isort: skip
from rich.table import Table

from components import releases
from components.audit import read_audit
from components.core.artifacts import read_json
from components.core.errors import FeedbackError, ShopError
from components.core.params import read_params
from components.feedback.store import open_store
from components.settings import settings
from flows.ledger import Ledger
from flows.processes import programs, state

NOTHING = "-"


def status(console: Console) -> None:
    """Print it; nothing is changed, and nothing but the files and our own loopback is asked."""
    running = state()
    for title, rows in {
        "what runs": _running(running),
        "releases": [_release(name) for name in read_params()["applications"]],
        "last decisions": [_decision(name) for name in read_params()["applications"]],
        "last moves and retrains": [*_moves(), *_retrains()],
        "feedback in the store": _feedback(),
        "next": _next(running),
    }.items():
        _print(console, title, rows)


def _print(console: Console, title: str, rows: list[dict[str, str]]) -> None:
    if not rows:
        console.print(f"[bold]{title}[/]: none yet")
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    console.print(table)


def _running(running: Mapping[str, Any] | None) -> list[dict[str, str]]:
    if running is None:
        return [{"program": "nothing", "state": "make up starts the service, Prefect, a worker and the watch"}]
    where = {"service": f"http://{running['host']}:{running['port']}"}
    where["prefect"] = f"http://127.0.0.1:{running['prefect_port']}"
    return [{"program": name, "state": one, "where": where.get(name, "")} for name, one in programs().items()]


def _release(application: str) -> dict[str, str]:
    releases.complete(application)
    found = releases.pointer(application)
    waiting = found.challenger if found else None
    return {
        "application": application,
        "live": found.version if found else "none: make loop",
        "since": str(found.at)[:16] if found else NOTHING,
        "why": found.why if found else NOTHING,
        "challenger": f"{waiting.version}, {waiting.mode} {waiting.share:.0%}" if waiting else NOTHING,
        "held": found.held.why if found and found.held else NOTHING,
    }


def _decision(application: str) -> dict[str, str]:
    """What the watch said last, and how much has come in since the release's data ended."""
    path = settings().home / "watch" / application / "latest.json"
    found = read_json(path) if path.is_file() else {}
    amount = (found.get("figures") or {}).get("amount") or {}
    return {
        "application": application,
        "watched": str(found.get("at", "never"))[:16],
        "decision": str(found.get("decision", NOTHING)),
        "because": str(found.get("words", NOTHING)),
        "new events": str(amount.get("new_events", NOTHING)),
    }


def _moves(most: int = 3) -> list[dict[str, str]]:
    return [
        _line(one.at.isoformat(), one.application, f"{one.what}: {one.before or 'none'} -> {one.after}", one.why)
        for one in reversed(read_audit()[-most:])
    ]


def _retrains(most: int = 3) -> list[dict[str, str]]:
    return [
        _line(line["at"], ", ".join(line["applications"]), f"retrain {line['outcome']}", line["reason"])
        for line in reversed(Ledger(settings().home).lines()[-most:])
    ]


def _line(at: str, application: str, what: str, why: str) -> dict[str, str]:
    return {"at": at[:16], "application": application, "what": what, "why": why}


def _feedback() -> list[dict[str, str]]:
    try:
        with closing(open_store()) as store:
            counted = store.counts()
    except FeedbackError as error:
        return [{"application": NOTHING, "kind": str(error), "events": NOTHING}]
    return [{"application": key[0], "kind": key[1], "events": f"{n:,}"} for key, n in sorted(counted.items())]


def _next(running: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """The runs that Prefect will start next, by the name of their flow: a run's own name is drawn by chance."""
    if running is None:
        return []
    wanted = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}},
              "sort": "EXPECTED_START_TIME_ASC", "limit": 3}  # fmt: skip
    try:
        runs = _asked(running, "flow_runs/filter", wanted)
        of = {"flows": {"id": {"any_": sorted({run["flow_id"] for run in runs})}}}
        names = {flow["id"]: flow["name"] for flow in _asked(running, "flows/filter", of)} if runs else {}
    except (urllib.error.URLError, OSError):
        return []
    return [
        {"run": names.get(run["flow_id"], run["name"]), "at": run["expected_start_time"][:16],
         "state": run["state_name"]} for run in runs
    ]  # fmt: skip


def _asked(running: Mapping[str, Any], path: str, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What Prefect's server answers."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{running['prefect_port']}/api/{path}",
        json.dumps(wanted).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310
        return list(json.load(answer))


def main() -> int:
    """A mistake is one line and status 1."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        status(console)
    except ShopError as error:
        Console(stderr=True).print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
