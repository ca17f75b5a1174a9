"""A retrain in a clean place: does it pay, the graph in a worktree of HEAD, a commit, a push, the release.

python -m flows.retrain [--applications recommendation ...] [--reason "..."] [--refresh]
python -m flows.retrain --trigger schedule [--even-if-it-does-not-pay]

The checkout is never touched; what is not committed is not seen. Each retrain ends in a line of
<SHOP_HOME>/retrains.jsonl, and one that made something new in a commit on the branch `retrain`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first

os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field
from rich.console import Console

from components.clock import now
from components.core.errors import ShopError
from components.core.params import Params, parse, read_params
from components.logs import set_up_logs
from components.settings import settings
from flows.cost import measured
from flows.crew import alone
from flows.ledger import Ledger, Line
from flows.renewal import Order, Renewal
from flows.scoreboard import PLAIN_WIDTH
from flows.server import quieten, some_server
from flows.worktree import unseen
from flows.worth import Expectation, expectation

log = logging.getLogger(__name__)

MUST_PAY = ("amount", "age", "schedule")  # triggers that say nothing of need; all others have seen one


class RetrainParams(Params):
    """The block `retrain` of params.yaml."""

    branch: str = Field("retrain", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", description="Where commits go.")
    author: str = Field("shop-loop <shop-loop@localhost>", description="Who commits.")
    push: str | None = Field(None, description="A remote of git to which the branch is pushed; null: to none.")
    push_seconds: float = Field(600.0, gt=0, description="How long dvc push, and then git push, may take.")
    min_gain_per_cpu_hour: float = Field(
        0.001,
        ge=0,
        description="Expected gain in the deciding metric that is worth an hour of one processor.",
    )
    min_gain_per_cpu_hour_of: dict[str, float] = Field({}, description="The same, by application, where it differs.")


@flow(name="retrain", validate_parameters=False)
def retrain(
    reason: str, applications: list[str] | None = None, trigger: str = "hand", refit: bool = True
) -> dict[str, Any]:
    """Renew the applications and release what wins; returns the line of <SHOP_HOME>/retrains.jsonl.

    Args:
        reason: why, for the commit and the audit log.
        applications: names from params.yaml; all of `applications` where left out.
        trigger: what asked; after amount, age or schedule it runs only where it is expected to pay.
        refit: False renews histories and prepared answers of the live release, and trains nothing.

    Raises:
        ShopError: another retrain is at work, or this one failed; what was live stays live.
    """
    home, console = settings().home.resolve(), Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    with alone(home / "retrain" / "lock", "other retrain of this shop"):
        ledger, params = Ledger(home), read_params()
        if killed := ledger.note_killed():
            _say(console, f"the retrain of {killed['at']} was killed; this one starts over, from what it had finished")
        chosen = applications or list(params["applications"])
        asked = parse(RetrainParams, params.get("retrain") or {}, "retrain")
        line: Line = {"at": now().isoformat(), "applications": chosen, "reason": reason, "trigger": trigger}
        line["refit"] = refit
        expected = {name: _expected(name, ledger, home, asked) for name in chosen}
        for one in expected.values() if refit else ():
            _say(console, one.words)
        line["predicted_gain"] = {name: one.gain_as_json for name, one in expected.items() if refit}
        paying = [name for name in chosen if not refit or trigger not in MUST_PAY or expected[name].pays]
        if not paying:
            return _skip(ledger, line, expected, console)
        rows = {name: one.before for name, one in expected.items() if one.before is not None}
        commit = (asked.branch, asked.author, asked.push, asked.push_seconds)
        order = Order(Path().resolve(), home, tuple(paying), reason, refit, *commit, rows)
        return _run(order, ledger, {**line, "applications": paying}, params, console)


def _expected(name: str, ledger: Ledger, home: Path, asked: RetrainParams) -> Expectation:
    least = asked.min_gain_per_cpu_hour_of.get(name, asked.min_gain_per_cpu_hour)
    return expectation(name, ledger.lines(), (home / "retrain" / "work" / "data", settings().data), least)


def _skip(ledger: Ledger, line: Line, expected: Mapping[str, Expectation], console: Console) -> Line:
    words = "skipped, since it is not expected to pay: " + "; ".join(one.words for one in expected.values())
    line |= {"outcome": "skipped", "words": words}
    ledger.append(line)
    _publish(line)
    _say(console, "skipped: not expected to pay; --even-if-it-does-not-pay runs it all the same")
    return line


def _run(order: Order, ledger: Ledger, line: Line, params: Mapping[str, Any], console: Console) -> Line:
    """The renewal, measured; its line is written however it ends, and only a kill leaves it to the next retrain."""
    for file in unseen(order.project):
        _say(console, f"not seen: {file} has changes that no commit holds; a retrain works from HEAD")
    renewal, found = Renewal(order, params.get("releases") or {}, lambda words: _say(console, words)), dict[str, Any]()
    ledger.begin(line)
    try:
        with measured() as cost:
            found = renewal.run()
    except (ShopError, OSError) as error:
        found = {"outcome": "failed", "words": str(error)}
        raise ShopError(f"{error}; what was live stays live") from error
    except BaseException as error:
        found = {"outcome": "stopped", "words": f"{type(error).__name__}: {error}".rstrip(": ")}
        raise
    finally:
        line |= {**cost.as_json(), **renewal.facts, **found}
        _close(ledger, line)
    _say(console, f"{line['outcome']}: {line['words']}")
    if line["problems"]:
        raise ShopError(line["problems"][0])
    return line


def _close(ledger: Ledger, line: Line) -> None:
    """The line and the page; where a disk is full neither may hide why the retrain failed."""
    try:
        ledger.end(line)
        _publish(line)
    except Exception as error:
        log.warning("%s: could not be written down: %s", line["outcome"], error)


def _publish(line: Line) -> None:
    """The decision as Prefect shows it."""
    rows = [f"| {name} | {_cell(value)} |" for name, value in line.items() if value not in (None, {}, [])]
    page = "\n".join([f"**{line['outcome']}**: {line['words']}", "", "| | |", "|---|---|", *rows])
    create_markdown_artifact(page, key="retrain", description=f"{line['outcome']}: {line['reason']}")


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_cell(inner)}" for name, inner in value.items())
    words = f"{value:.6g}" if isinstance(value, float) else ", ".join(value) if isinstance(value, list) else str(value)
    return words.replace("|", "\\|").replace("\n", " ")


def _say(console: Console, words: str) -> None:
    console.print(words, highlight=False, soft_wrap=True, markup=False)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description=__doc__.splitlines()[0])
    parser.add_argument("--applications", nargs="+", metavar="NAME", help="only these (default: all of params.yaml)")
    parser.add_argument("--reason", default="retrained by hand", help="for the commit and the audit log")
    parser.add_argument("--trigger", default="hand", help=f"what asked; after {', '.join(MUST_PAY)} it must pay")
    parser.add_argument("--refresh", action="store_true", help="the weights as they are, with today's histories")
    parser.add_argument("--even-if-it-does-not-pay", action="store_true", help="run it whatever the estimate says")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """A mistake, a failure or a refusal is one line and status 1, Ctrl-C is status 130."""
    asked = _arguments(words)
    set_up_logs(settings().log_level, settings().log_json)
    quieten()
    trigger = "hand" if asked.even_if_it_does_not_pay else asked.trigger
    try:
        with some_server():
            line = retrain(asked.reason, asked.applications, trigger, not asked.refresh)
    except ShopError as error:
        Console(stderr=True).print(f"error: {error}", highlight=False, soft_wrap=True, markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 1 if line["outcome"] == "refused" else 0


if __name__ == "__main__":
    sys.exit(main())
