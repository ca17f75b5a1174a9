"""The watch: looks at every live release and decides whether it is to be renewed, or its challenger settled.

python -m flows.watch [--applications recommendation ...] [--dry-run]

What it found and decided stands in <SHOP_HOME>/watch/<application>/latest.json, and in watch/index.html.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first

os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from rich.console import Console

from components import releases
from components.clock import now
from components.core.artifacts import write_json
from components.core.errors import ShopError
from components.core.params import read_params
from components.feedback.store import Store, open_store
from components.logs import set_up_logs
from components.settings import settings
from flows.scoreboard import PLAIN_WIDTH
from flows.server import quieten, some_server
from flows.triggers import emit, under_way
from flows.watch_canary import challenge
from flows.watch_figures import Alarm, amount_and_age, answer_drift, live_quality, order_drift
from flows.watch_notes import Notes, folder_of
from flows.watch_page import markdown, rows_of, write_page
from flows.watched import Watched, watched

FIGURES = {"amount": amount_and_age, "orders": order_drift, "answers": answer_drift, "quality": live_quality}
TRAIL = 400  # points of live quality that are kept; older ones are thinned
ORDER = ("quality", "corrections", "predictions", "drift", "age", "amount", "refresh")  # the first names the cause

Decision = dict[str, Any]


@flow(name="watch", validate_parameters=False)
def watch(applications: list[str] | None = None, act: bool = True) -> list[Decision]:
    """Look at the live releases; returns one decision each.

    Args:
        applications: names from params.yaml; all of `applications` where left out.
        act: ask for retrains and settle canaries; otherwise nothing is moved, asked for or written.
    """
    decisions, problems = watch_all(applications, act)
    for decision in decisions:
        key = f"watch-{decision['application'].replace('_', '-')}"
        create_table_artifact(rows_of(decision), key=key, description=decision["words"])
        create_markdown_artifact(markdown(decision), key=f"{key}-decision", description=decision["decision"])
    if problems:
        raise ShopError("; ".join(problems))
    return decisions


def watch_all(applications: Sequence[str] | None = None, act: bool = True) -> tuple[list[Decision], list[str]]:
    """The decisions, and what went wrong with other applications; needs no Prefect."""
    params = read_params()
    decisions, problems = list[Decision](), list[str]()
    with _only_watch(), closing(open_store()) as store:
        for application in applications or list(params["applications"]):
            try:
                decisions.append(look(application, params, store, act))
            except ShopError as error:  # one that cannot be looked at must not hide the others
                problems.append(f"{application}: {error}")
        if act:
            write_page(settings().home / "watch")
    return decisions, problems


def look(application: str, params: Mapping[str, Any], store: Store, act: bool) -> Decision:
    """One application: read what is new, find the figures, decide, act, remember."""
    if act:
        releases.complete(application)
    one = watched(application, params)
    if one is None:
        return _kept({**_blank(application), "words": "no release is live, so there is nothing to watch"}, act, 1)
    notes = Notes.load(application)
    changed = notes.bring_up(one, store)
    figures, alarms = dict[str, Any](), list[Alarm]()
    for name, find in FIGURES.items():
        figures[name], found = find(one, notes)
        alarms += found
    _extend_trail(one, notes, figures["quality"]["measures"])
    if act:
        notes.save(frames=changed)
    settled = challenge(one, notes, act)
    decision = _decided(one, figures, alarms)
    decision["canary"] = settled.as_json() if settled else None
    if decision["decision"] != "nothing":
        decision |= _asked(one, notes, decision, act)
    decision["trail"] = notes.trail
    return _kept(decision, act, one.params.keep)


def _blank(application: str) -> Decision:
    return {
        "application": application,
        "at": now().isoformat(timespec="seconds"),
        "decision": "nothing",
        "trigger": None,
        "alarms": [],
        "asked": None,
        "figures": {},
        "canary": None,
        "trail": [],
        "release": None,
    }


def _decided(one: Watched, figures: Mapping[str, Any], alarms: Sequence[Alarm]) -> Decision:
    """The gravest alarm names the cause; all are told."""
    first = min(alarms, key=lambda alarm: ORDER.index(alarm.trigger), default=None)
    what = "nothing" if first is None else "refresh" if first.trigger == "refresh" else "retrain"
    held = one.pointer.held
    told = "; ".join(alarm.words for alarm in alarms) or "nothing alarms"
    return _blank(one.application) | {
        "release": one.pointer.version,
        "weights": one.lineage,
        "as_of": one.as_of.isoformat(),
        "decision": "nothing" if held else what,
        "trigger": first.trigger if first else None,
        "alarms": [{"trigger": alarm.trigger, "words": alarm.words} for alarm in alarms],
        "words": f"held ({held.why}), so nothing is done: {told}" if held else told,
        "held": held.why if held else None,
        "figures": dict(figures),
    }


def _asked(one: Watched, notes: Notes, decision: Decision, act: bool) -> Decision:
    """Ask for a retrain, once for each cause; where it was asked for and led to no release, for a refresh that is due.

    Without that, a retrain that does not pay or is refused would keep histories from ever being renewed.
    """
    due = any(alarm["trigger"] == "refresh" for alarm in decision["alarms"])
    if decision["decision"] == "retrain" and due and _told(one, notes, str(decision["trigger"])):
        decision = {**decision, "decision": "refresh", "trigger": "refresh"}
    told = {name: decision[name] for name in ("decision", "trigger")}
    return {**told, **_ask(one, notes, decision, act)}


def _told(one: Watched, notes: Notes, trigger: str) -> str | None:
    """When Prefect was told of this cause, if that is for these weights and not long ago."""
    before = notes.emitted.get(trigger)
    if not before or before.get("weights") != one.lineage:
        return None
    return before["at"] if one.now < _cool(before["at"], one.params.cool_down_hours) else None


def _ask(one: Watched, notes: Notes, decision: Decision, act: bool) -> Decision:
    trigger = str(decision["trigger"])
    if at := _told(one, notes, trigger):
        return {"asked": f"asked for already, at {at}"}
    if not act:
        return {"asked": "dry run: nobody was asked"}
    if under_way(one.application):
        return {"asked": "a retrain runs or waits already"}
    done = emit(
        one.application, f"{trigger}: {decision['words']}", trigger, _short(decision), decision["decision"] == "retrain"
    )
    if done.sent:
        notes.emitted[trigger] = {"at": one.now.isoformat(timespec="seconds"), "weights": one.lineage}
        notes.save(frames=False)
    return {"asked": done.words}


def _cool(at: str, hours: float) -> datetime:
    return datetime.fromisoformat(at) + timedelta(hours=hours)


def _short(decision: Decision) -> dict[str, Any]:
    """What fits into an event: the figures without the distributions."""
    found = decision["figures"]
    return {"amount": found["amount"], "quality": found["quality"], "alarms": decision["alarms"]}


def _extend_trail(one: Watched, notes: Notes, measures: Sequence[Mapping[str, Any]]) -> None:
    """One point for each measure about which something new is known."""
    last = {(point["weights"], point["measure"]): point["n"] for point in notes.trail}
    for figure in measures:
        if figure["low"] is not None and last.get((one.lineage, figure["measure"])) != figure["n"]:
            kept = {name: figure[name] for name in ("measure", "n", "mean", "low", "high", "baseline")}
            notes.trail.append({**kept, "at": one.now.isoformat(timespec="seconds"), "weights": one.lineage})
    if len(notes.trail) > TRAIL:
        half = len(notes.trail) // 2
        notes.trail = notes.trail[:half:2] + notes.trail[half:]


def _kept(decision: Decision, act: bool, keep: int) -> Decision:
    """On disk under its moment and as the latest; of old ones as many as params.yaml says."""
    if not act:
        return decision
    folder = folder_of(decision["application"])
    stamp = datetime.fromisoformat(decision["at"]).strftime("%Y%m%dT%H%M%S")
    write_json(folder / f"{stamp}.json", {name: value for name, value in decision.items() if name != "trail"})
    write_json(folder / "latest.json", decision)
    for old in sorted(folder.glob("[0-9]*T[0-9]*.json"))[:-keep]:
        old.unlink(missing_ok=True)
    return decision


@contextmanager
def _only_watch() -> Iterator[None]:
    """One look at a time; the lock goes with the process, however that ends."""
    folder = settings().home / "watch"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ShopError("expected no other watch at work, but one is; wait for it") from None
        yield


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.watch", description=__doc__.splitlines()[0])
    parser.add_argument("--applications", nargs="+", metavar="NAME", help="only these (default: all of params.yaml)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done; nothing is written")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """A mistake is one line and status 1."""
    asked, console = _arguments(words), Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    set_up_logs(settings().log_level, settings().log_json)
    quieten()
    try:
        with some_server():
            for decision in watch(asked.applications, not asked.dry_run):
                console.print(markdown(decision), highlight=False, soft_wrap=True, markup=False)
    except ShopError as error:
        Console(stderr=True).print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
