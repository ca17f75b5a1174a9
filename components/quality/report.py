"""The outcome of a validation: as JSON for programs, as one offline page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

QUARANTINE_TO_LIMIT = "quarantine_to_limit"
Verdict = Literal["passed", "warnings", "failed", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One expectation over the whole table. `observed` is the fact's value, or the share of failing rows."""

    name: str
    says: str
    severity: str
    level: str
    on_failure: str
    passed: bool
    checked: int
    failed: int
    observed: Any
    expected: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is known after a validation; counts are rows."""

    table: str
    as_of: str | None
    timezone: str
    collected: int
    accepted: int
    quarantined: int
    set_aside: int
    quarantine_share_max: float
    findings: Sequence[Finding]
    missing_columns: Sequence[str] = ()
    weeks: Sequence[Mapping[str, Any]] = ()
    examples: Sequence[Mapping[str, Any]] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    reference_as_of: str | None = None
    absent: bool = False

    @property
    def verdict(self) -> Verdict:
        if self.absent:
            return "missing"
        failing = {finding.severity for finding in self.findings if not finding.passed}
        return "failed" if "critical" in failing else "warnings" if "warning" in failing else "passed"

    def sentence(self) -> str:
        """The verdict in one line, with the reasons that decided it."""
        if self.absent:
            return f"{self.table}: the shop has no such table; what needs it is switched off"
        decisive = "critical" if self.verdict == "failed" else "warning"
        failing = [finding for finding in self.findings if not finding.passed and finding.severity == decisive]
        reasons = [self._too_many() if one.name == QUARANTINE_TO_LIMIT else reason(one) for one in failing]
        counts = f"{self.accepted:,} of {self.collected:,} rows accepted, {self.quarantined:,} quarantined"
        counts += f", {self.set_aside:,} set aside" if self.set_aside else ""
        if self.verdict == "failed":
            return f"{self.table}: expected sound data, but {'; '.join(reasons)} ({counts})"
        return f"{self.table}: {counts}" + (f"; warnings: {'; '.join(reasons)}" if reasons else "")

    def _too_many(self) -> str:
        """Why rows were quarantined, where they are too many: a ratio alone would help nobody."""
        share = self.quarantined / max(self.collected, 1)
        bad = [one for one in self.findings if one.on_failure == "quarantine" and one.failed]
        why = ", ".join(reason(one) for one in sorted(bad, key=lambda one: -one.failed)[:3])
        return f"{share:.1%} of the rows are quarantined where {self.quarantine_share_max:.1%} may be ({why})"

    def to_json(self) -> dict[str, Any]:
        """JSON values; the same data gives the same bytes."""
        return {"verdict": self.verdict, "sentence": self.sentence()} | asdict(self)


def reason(finding: Finding) -> str:
    """What failed, in figures: "rows_ratio 0.4 (expected >= 0.8)", "product_known: 12 rows"."""
    if finding.level == "row":
        return f"{finding.name}: {finding.failed:,} rows"
    return f"{finding.name} {shown(finding.observed)} (expected {finding.expected})"


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def expected(kwargs: Mapping[str, Any]) -> str:
    """The range or set that an expectation states, as people read it."""
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    bounds = []
    if low is not None:
        bounds.append(f"{'>' if kwargs.get('strict_min') else '≥'} {shown(low)}")
    if high is not None:
        bounds.append(f"{'<' if kwargs.get('strict_max') else '≤'} {shown(high)}")
    if "value_set" in kwargs:
        bounds.append("one of " + ", ".join(map(shown, kwargs["value_set"])))
    if "value_pairs_set" in kwargs:
        bounds.append(", ".join(f"{name} {kind}" for name, kind in kwargs["value_pairs_set"]))
    return " and ".join(bounds) or "present"


def as_html(report: Report) -> str:
    """One page without scripts and without anything fetched from elsewhere."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["shown"] = shown
    return environment.get_template("report.html.j2").render(report=report, bars=_bars(report.weeks))


def _bars(weeks: Sequence[Mapping[str, Any]], width: int = 960, height: int = 150) -> list[dict[str, Any]]:
    """One bar per week: where it stands in the picture and what it says."""
    if not weeks:
        return []
    step, highest = width / len(weeks), max(week["rows"] for week in weeks)
    labels = _labels([week["week"] for week in weeks], step)
    return [
        {
            "x": round(place * step, 2),
            "width": round(max(step - 2, 0.5), 2),
            "y": round(height * (1 - week["rows"] / highest), 2),
            "height": round(height * week["rows"] / highest, 2),
            "week": week["week"],
            "rows": week["rows"],
            "label": labels.get(place, ""),
        }
        for place, week in enumerate(weeks)
    ]


def _labels(weeks: Sequence[str], step: float, room: float = 60.0) -> dict[int, str]:
    """The months by the place of their first week, leaving out those without room for their text."""
    labels: dict[int, str] = {}
    for place, week in enumerate(weeks):
        starts = place > 0 and week[:7] != weeks[place - 1][:7]
        if starts and (not labels or (place - max(labels)) * step >= room):
            labels[place] = week[:7]
    return labels
