"""From the packaged bundle to the pointer: the duel, its verdict, the place on the shelf, the move, the record."""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components import releases, sealed
from components.audit import Note, audit, read_audit
from components.clock import now
from components.core.artifacts import read_json, write_json
from components.core.errors import ReleaseRefused
from components.core.params import read_params
from components.pointers import Challenger, Mode, Pointer
from components.settings import settings
from flows.duel import Judgement, duel
from flows.exhibits import show_decision, show_duel
from flows.standing import Released, is_held, left

log = logging.getLogger(__name__)

Place = Literal["live", "canary", "shadow"]
CROWNED = ("released", "promoted", "rolled back", "pinned")  # what makes a version the champion, in the audit log
CHALLENGING = ("canary", "shadow", "dismissed")  # what changes the challenger

_AGAIN = "To release it all the same: python -m flows.release promote {} --again"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for with a candidate.

    mode       the place that it shall have if it wins
    share      of the customers, or of the requests to a shadow
    again      also where it was withdrawn
    automatic  nobody asked: a held pointer and a canary that runs stay as they are
    by         who asks; the user where left out
    """

    application: str
    reason: str
    mode: Place = "live"
    share: float = 0.1
    again: bool = False
    automatic: bool = False
    by: str | None = None


def offer(wish: Wish) -> Released:
    """Give the packaged bundle its place, unless there is a reason to leave everything as it is.

    Raises:
        ReleaseRefused: it lost the duel.
        ReleaseError: somebody moved the pointer while it was judged.
    """
    version = sealed.version_of(settings().data / wish.application / "bundle")
    releases.complete(wish.application)
    standing = releases.pointer(wish.application)
    if standing is not None and (words := _why_not(wish, version, standing)):
        return left(standing, words)
    judgement, verdict = _judged(wish, version, standing.version if standing else None)
    facts = {**_origin(), "verdict": str(verdict), "reason": wish.reason}
    releases.put(settings().data / wish.application / "bundle", wish.application, facts)
    if standing is None or wish.mode == "live":
        return _crown(wish, version, standing, judgement)
    return _challenge(wish, version, standing, judgement)


def _why_not(wish: Wish, version: str, standing: Pointer) -> str | None:
    """In words, why nothing is to be done; a record that a killed run left open is completed."""
    waiting, kept = standing.challenger, f"{standing.version} stays live"
    if version == standing.version:
        on_record(wish.application, version, "released", wish.by)
        return f"release {version} is live already; nothing to do"
    if wish.automatic and (words := is_held(standing)):
        return words
    if waiting and waiting.version == version and (wish.automatic or _same(wish, waiting)):
        on_record(wish.application, version, waiting.mode, wish.by)
        return f"release {version} is the {waiting.mode} already, at {waiting.share:g}; {kept} until it is settled"
    if wish.automatic and waiting and waiting.mode == "canary" and waiting.version != version:
        return f"{waiting.version} is the canary until it is settled, so {version} is not judged; {kept}"
    why = standing.withdrawn.get(version)
    if why is not None and not wish.again:
        return f"{version} was withdrawn ({why}), not released again; {kept}. {_AGAIN.format(wish.application)}"
    return None


def _same(wish: Wish, waiting: Challenger) -> bool:
    return (wish.mode, wish.share) == (waiting.mode, waiting.share)


def _judged(wish: Wish, version: str, champion: str | None) -> tuple[Judgement, Path]:
    """The duel and the file with its verdict; raises ReleaseRefused where it is lost."""
    application, data = wish.application, settings().data
    live = releases.release_path(application, champion) if champion else None
    judgement = duel(application, read_params(), data / application / "features", data / application / "bundle", live)
    verdict = _verdict_path(application, version)
    facts = {"application": application, "version": version, "champion": champion, "at": now().isoformat()}
    write_json(verdict, facts | judgement.as_json())
    show_duel(application, version, champion, judgement, gain(judgement))
    if not judgement.passed:
        reasons = "; ".join(judgement.reasons)
        audit(application, "refused", champion, version, reasons, wish.by, judgement.difference)
        kept = f"release {champion} stays live" if champion else "nothing is live"
        words = f"{version} is refused, {kept}: {reasons} ({verdict})"
        show_decision(application, f"{application}: {words}")
        raise ReleaseRefused(words)
    return judgement, verdict


def _crown(wish: Wish, version: str, standing: Pointer | None, judgement: Judgement) -> Released:
    champion = standing.version if standing else None
    note = Note("released", wish.by, judgement.difference)
    releases.point(wish.application, version, wish.reason, expected=champion, automatic=wish.automatic, note=note)
    on_record(wish.application, version, "released", wish.by, True)
    words = f"{wish.application}: release {version} is live (before: {champion or 'none'}). {gain(judgement)}"
    return Released(wish.application, version, True, words)


def _challenge(wish: Wish, version: str, standing: Pointer, judgement: Judgement) -> Released:
    mode: Mode = "canary" if wish.mode == "canary" else "shadow"
    note = Note(mode, wish.by, {"share": wish.share, **(judgement.difference or {})})
    terms, expected = (wish.share, mode, wish.reason), standing.version
    releases.challenge(wish.application, version, *terms, expected=expected, automatic=wish.automatic, note=note)
    on_record(wish.application, version, mode, wish.by, True)
    role = f"answers {wish.share:.0%} of the customers" if mode == "canary" else "is asked beside it, unseen"
    words = f"{wish.application}: {standing.version} stays live, {version} {role} ({mode}). {gain(judgement)}"
    return Released(wish.application, standing.version, True, words)


def gain(judgement: Judgement) -> str:
    """The paired difference in words; what rounds to nothing is not called a gain."""
    if judgement.difference is None:
        return f"All {len(judgement.verdicts)} rules passed; there was no champion to compare with."
    mean, low, high = (judgement.difference[name] for name in ("mean", "low", "high"))
    if max(abs(mean), abs(low), abs(high)) < 0.00005:
        return "Against the one before: no difference."
    if abs(mean) < 0.00005:
        return f"Against the one before: between {low:+.4f} and {high:+.4f}, which is noise."
    noise = ", within noise" if low <= 0 <= high else ""
    return f"Against the one before: {mean:+.4f} [{low:+.4f}, {high:+.4f}]{noise}"


def on_record(application: str, version: str, what: str, by: str | None, moved: bool = False) -> None:
    """The reference for the next quality gate and BentoML's store, where the pointer has moved.

    Each is done only where missing: a run killed after the pointer moved is completed by the next. What is not in
    BentoML's store was not completed, for that comes last. The audit line came with the move; only a pointer of an
    older version of the project lacks it.
    """
    if what != "promoted" and (moved or not _is_registered(application, version)):
        _keep_references()  # of a challenger, when it was placed
    _register(application, version, releases.release_path(application, version))
    pointer = releases.pointer(application)
    if pointer is None:
        return
    waiting = pointer.challenger if what in CHALLENGING else None
    share = {"share": waiting.share} if waiting else {}
    if _is_audited(application, version, what, share):
        return
    before, why = (pointer.version, waiting.why) if waiting else (pointer.previous, pointer.why)
    audit(application, what, before, version, why, by, share | _figures(application, version))


def _is_audited(application: str, version: str, what: str, share: Mapping[str, float]) -> bool:
    """Whether the last move was this one; of a version that is live, how it came to be does not matter."""
    kinds = CROWNED if what in CROWNED else (*CROWNED, *CHALLENGING)
    moves = [one for one in read_audit(application) if one.what in kinds]
    if not moves or moves[-1].after != version:
        return False
    return what in CROWNED or (moves[-1].what == what and share.items() <= moves[-1].figures.items())


def _register(application: str, version: str, folder: Path) -> None:
    """`bentoml models list` shows the release, with what it was made from."""
    import bentoml

    tag, facts = f"{application}:{version}", read_json(folder / sealed.RELEASE)
    if _is_registered(application, version):
        return
    labels = {"application": application, "git": facts.get("git", "none")[:40], "dvc": facts.get("dvc", "none")[:40]}
    with bentoml.models.create(tag, labels=labels, metadata={"verdict": facts.get("verdict", "")}) as model:
        shutil.copytree(folder, model.path, dirs_exist_ok=True)


def _is_registered(application: str, version: str) -> bool:
    import bentoml

    return any(str(model.tag) == f"{application}:{version}" for model in bentoml.models.list())


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


def _verdict_path(application: str, version: str) -> Path:
    return settings().home / "verdicts" / application / f"{version}.json"


def _figures(application: str, version: str) -> dict[str, Any]:
    """The paired difference that the duel found; none where there was no champion, or no duel."""
    path = _verdict_path(application, version)
    return dict((read_json(path) if path.exists() else {}).get("difference") or {})
