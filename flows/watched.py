"""What the watch knows of one application before it looks: the pointer, the release's own dates, the thresholds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components import releases
from components.clock import now
from components.core.application import load_application
from components.core.artifacts import read_json
from components.core.params import parse
from components.monitoring.params import WatchParams
from components.pointers import Pointer

CHANGES: Mapping[str, tuple[str, ...]] = {  # a shop table, and the feedback that adds to it
    "transactions": ("purchase",),
    "behaviour": ("click", "cart"),
    "sales": ("sales",),
}


@dataclass(frozen=True, slots=True)
class Watched:
    """One application at one moment.

    as_of    until when its histories go
    fitted   until when the data went from which its weights were learned; a refresh leaves it as it is
    lineage  names the weights: releases of one lineage differ in their histories only
    kinds    feedback that tells it something, whichever application it was given to
    """

    application: str
    params: WatchParams
    timezone: str
    now: datetime
    pointer: Pointer
    as_of: datetime
    fitted: datetime
    lineage: str
    kinds: frozenset[str]

    @property
    def age_days(self) -> float:
        """Since the data of its weights ended."""
        return (self.now - self.fitted).total_seconds() / 86400

    @property
    def histories_days(self) -> float:
        """Since its histories ended."""
        return (self.now - self.as_of).total_seconds() / 86400

    @property
    def phase(self) -> str:
        """Names the challenge that runs; empty where none does."""
        waiting = self.pointer.challenger
        return f"{waiting.version}@{waiting.since.isoformat(timespec='seconds')}" if waiting else ""


def watched(application: str, params: Mapping[str, Any]) -> Watched | None:
    """None before the first release. `params`: the whole of params.yaml."""
    pointer = releases.pointer(application)
    limits = parse(WatchParams, (params.get("watch") or {}).get(application) or {}, f"watch.{application}")
    if pointer is None:
        return None
    manifest = _manifest(application, pointer.version)
    return Watched(
        application,
        limits,
        str(params.get("timezone", "UTC")),
        now(),
        pointer,
        _as_of(manifest),
        _fitted(manifest),
        _lineage(manifest),
        _kinds(application),
    )


def lineage(application: str, version: str) -> str:
    """Which weights a release has; its version where it is not on the shelf any more."""
    path = releases.releases_folder() / application / version / "manifest.json"
    return _lineage(read_json(path)) if path.is_file() else version


def categories(one: Watched) -> dict[str, str]:
    """Category by product, as the release knows them; empty where it has no catalogue."""
    import polars as pl

    path = releases.release_path(one.application, one.pointer.version) / "catalogue.parquet"
    wanted = {"product_id", "category"}
    if not path.is_file() or not wanted <= set(pl.scan_parquet(path).collect_schema()):
        return {}
    known = pl.read_parquet(path, columns=["product_id", "category"]).drop_nulls()
    return dict(zip(known["product_id"].to_list(), known["category"].to_list(), strict=True))


def _manifest(application: str, version: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(releases.release_path(application, version) / "manifest.json")
    return found


def _fitted(manifest: Mapping[str, Any]) -> datetime:
    tested = manifest.get("tested_as_of")
    return _instant(tested) if tested else _as_of(manifest)


def _as_of(manifest: Mapping[str, Any]) -> datetime:
    return _instant(manifest.get("as_of") or manifest["data"]["as_of"])


def _lineage(manifest: Mapping[str, Any]) -> str:
    """The test figures of all models vouch for the weights; packaging them again changes none."""
    figures = json.dumps(manifest.get("metrics"), sort_keys=True).encode()
    return f"{_fitted(manifest):%Y%m%d}-{hashlib.sha256(figures).hexdigest()[:8]}"


def _instant(text: Any) -> datetime:
    found = datetime.fromisoformat(str(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _kinds(application: str) -> frozenset[str]:
    chosen = load_application(application)
    tables = {*chosen.tables, *chosen.optional}
    return frozenset(kind for table, kinds in CHANGES.items() if table in tables for kind in kinds)
