"""How old the data are by the clock, which no stage may look at, and which tables there are none of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.artifacts import read_json
from components.core.params import parse
from components.stages.validate import QualityParams


@dataclass(frozen=True, slots=True)
class TooOld:
    """A table whose feed seems dead, in words, and whether that bars the release."""

    words: str
    stops: bool


def too_old(data: Path, params: Mapping[str, Any], tables: Iterable[str], now: datetime | None = None) -> list[TooOld]:
    """Tables that end longer ago than `quality.<table>.max_age_days` allows, by what collect wrote.

    A table without a limit, without times or which the shop does not have is never too old.
    """
    found, now = list[TooOld](), now or datetime.now(UTC)
    for table in tables:
        limits = parse(QualityParams, (params.get("quality") or {}).get(table) or {}, f"quality.{table}")
        meta = data / "collected" / table / "meta.json"
        as_of = read_json(meta)["as_of"] if meta.is_file() else None
        if as_of is None or limits.max_age_days is None:
            continue
        days = (now - datetime.fromisoformat(as_of)).total_seconds() / 86400
        if days > limits.max_age_days:
            words = f"{table}: expected data that end at most {limits.max_age_days:g} days ago, got {days:.1f} days"
            words += f" ({as_of}); see to the feed, or raise quality.{table}.max_age_days"
            found.append(TooOld(words, limits.too_old == "stop"))
    return found


def lacking(params: Mapping[str, Any], data: Path) -> set[str]:
    """Stages of tables that the shop does not have and that say so already: running them again would change nothing.

    DVC would, since they look at the end of the purchases, and take two seconds for each.
    """
    named = params.get("sources") or {}
    absent = [
        path.parent.name
        for path in (data / "accepted").glob("*/meta.json")
        if named.get(path.parent.name) is None and read_json(path).get("missing")
    ]
    known = [table for table in absent if _is_missing(data / "collected" / table / "meta.json")]
    return {f"{stage}@{table}" for table in known for stage in ("collect", "validate")}


def _is_missing(meta: Path) -> bool:
    return meta.is_file() and bool(read_json(meta).get("missing"))
