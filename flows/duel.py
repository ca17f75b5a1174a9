"""The duel before a release: the candidate and the live champion on the same test rows, judged by the gates."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl

from components.core.application import Application, load_application
from components.core.artifacts import folder_bytes
from components.core.bundle import load_bundle
from components.core.errors import ShopError
from components.core.gate import Gate, Verdict, judge_all
from components.core.metrics import bootstrap, columns_of, overall
from components.core.params import section
from components.core.splits import fold_table
from flows.second_opinion import Opinion, Sides, second_opinion

log = logging.getLogger(__name__)

ROUNDING = 1e-9  # in the deciding metric's unit: the same weights under other codes may sum in another order


@dataclass(frozen=True, slots=True)
class Rows:
    """The candidate's test rows, which both must score."""

    queries: pl.DataFrame
    pool: pl.DataFrame
    truth: pl.DataFrame
    features: Path | None = None  # the folder they come from, for figures of all answers together

    @classmethod
    def of(cls, features: Path) -> Rows:
        """The test fold that featurise wrote."""
        queries, pool, truth = (fold_table(features, "test", table) for table in ("queries", "pool", "truth"))
        return cls(queries, pool, truth, features)


@dataclass(frozen=True, slots=True)
class Showing:
    """What one side reached: its scores in the rows' codes, one row of outcomes per group, and what it costs."""

    scores: pl.DataFrame
    outcomes: pl.DataFrame
    figures: dict[str, float]  # metric, or "slice=value/metric", those of summary, and ms_per_query, mb


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all rules said, the paired difference in the deciding metric, and what logged answers say of it."""

    passed: bool
    verdicts: Sequence[Verdict]
    difference: dict[str, float] | None
    candidate: dict[str, float]
    champion: dict[str, float] | None
    opinion: Opinion | None = None

    @property
    def reasons(self) -> list[str]:
        """Why it is refused; where it passed, what each rule found."""
        lost = [verdict.reason for verdict in self.verdicts if not verdict.passed]
        return lost or [verdict.reason for verdict in self.verdicts]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdicts": [asdict(verdict) for verdict in self.verdicts], "reasons": self.reasons}


def duel(application: str, params: Mapping[str, Any], features: Path, bundle: Path, live: Path | None) -> Judgement:
    """Judge the bundle against the floors and, where there is one, the live release.

    Args:
        application: its name.
        params: the whole of params.yaml.
        features: data/<application>/features of the candidate.
        bundle: the candidate's sealed folder.
        live: the champion's folder.

    Raises:
        ArtifactError: the candidate's bundle is not what was sealed.
    """
    chosen, rows = load_application(application), Rows.of(features)
    candidate = show(chosen, rows, bundle, catalogue=bundle)
    champion, note = _champion(chosen, rows, bundle, live)
    values = section(dict(params), application).get("gates") or {}
    gates = chosen.gates(values, features)
    empty = [gate for gate in gates if not _has_rows(gate, candidate)]
    verdicts = judge_all(
        [g for g in gates if g not in empty], candidate.figures, champion.figures if champion else None
    )
    verdicts += [Verdict(True, gate.metric, f"{gate.metric}: no test row is in this slice") for gate in empty]
    if note:
        verdicts.append(Verdict(True, "champion", note))
    opinion = difference = None
    if champion:
        difference = paired_difference(chosen, candidate, champion)
        verdicts.append(against_live(chosen, difference))
        sides = Sides(rows.queries, candidate.scores, champion.scores)
        opinion = second_opinion(chosen, sides, features, bundle, values.get("off_policy_slack"))
        verdicts.append(opinion.verdict)
    return Judgement(
        passed=all(verdict.passed for verdict in verdicts),
        verdicts=verdicts,
        difference=difference,
        candidate=candidate.figures,
        champion=champion.figures if champion else None,
        opinion=opinion,
    )


def show(application: Application, rows: Rows, folder: Path, catalogue: Path | None = None) -> Showing:
    """Score the rows with the bundle in `folder`; `catalogue` is the bundle whose codes the rows carry."""
    bundle = load_bundle(folder)
    queries, pool, back = rows.queries, rows.pool, None
    if catalogue is not None and (recode := recoding(application.name)) is not None:
        queries, pool, back = recode(catalogue, folder, queries, pool)
    scores = bundle.predict(queries, pool)
    scores = back(scores) if back else scores
    outcomes = application.outcomes(scores, rows.queries, rows.truth, rows.pool)
    together = application.summary(scores, rows.features) if rows.features else {}
    costs = {"ms_per_query": application.milliseconds(folder), "mb": folder_bytes(folder) / 1e6}
    return Showing(scores, outcomes, {**figures(application, outcomes), **together, **costs})


def recoding(application: str) -> Callable[..., Any] | None:
    """`recode` of components/<application>/recode.py, where keys are positions in a catalogue that grows."""
    name = f"components.{application}.recode"
    return cast(Callable[..., Any], importlib.import_module(name).recode) if importlib.util.find_spec(name) else None


def figures(application: Application, outcomes: pl.DataFrame) -> dict[str, float]:
    """The mean of each metric over the headline groups, and as "slice=value/metric" within each slice."""
    metrics = [name for name in application.metrics if name in outcomes.columns]
    found = {name: value for name in metrics if (value := overall(outcomes.filter("headline"), name)) is not None}
    for column in application.slices:
        for (value,), part in outcomes.group_by(column, maintain_order=True):
            for name in metrics:
                if value is not None and (mean := overall(part, name)) is not None:
                    found[f"{column}={value}/{name}"] = mean
    return found


def _has_rows(gate: Gate, showing: Showing) -> bool:
    """Whether any test row is in the slice that a rule protects; a small shop may have nobody in it."""
    label, slash, _ = gate.metric.rpartition("/")
    column, _, value = label.partition("=")
    return not slash or (showing.outcomes[column].cast(pl.String) == value).any()


def paired_difference(application: Application, candidate: Showing, champion: Showing) -> dict[str, float]:
    """Candidate minus champion in the deciding metric, group by group: mean and 95 % interval."""
    metric, group = application.primary, application.group
    ours, theirs = candidate.outcomes.filter("headline"), champion.outcomes
    ours = ours.join(theirs.select(group), on=group, how="semi", maintain_order="left")
    theirs = ours.select(group).join(theirs, on=group, how="left", maintain_order="left")
    (our_values, of), (their_values, _) = columns_of(ours, metric), columns_of(theirs, metric)
    return asdict(bootstrap(our_values - their_values, of))


def against_live(application: Application, difference: Mapping[str, float]) -> Verdict:
    """Refused where the whole interval lies on the worse side, however small the loss: losses within a slack add up."""
    metric, (mean, low, high) = application.primary, (difference[name] for name in ("mean", "low", "high"))
    best = high if application.metrics[metric] == "higher" else -low
    name = f"{metric} against the live release"
    words = f"{name}: {mean:+.4g} [{low:+.4g}, {high:+.4g}]"
    if best < -ROUNDING:
        return Verdict(False, name, f"{words}, worse beyond noise: expected an interval that reaches 0")
    return Verdict(True, name, f"{words}, not worse beyond noise")


def _champion(application: Application, rows: Rows, bundle: Path, live: Path | None) -> tuple[Showing | None, str]:
    """The live release on the same rows. One that cannot score them must not bar every later release.

    Any error counts: code that both share has scored the candidate already, so it is the champion's own.
    """
    if live is None:
        return None, ""
    try:
        return show(application, rows, live, catalogue=bundle), ""
    except Exception as error:
        known = isinstance(error, ShopError | pl.exceptions.PolarsError)
        log.warning(
            "%s: the live release cannot score today's rows (%s); only the floors speak",
            live.name,
            error,
            exc_info=not known,
        )
        return None, f"the live {live.name} cannot score today's rows ({error}), so only the floors spoke"
