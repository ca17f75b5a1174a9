"""Release: the duel, the verdict as a file, the bundle on the shelf, the pointer moved, all of it on record.

python -m flows.release promote recommendation [--again]
python -m flows.release rollback recommendation 20171231-0a1b2c3d --why "wrong prices"
python -m flows.release list recommendation
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first

os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

from prefect import flow
from rich.console import Console
from rich.table import Table

from components import releases, sealed
from components.core.artifacts import read_json, write_json
from components.core.errors import ReleaseError, ReleaseRefused, ShopError
from components.core.params import read_params
from components.logs import set_up_logs
from components.settings import settings
from flows.crew import only_run
from flows.duel import Judgement, duel
from flows.server import quieten, some_server

log = logging.getLogger(__name__)

_REMEDY = "To release it all the same: python -m flows.release promote {} --again"


@dataclass(frozen=True, slots=True)
class Released:
    """What is live now, and what was done about it, in words."""

    application: str
    version: str
    moved: bool
    words: str


@flow(name="release", validate_parameters=False)
def release(application: str, reason: str = "released by hand", again: bool = False) -> Released:
    """Judge the packaged bundle and make it live, unless a person took this very version back.

    Args:
        application: its name.
        reason: why, for the audit trail.
        again: release it even though it was withdrawn.

    Raises:
        ReleaseRefused: it lost the duel.
        ShopError: a run of the graph is at work, or another release went live in the meantime.
    """
    with only_run(Path()):  # nobody writes data/ while it is judged and copied
        version, champion = sealed.version_of(settings().data / application / "bundle"), releases.live(application)
        if version == champion:
            _on_record(application, version)
            words = f"{application}: release {version} is live already; nothing to do"
            return Released(application, version, False, words)
        why = releases.withdrawn(application).get(version)
        if why is not None and champion is not None and not again:
            words = f"{application}: {version} was withdrawn ({why}), not released again; {champion} stays live. "
            return Released(application, champion, False, words + _REMEDY.format(application))
        return _judge_and_release(application, version, champion, reason)


def _judge_and_release(application: str, version: str, champion: str | None, reason: str) -> Released:
    data, bundle = settings().data, settings().data / application / "bundle"
    live = releases.release_path(application, champion) if champion else None
    judgement = duel(application, read_params(), data / application / "features", bundle, live)
    verdict = _write_verdict(application, version, champion, judgement)
    if not judgement.passed:
        _audit(application, "refused", version, "; ".join(judgement.reasons))
        kept = f"release {champion} stays live" if champion else "nothing is live"
        raise ReleaseRefused(f"{version} is refused, {kept}: {'; '.join(judgement.reasons)} ({verdict})")
    releases.put(bundle, application, {**_origin(), "verdict": str(verdict), "reason": reason})
    _still_live(application, champion)
    releases.point(application, version, reason)
    _on_record(application, version)
    words = f"{application}: release {version} is live (before: {champion or 'none'}). {_gain(judgement)}"
    return Released(application, version, True, words)


def _still_live(application: str, champion: str | None) -> None:
    """A rollback waits for nobody, so it may have come while the duel was on."""
    now = releases.live(application)
    if now != champion:
        raise ReleaseError(
            f"expected {champion or 'nothing'} to be live, as when the candidate was judged, but now {now} is; "
            "release again, to be judged against it"
        )


def rollback(application: str, version: str, why: str) -> Released:
    """Make an earlier release live again; it was judged when it was made, so no duel.

    What was live is withdrawn: the next run of the loop would otherwise release it again, unchanged.
    It does not wait for a run that is at work, which may take hours.
    """
    before = releases.live(application)
    if before == version:
        return Released(application, version, False, f"{application}: release {version} is live already; nothing to do")
    releases.point(application, version, why, withdraw=True)
    _audit(application, "rolled back", version, why)
    words = f"{application}: release {version} is live (before: {before}, which is withdrawn). {why}"
    return Released(application, version, True, words)


def _gain(judgement: Judgement) -> str:
    if judgement.difference is None:
        return f"All {len(judgement.verdicts)} rules passed; there was no champion to compare with."
    change = judgement.difference
    return f"Against the one before: {change['mean']:+.4f} [{change['low']:+.4f}, {change['high']:+.4f}]"


def _write_verdict(application: str, version: str, champion: str | None, judgement: Judgement) -> Path:
    path = settings().home / "verdicts" / application / f"{version}.json"
    facts = {"application": application, "version": version, "champion": champion, "at": _now()}
    write_json(path, facts | judgement.as_json())
    return path


def _on_record(application: str, version: str) -> None:
    """BentoML's store, the reference for the next quality gate, the audit line.

    Each is done only where missing: a run killed after the pointer moved is completed by the next.
    """
    folder = releases.release_path(application, version)
    _register(application, version, folder)
    if not _is_audited(application, version):
        _keep_references()
        _audit(application, "released", version, str(read_json(releases.pointer_path(application)).get("why", "")))


def _register(application: str, version: str, folder: Path) -> None:
    """`bentoml models list` shows the release, with what it was made from."""
    import bentoml

    tag, facts = f"{application}:{version}", read_json(folder / sealed.RELEASE)
    if any(str(model.tag) == tag for model in bentoml.models.list()):
        return
    labels = {"application": application, "git": facts.get("git", "none")[:40], "dvc": facts.get("dvc", "none")[:40]}
    with bentoml.models.create(tag, labels=labels, metadata={"verdict": facts.get("verdict", "")}) as model:
        shutil.copytree(folder, model.path, dirs_exist_ok=True)


def _keep_references() -> None:
    """What this release was made from becomes what the next data is compared with."""
    from components.stages.collect import keep_reference

    for folder in sorted((settings().data / "accepted").glob("*/meta.json")):
        keep_reference(folder.parent.name)


def _origin() -> dict[str, str]:
    """The commit and the hash of dvc.lock that a bundle came from."""
    lock = Path("dvc.lock")
    digest = hashlib.md5(lock.read_bytes(), usedforsecurity=False).hexdigest() if lock.exists() else "none"
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"], capture_output=True, text=True
    )
    return {"git": described.stdout.strip() or "none", "dvc": digest}


def _audit(application: str, what: str, version: str, why: str) -> None:
    """One line that stays: who did what, when and why."""
    path = settings().home / "audit.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"at": _now(), "application": application, "what": what, "version": version, "why": why, "by": _who()}
    with path.open("a", encoding="utf-8") as stream:  # one write of one line, so that lines never mix
        stream.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _is_audited(application: str, version: str) -> bool:
    path = settings().home / "audit.jsonl"
    if not path.exists():
        return False
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    moves = [entry for entry in entries if entry["application"] == application and entry["what"] != "refused"]
    return bool(moves) and moves[-1]["version"] == version


def _who() -> str:
    return os.environ.get("USER") or str(os.getuid())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _print_list(application: str, console: Console) -> None:
    table, live = Table(title=f"releases of {application}"), releases.live(application)
    taken_back = releases.withdrawn(application)
    for column in ("", "version", "placed at", "why", "commit"):
        table.add_column(column)
    for version in releases.versions(application):
        facts = read_json(releases.release_path(application, version) / sealed.RELEASE)
        shown = (facts.get("at", ""), facts.get("reason", ""), facts.get("git", "")[:12])
        state = "live" if version == live else "withdrawn" if version in taken_back else ""
        table.add_row(state, version, *map(str, shown))
    console.print(table)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.release", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, meaning in {
        "promote": "judge the packaged bundle and make it live",
        "rollback": "make an earlier release live again",
        "list": "show the shelf and what is live",
    }.items():
        command = commands.add_parser(name, help=meaning, description=meaning)
        command.add_argument("application")
        if name == "rollback":
            command.add_argument("version")
        if name == "promote":
            command.add_argument("--again", action="store_true", help="also where this version was withdrawn")
        if name != "list":
            command.add_argument("--why", default=f"{name} by hand", help="for the audit trail")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """A refusal or a mistake is one line and status 1."""
    asked, console = _arguments(words), Console()
    set_up_logs(settings().log_level, settings().log_json)
    quieten()
    try:
        if asked.command == "list":
            _print_list(asked.application, console)
        elif asked.command == "rollback":
            console.print(rollback(asked.application, asked.version, asked.why).words, highlight=False, soft_wrap=True)
        else:
            with some_server():
                done = release(asked.application, asked.why, asked.again)
                console.print(done.words, highlight=False, soft_wrap=True)
    except ShopError as error:
        Console(stderr=True).print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
