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
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from components.core.artifacts import atomic_path, read_json, write_json, write_text
from components.core.errors import QualityFailure
from components.core.folders import replaced_folder
from components.core.params import Params, parse, read_params
from components.core.tables import Table, table_named
from components.quality.conditions import with_conditions
from components.quality.facts import facts, moved, profile, recent_sample, weeks
from components.quality.report import Finding, Report, as_html
from components.quality.suite import Suite
from components.settings import settings

log = logging.getLogger(__name__)

PIECE = 250_000  # rows: the most that is ever a pandas frame
SUITES = Path("expectations")


class QualityParams(Params):
    quarantine_share_max: float = Field(0.02, gt=0, le=1, description="More than this share quarantined stops the run.")


def validate(table: str) -> None:
    """Write accepted and quarantined rows and the report of one table.

    Raises QualityFailure where a critical expectation failed; the report and the quarantine are
    written first, the accepted rows are not.
    """
    here, params = settings(), read_params()
    limits = parse(QualityParams, (params.get("quality") or {}).get(table) or {}, f"quality.{table}")
    gate = Gatekeeper(here.data, table_named(table), limits.quarantine_share_max)
    report = gate.missing() if gate.meta.get("missing") else gate.judge(Suite.load(SUITES / f"{table}.json"))
    folder = here.data / "quality"
    write_json(folder / f"{table}.json", report.to_json())
    write_text(folder / f"{table}.html", as_html(report))
    log.log(logging.INFO if report.verdict == "passed" else logging.WARNING, "%s", report.sentence())
    log.info("%s: report %s", table, folder / f"{table}.html")
    if report.verdict == "failed":
        raise QualityFailure(f"{report.sentence()}; see {folder / f'{table}.html'}")
