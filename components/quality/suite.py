"""One Great Expectations suite, read from JSON and run on pandas frames of bounded size."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from components.core.artifacts import read_json
from components.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["schema", "row", "table"]
OnFailure = Literal["quarantine", "set_aside", "report"]
Severity = Literal["critical", "warning", "info"]
LEVELS: tuple[Level, ...] = get_args(Level)
ON_FAILURE: tuple[OnFailure, ...] = get_args(OnFailure)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation as the suite's file states it; `says` is its sentence for people."""

    name: str
    level: Level
    on_failure: OnFailure
    severity: Severity
    says: str
    kind: str
    kwargs: Mapping[str, Any] = field(hash=False)

    @classmethod
    def parse(cls, stated: Mapping[str, Any], where: Path) -> Self:
        """From one entry of the suite; raises DataError where its meta is not ours."""
        meta = stated.get("meta") or {}
        wrong = [name for name, known in (("level", LEVELS), ("on_failure", ON_FAILURE)) if meta.get(name) not in known]
        if wrong or "name" not in meta or stated.get("severity") not in SEVERITIES:
            raise DataError(
                f"{where}: expected meta.name, meta.level of {LEVELS}, meta.on_failure of {ON_FAILURE} and severity of "
                f"{SEVERITIES}, got {stated.get('type')} with {dict(meta)}; complete the entry (docs/data.md)"
            )
        says = str(stated.get("notes") or meta["name"])
        return cls(
            meta["name"], meta["level"], meta["on_failure"], stated["severity"], says, stated["type"], stated["kwargs"]
        )

    @property
    def columns(self) -> list[str]:
        """The columns it reads."""
        return [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one expectation found in one frame; `rows` are positions of failing rows in it."""

    expectation: Expectation
    passed: bool
    checked: int
    rows: Sequence[int]
    observed: Any


class Suite:
    """The expectations of one table."""

    def __init__(self, table: str, expectations: Sequence[Expectation]) -> None:
        self.table, self.expectations = table, tuple(expectations)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The suite at `path`; raises DataError where names repeat or an entry lacks its meta."""
        stated = read_json(path)
        expectations = [Expectation.parse(entry, path) for entry in stated["expectations"]]
        names = [expectation.name for expectation in expectations]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DataError(f"{path}: expected one expectation per name, got {', '.join(repeated)} twice; rename one")
        return cls(stated["name"], expectations)

    def at(self, level: Level) -> list[Expectation]:
        """The expectations of one level, in the file's order."""
        return [expectation for expectation in self.expectations if expectation.level == level]

    def columns(self, level: Level) -> list[str]:
        """The columns that a level reads."""
        return list(dict.fromkeys(column for expectation in self.at(level) for column in expectation.columns))

    def check(self, level: Level, frame: pd.DataFrame) -> list[Outcome]:
        """Outcomes in the file's order; raises DataError where an expectation cannot be evaluated at all."""
        found = {
            result.expectation_config.meta["name"]: result.to_json_dict()
            for result in _definition()
            .get_batch({"dataframe": frame})
            .validate(self._great[level], result_format="COMPLETE")
            .results
        }
        return [self._outcome(expectation, found[expectation.name], len(frame)) for expectation in self.at(level)]

    def _outcome(self, expectation: Expectation, found: Mapping[str, Any], n_rows: int) -> Outcome:
        result = found["result"]
        if "observed_value" not in result and "unexpected_count" not in result:
            raise DataError(
                f"expectations/{self.table}.json: {expectation.name} cannot be evaluated "
                f"({_first_message(found['exception_info'])}); correct its columns and values"
            )
        rows = result.get("unexpected_index_list") or []
        return Outcome(expectation, bool(found["success"]), n_rows, rows, result.get("observed_value"))

    @cached_property
    def _great(self) -> dict[Level, Any]:
        """The levels as Great Expectations' own suites."""
        import great_expectations as gx
        from great_expectations.exceptions import GreatExpectationsError

        try:
            great = {level: gx.ExpectationSuite(name=level, expectations=_stated(self.at(level))) for level in LEVELS}
        except (ValueError, GreatExpectationsError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"expectations/{self.table}.json: {reason}; correct the entry") from None
        self._check_kinds({entry.expectation_type for suite in great.values() for entry in suite.expectations})
        return great

    def _check_kinds(self, known: set[str]) -> None:
        """Great Expectations leaves out a kind that it does not know with no more than a log line."""
        unknown = sorted({expectation.kind for expectation in self.expectations} - known)
        if unknown:
            raise DataError(
                f"expectations/{self.table}.json: expected kinds that Great Expectations has, "
                f"got {', '.join(unknown)}; correct the entry"
            )


def _stated(expectations: Sequence[Expectation]) -> list[dict[str, Any]]:
    """As Great Expectations writes them; of our own meta only the name, to find the result by."""
    return [
        {"type": one.kind, "kwargs": dict(one.kwargs), "meta": {"name": one.name}, "severity": one.severity}
        for one in expectations
    ]


def _first_message(info: Mapping[str, Any]) -> str:
    """Great Expectations reports one exception plainly and several by metric."""
    if "exception_message" in info:
        return str(info["exception_message"])
    return "; ".join(sorted({str(value["exception_message"]) for value in info.values()}))


@cache
def _definition() -> Any:
    """Where Great Expectations takes its frames from: one per process, since making it takes a second."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when the context is made
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)  # it tells 100 lines of its own set-up
    import great_expectations as gx
    from great_expectations.data_context.types import base

    base.logger.setLevel(logging.CRITICAL)  # which this module sets to INFO when it is imported
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = base.ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    return asset.add_batch_definition_whole_dataframe("whole")
