"""A duel and a decision as Prefect shows them, beside the run that made them.

Outside of a run, as `rollback` on the command line is, there is nothing to show them beside. The audit log and the
verdict on disk are what counts, so no server that fails here stands in the way of a move.
"""

from __future__ import annotations

import logging
from typing import Any

from flows.duel import Judgement
from flows.standing import Released

log = logging.getLogger(__name__)

Row = dict[str, Any]


def show_duel(application: str, version: str, champion: str | None, judgement: Judgement, difference: str) -> None:
    """What each rule said of the candidate beside the champion; `difference` is the paired one in words."""
    from prefect.artifacts import create_table_artifact

    if not _within_a_run():
        return
    outcome = "passed" if judgement.passed else "refused"
    told = f"{version} against {champion or 'no champion'}: {outcome}. {difference}"
    if judgement.opinion is not None:
        told += f" Second opinion: {judgement.opinion.words}."
    try:
        create_table_artifact(_rows(judgement), key=_key(application, "duel"), description=told)
    except Exception as error:
        log.warning("%s: the duel could not be shown in Prefect: %s", application, error)


def show_decision(application: str, words: str) -> None:
    """What was decided, and why."""
    from prefect.artifacts import create_markdown_artifact

    if not _within_a_run():
        return
    try:
        create_markdown_artifact(words, key=_key(application, "decision"))
    except Exception as error:
        log.warning("%s: the decision could not be shown in Prefect: %s", application, error)


def told(released: Released) -> Released:
    """The same, once it is shown."""
    show_decision(released.application, released.words)
    return released


def _rows(judgement: Judgement) -> list[Row]:
    """One for each rule, then the paired difference, then each figure that no rule is about."""
    ruled = [
        _row(judgement, one.metric) | {"verdict": "passed" if one.passed else "lost", "reason": one.reason}
        for one in judgement.verdicts
    ]
    if (found := judgement.difference) is not None:
        words = f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}], group by group"
        ruled.append(_row(judgement, "paired difference") | {"reason": words})
    names = {row["metric"] for row in ruled}
    return [*ruled, *(_row(judgement, name) for name in judgement.candidate if name not in names)]


def _row(judgement: Judgement, metric: str) -> Row:
    champion = judgement.champion or {}
    figures = {"candidate": judgement.candidate.get(metric), "champion": champion.get(metric)}
    return {"metric": metric, **figures, "verdict": "", "reason": ""}


def _key(application: str, what: str) -> str:
    return f"{application.replace('_', '-')}-{what}"


def _within_a_run() -> bool:
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None
