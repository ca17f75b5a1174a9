"""What moves a live pointer: one command and one Prefect flow for each move, all of them on record.

python -m flows.release promote recommendation [--canary 0.1 | --shadow] [--again] --why "..."
python -m flows.release rollback recommendation [20171231-0a1b2c3d] --why "wrong prices"
python -m flows.release pin recommendation 20171231-0a1b2c3d
python -m flows.release unpin|freeze|thaw|list|log recommendation
python -m flows.release settle recommendation promote|dismiss
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first

os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

from prefect import flow
from rich.console import Console
from rich.markup import escape

from components import releases
from components.audit import Note
from components.core.errors import ShopError
from components.logs import set_up_logs
from components.settings import settings
from flows.crew import only_run
from flows.exhibits import told
from flows.promotion import Place, Wish, offer
from flows.scoreboard import PLAIN_WIDTH
from flows.server import quieten, some_server
from flows.shelf import TABLES
from flows.standing import Released as Released
from flows.standing import beside, is_held, left, standing, version_before

MEANINGS = {
    "promote": "judge the packaged bundle and make it live",
    "rollback": "make an earlier release live again; what was live is withdrawn",
    "pin": "make a release live and hold it",
    "unpin": "let what runs by itself move the pointer again",
    "freeze": "hold what is live, and a canary with its share; nothing that runs by itself moves the pointer",
    "thaw": "let what runs by itself move the pointer again",
    "settle": "end a canary or a shadow: promote the challenger, or dismiss it",
    "list": "show the shelf, what is live, what waits",
    "log": "show every decision",
}


@flow(name="release", validate_parameters=False)
def release(
    application: str,
    reason: str = "released by hand",
    again: bool = False,
    mode: Place = "live",
    share: float = 0.1,
    automatic: bool = False,
    by: str | None = None,
) -> Released:
    """Judge the packaged bundle and, where it wins, make it live or the challenger of what is.

    Args:
        application: its name.
        reason: why, for the audit log.
        again: release it even though it was withdrawn.
        mode: live; canary, for a share of the customers; shadow, asked beside the champion but unseen.
        share: of the customers, or of the requests that a shadow is asked.
        automatic: nobody asked for it, so a held pointer and a canary that runs stay as they are.
        by: who or what decides, for the audit log; the user where left out.

    Raises:
        ReleaseRefused: it lost the duel.
        ShopError: a run of the graph is at work, or somebody moved the pointer in the meantime.
    """
    with only_run(Path()):  # nobody writes data/ while it is judged and copied
        return told(offer(Wish(application, reason, mode, share, again, automatic, by)))


@flow(name="rollback", validate_parameters=False)
def rollback(
    application: str,
    version: str | None = None,
    why: str = "rolled back by hand",
    automatic: bool = False,
    by: str | None = None,
) -> Released:
    """Make an earlier release live again (the one before, where none is named); it was judged when it was made.

    What was live is withdrawn: the next run of the loop would otherwise release it again, unchanged.
    It does not wait for a run that is at work, which may take hours. A challenger waits no more.
    """
    found = standing(application)
    if automatic and (words := is_held(found)):
        return left(found, words)
    version = version or version_before(found)
    if found.version == version:
        return left(found, f"release {version} is live already; nothing to do{beside(found)}")
    note = Note("rolled back", by)
    releases.point(application, version, why, withdraw=True, expected=found.version, automatic=automatic, note=note)
    words = f"{application}: release {version} is live (before: {found.version}, which is withdrawn). {why}"
    return told(Released(application, version, True, words))


@flow(name="pin", validate_parameters=False)
def pin(application: str, version: str, why: str = "pinned by hand", by: str | None = None) -> Released:
    """Make a release live and keep it so: nothing that runs by itself moves the pointer until `unpin`."""
    releases.point(application, version, why, held=True, note=Note("pinned", by))
    return told(Released(application, version, True, f"{application}: release {version} is live and held. {why}"))


@flow(name="unpin", validate_parameters=False)
def unpin(application: str, why: str = "unpinned by hand", by: str | None = None) -> Released:
    """Let what runs by itself move the pointer again; what is live stays."""
    return _let_go(application, "unpinned", why, by)


@flow(name="freeze", validate_parameters=False)
def freeze(application: str, why: str = "frozen by hand", by: str | None = None) -> Released:
    """Keep everything as it is, a canary with its share too, until `thaw`; a person may still move the pointer."""
    before = releases.hold(application, why, note=Note("frozen", by))
    words = f"{application}: release {before.version} is held{beside(before)}. {why}"
    return told(Released(application, before.version, before.held is None, words))


@flow(name="thaw", validate_parameters=False)
def thaw(application: str, why: str = "thawed by hand", by: str | None = None) -> Released:
    """Let what runs by itself move the pointer again, whether it was frozen or pinned."""
    return _let_go(application, "thawed", why, by)


@flow(name="settle", validate_parameters=False)
def settle(
    application: str,
    verdict: Literal["promote", "dismiss"],
    why: str = "settled by hand",
    withdraw: bool = True,
    challenger: str | None = None,
    automatic: bool = False,
    by: str | None = None,
    figures: Mapping[str, Any] | None = None,
) -> Released:
    """End a canary or a shadow: the challenger becomes the champion, or goes.

    Args:
        application: its name.
        verdict: promote or dismiss.
        why: for the audit log.
        withdraw: where dismissed, what runs by itself must not bring this version again.
        challenger: the version that was judged; where another waits by now, nothing happens.
        automatic: nobody asked for it, so a held pointer stays as it is.
        by: who or what decides; the user where left out.
        figures: what it was decided by.
    """
    found = standing(application)
    waiting = found.challenger
    if waiting is None or challenger not in (None, waiting.version):
        other = f"{waiting.version} waits, not {challenger}" if waiting else "no challenger waits"
        return left(found, f"{other}; nothing to do")
    if automatic and (words := is_held(found)):
        return left(found, words)
    kept, version = found.version, waiting.version
    if verdict == "promote":
        note = Note("promoted", by, figures)
        releases.point(application, version, why, expected=kept, challenger=version, automatic=automatic, note=note)
        words = f"release {version} is live, no longer {waiting.mode} (before: {kept}). {why}"
        return told(Released(application, version, True, f"{application}: {words}"))
    note = Note("dismissed", by, figures)
    releases.dismiss_challenger(application, why, withdraw, challenger=version, automatic=automatic, note=note)
    words = f"{version} is no longer {waiting.mode}{' and is withdrawn' if withdraw else ''}; {kept} stays live. {why}"
    return told(Released(application, kept, True, f"{application}: {words}"))


def _let_go(application: str, what: str, why: str, by: str | None) -> Released:
    found = standing(application)
    if found.held is None:
        return left(found, "the pointer is not held; nothing to do")
    before = releases.unhold(application, why, note=Note(what, by))
    words = f"{application}: release {before.version} is no longer held. {why}"
    return told(Released(application, before.version, True, words))


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.release", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    told = {name: _command(commands, name, meaning) for name, meaning in MEANINGS.items()}
    told["rollback"].add_argument("version", nargs="?", help="the one before where left out")
    told["pin"].add_argument("version")
    told["settle"].add_argument("verdict", choices=("promote", "dismiss"))
    told["settle"].add_argument("--may-return", action="store_true", help="the loop may bring a dismissed one again")
    told["promote"].add_argument("--again", action="store_true", help="also where this version was withdrawn")
    told["promote"].add_argument("--automatic", metavar="BY", help="what decides by itself: a held pointer stays held")
    place = told["promote"].add_mutually_exclusive_group()
    place.add_argument(
        "--canary", type=float, metavar="SHARE", help="only for this share of the customers, such as 0.1"
    )
    place.add_argument("--shadow", action="store_true", help="ask it beside what is live, show nobody its answers")
    return parser.parse_args(words)


def _command(commands: Any, name: str, meaning: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=meaning, description=meaning)
    command.add_argument("application")
    if name not in TABLES:
        command.add_argument("--why", default=f"{name} by hand", help="for the audit log")
    return command


def _promote(asked: argparse.Namespace) -> Released:
    mode: Place = "shadow" if asked.shadow else "live" if asked.canary is None else "canary"
    share = 1.0 if mode == "shadow" else asked.canary or 0.0
    with some_server():
        return release(asked.application, asked.why, asked.again, mode, share, bool(asked.automatic), asked.automatic)


def _move(asked: argparse.Namespace) -> Released:
    """The move itself, without a Prefect run around it: it must not wait for a server."""
    name, why = asked.application, asked.why
    moves: dict[str, Callable[[], Released]] = {
        "promote": lambda: _promote(asked),
        "rollback": lambda: rollback.fn(name, asked.version, why),
        "pin": lambda: pin.fn(name, asked.version, why),
        "unpin": lambda: unpin.fn(name, why),
        "freeze": lambda: freeze.fn(name, why),
        "thaw": lambda: thaw.fn(name, why),
        "settle": lambda: settle.fn(name, asked.verdict, why, not asked.may_return),
    }
    return moves[asked.command]()


def main(words: Sequence[str] | None = None) -> int:
    """A refusal or a mistake is one line and status 1."""
    asked, console = _arguments(words), Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    set_up_logs(settings().log_level, settings().log_json)
    quieten()
    try:
        if asked.command in TABLES:
            console.print(TABLES[asked.command](asked.application))
        else:
            console.print(_move(asked).words, highlight=False, soft_wrap=True, markup=False)
    except ShopError as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
