"""validate: pass on the rows that can be trusted, set the others apart with a reason, or stop the run.

Each table has one Great Expectations suite in expectations/<table>.json. An expectation's `meta` says

    level       schema  on the table's columns and types, before anything else
                row     on the rows, in pieces of bounded size
                table   on facts of the accepted rows (components/quality/facts.py), a frame of one row
    on_failure  of rows: quarantine (broken), set_aside (sound, but no purchase), report (passed on)

and its `severity` what a failure means: critical stops the run, warning and info are reported.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from components.core.artifacts import atomic_path, read_json, write_json, write_text
from components.core.errors import DataError, MissingTable, QualityFailure
from components.core.folders import replaced_folder
from components.core.params import Params, parse, read_params
from components.core.tables import Table, table_named
from components.quality.facts import facts, moved, profile, recent_sample, weeks
from components.quality.labels import labels_of
from components.quality.report import Finding, Report, as_html, expected
from components.quality.sifting import Sieve, Sifted, examples
from components.quality.suite import Expectation, Outcome, Suite
from components.settings import settings

log = logging.getLogger(__name__)

SUITES, COVARIATE = Path("expectations"), "(covariate)"
EVENTS = ("feedback", "impressions")


class QualityParams(Params):
    quarantine_share_max: float = Field(0.02, gt=0, le=1, description="More than this share quarantined stops the run.")
    max_age_days: float | None = Field(
        None, gt=0, description="`pipeline` warns where the data end longer ago; null for data that stand still."
    )
    few_rows: int = Field(0, ge=0, description="So many rows may be quarantined, whatever their share.")
    too_old: Literal["warn", "stop"] = Field("warn", description="`stop`: older data are not released either.")


def validate(table: str) -> None:
    """Write the accepted and the quarantined rows of one table, its profile and its report.

    Raises QualityFailure where a critical expectation failed; the report and the quarantine are
    written first, the accepted rows are not.
    """
    canonical, params = table_named(table), read_params()
    limits = parse(QualityParams, (params.get("quality") or {}).get(table) or {}, f"quality.{table}")
    with replaced_folder(settings().data / "accepted" / table) as folder:
        report = _judge(canonical, limits, folder)
        page = _publish(report)
        if report.verdict == "failed":
            raise QualityFailure(f"{report.sentence()}; see {page}")
    log.log(logging.WARNING if report.verdict == "warnings" else logging.INFO, "%s; see %s", report.sentence(), page)


def _publish(report: Report) -> Path:
    folder = settings().data / "quality"
    write_json(folder / f"{report.table}.json", report.to_json())
    write_text(folder / f"{report.table}.html", as_html(report))
    return folder / f"{report.table}.html"


def _judge(table: Table, limits: QualityParams, folder: Path) -> Report:
    """Fill `folder` with what is accepted, and say what was found on the way."""
    collected, quarantine = settings().data / "collected" / table.name, _quarantine(table)
    meta, parts = read_json(collected / "meta.json"), sorted(collected.glob("part-*.parquet"))
    start = Report(
        table=table.name,
        as_of=meta["as_of"],
        timezone=meta.get("timezone", "UTC"),
        collected=meta["rows"],
        accepted=0,
        quarantined=0,
        set_aside=0,
        quarantine_share_max=limits.quarantine_share_max,
        findings=(),
        missing_columns=meta["missing_columns"],
        source=meta["source"] or {},
        reference_as_of=(meta.get("reference") or {}).get("as_of"),
        absent=bool(meta.get("missing")),
    )
    _empty_quarantine(table, quarantine)
    _keep_profile(table, None)
    write_json(folder / "meta.json", meta)
    if start.absent:
        return start
    suite = Suite.load(SUITES / f"{table.name}.json")
    columns = [_of_table(outcome) for outcome in suite.check("schema", _schema(parts, table))]
    if not all(finding.passed for finding in columns):
        return replace(start, findings=columns)
    return _judge_rows(table, suite, replace(start, findings=columns), meta, limits, folder)


def _judge_rows(
    table: Table, suite: Suite, start: Report, meta: Mapping[str, Any], limits: QualityParams, folder: Path
) -> Report:
    parts = sorted((settings().data / "collected" / table.name).glob("part-*.parquet"))
    until = _expected_until(table, start.as_of)
    ends = until if table.ahead else start.as_of
    labels = labels_of(table, settings().data)
    sieve = Sieve(table, suite, ends, _product_ids(table), start.timezone, _answered(table), labels)
    sifted = sieve.sift(parts, folder, _quarantine(table))
    accepted = sorted(folder.glob("part-*.parquet"))
    sample = recent_sample(accepted, table, start.as_of, start.timezone)
    now = profile(accepted, table, start.as_of, sample) | {"content": meta["content"]}
    known = facts(accepted, table, until, start.timezone)
    known |= moved(now, sample, meta.get("reference"))
    known |= _counted(sifted, limits)
    _keep_profile(table, now)
    write_json(folder / "meta.json", _passed_on(meta, sifted))
    findings = [*start.findings, *(_of_rows(one, sifted) for one in suite.at("row"))]
    findings += [_of_table(outcome, known) for outcome in suite.check("table", _one_row(known, suite))]
    return replace(
        start,
        collected=sifted.collected,
        accepted=sifted.accepted,
        quarantined=sifted.quarantined,
        set_aside=sifted.set_aside,
        findings=findings,
        weeks=weeks(accepted, table, start.timezone),
        examples=examples(_quarantine(table)),
    )


def _expected_until(table: Table, as_of: str | None) -> str | None:
    """The end of the purchases where that is later: by its own newest row a feed that died is fresh for ever.

    Plans have no end of their own, and are measured against the purchases alone.
    """
    sold = settings().data / "collected" / "transactions" / "meta.json"
    if (as_of is None and not table.ahead) or not sold.is_file():
        return as_of
    ends = [end for end in (as_of, read_json(sold)["as_of"]) if end is not None]
    return max(ends, key=datetime.fromisoformat, default=None)


def _counted(sifted: Sifted, limits: QualityParams) -> dict[str, Any]:
    total = max(sifted.collected, 1)
    few = sifted.quarantined <= limits.few_rows
    return {
        "rows": sifted.accepted,
        "set_aside_share": sifted.set_aside / total,
        "quarantine_to_limit": 0.0 if few else sifted.quarantined / total / limits.quarantine_share_max,
    }


def _passed_on(meta: Mapping[str, Any], sifted: Sifted) -> dict[str, Any]:
    """What later stages may know: not the reference, or each release would make them all stale."""
    kept = {key: value for key, value in meta.items() if key not in ("reference", "content", "source")}
    return kept | {"rows": sifted.accepted, "quarantined": sifted.quarantined, "set_aside": sifted.set_aside}


def _schema(parts: list[Path], table: Table) -> Any:
    """Columns and types of the parts, a pandas frame with one row per distinct pair."""
    pairs = {(name, str(kind)) for part in parts for name, kind in pl.read_parquet_schema(part).items()}
    if table.covariates:  # the suite cannot know their names
        pairs = {(name if name in table.schema else COVARIATE, kind) for name, kind in pairs}
    return pl.DataFrame(sorted(pairs), schema=["column", "type"], orient="row").to_pandas()


def _one_row(known: Mapping[str, Any], suite: Suite) -> Any:
    """The facts that the suite names as a pandas frame of one row."""
    unknown = sorted(set(suite.columns("table")) - set(known))
    if unknown:
        raise DataError(
            f"expectations/{suite.table}.json: expected facts ({', '.join(sorted(known))}), "
            f"got {', '.join(unknown)}; correct the suite"
        )
    return pl.DataFrame([{name: known[name] for name in suite.columns("table")}]).to_pandas()


def _of_rows(expectation: Expectation, sifted: Sifted) -> Finding:
    failed = sifted.failed[expectation.name]
    share = failed / max(sifted.collected, 1)
    return _finding(expectation, sifted.passed(expectation), sifted.collected, failed, share)


def _of_table(outcome: Outcome, known: Mapping[str, Any] | None = None) -> Finding:
    observed = outcome.observed if known is None else known[outcome.expectation.columns[0]]
    return _finding(outcome.expectation, outcome.passed, outcome.checked, len(outcome.rows), observed)


def _finding(expectation: Expectation, passed: bool, checked: int, failed: int, observed: Any) -> Finding:
    return Finding(
        name=expectation.name,
        says=expectation.says,
        severity=expectation.severity,
        level=expectation.level,
        on_failure=expectation.on_failure,
        passed=passed,
        checked=checked,
        failed=failed,
        observed=observed,
        expected=expected(expectation.kwargs),
    )


def _product_ids(table: Table) -> pl.Series | None:
    """Ids of the accepted products, or None where this table names none or the shop has no such table."""
    if table.name != "feedback" and (table.name == "products" or "product_id" not in table.schema):
        return None
    folder = settings().data / "accepted" / "products"
    if not (folder / "meta.json").is_file():
        raise MissingTable(f"{table.name}: expected {folder}, by which products are known; validate products first")
    parts = sorted(folder.glob("part-*.parquet"))
    return pl.scan_parquet(parts).select("product_id").collect().to_series() if parts else None


def _answered(table: Table) -> pl.Series | None:
    """The requests that events of this table name and the service has answered; None where nobody can know."""
    if table.name not in EVENTS:
        return None
    own = settings().data / "collected" / table.name
    answers = own if table.name == "impressions" else settings().data / "accepted" / "impressions"
    if not any(answers.glob("part-*.parquet")):
        return None
    named = pl.scan_parquet(own / "part-*.parquet").select("request_id").unique()
    by_service = pl.col("payload").str.json_path_match("$.role") != "shop"
    known = pl.scan_parquet(answers / "part-*.parquet").join(named, on="request_id", how="semi").filter(by_service)
    return known.select(pl.col("request_id").unique()).collect(engine="streaming").to_series()


def _quarantine(table: Table) -> Path:
    return settings().data / "quarantine" / f"{table.name}.parquet"


def _empty_quarantine(table: Table, path: Path) -> None:
    """A declared output exists after every run, also where nothing was wrong or nothing could be read."""
    with atomic_path(path) as file:
        pl.DataFrame(schema=table.schema | {"fate": pl.String(), "reason": pl.String()}).write_parquet(file)


def _keep_profile(table: Table, now: Mapping[str, Any] | None) -> None:
    empty = {"table": table.name, "as_of": None, "rows": 0}
    write_json(settings().data / "quality" / f"{table.name}.profile.json", now or empty)
