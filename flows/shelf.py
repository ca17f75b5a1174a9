"""The shelf and the audit log of one application as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from components import releases, sealed
from components.audit import read_audit
from components.core.artifacts import read_json
from components.pointers import Pointer


def shelf_table(application: str) -> Table:
    """Every release with its state, the one placed first before the others."""
    releases.complete(application)
    pointer = releases.pointer(application)
    held = pointer.held if pointer else None
    caption = f"held since {held.at:%Y-%m-%d %H:%M} UTC: {held.why}" if held else None
    table = _table(f"releases of {application}", caption, ("", "version", "placed at", "why", "commit"))
    for version in releases.versions(application):
        facts = read_json(releases.release_path(application, version) / sealed.RELEASE)
        shown = (str(facts.get("at", ""))[:19], facts.get("reason", ""), facts.get("git", "")[:12])
        _add(table, _state(pointer, version), version, *shown)
    return table


def log_table(application: str) -> Table:
    """Every decision, oldest first."""
    releases.complete(application)
    table = _table(f"decisions about {application}", None, ("at", "what", "from", "to", "why", "by", "figures"))
    for one in read_audit(application):
        told = (one.what, one.before or "", one.after or "", one.why, one.by, _figures(one.figures))
        _add(table, f"{one.at:%Y-%m-%d %H:%M:%S}", *told)
    return table


TABLES: Mapping[str, Callable[[str], Table]] = {"list": shelf_table, "log": log_table}


def _state(pointer: Pointer | None, version: str) -> str:
    if pointer is None:
        return ""
    waiting = pointer.challenger
    if version == pointer.version:
        return "live, held" if pointer.held else "live"
    if waiting and version == waiting.version:
        return f"{waiting.mode} {waiting.share:.0%}"
    return "withdrawn" if version in pointer.withdrawn else ""


def _figures(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in figures.items() if not isinstance(value, Mapping))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(title: str, caption: str | None, columns: tuple[str, ...]) -> Table:
    table = Table(title=Text(title), caption=Text(caption) if caption else None)
    for column in columns:
        table.add_column(column, no_wrap=column in ("", "version", "from", "to"))
    return table


def _add(table: Table, *cells: str) -> None:
    """What people wrote is text, whatever brackets it has."""
    table.add_row(*map(Text, map(str, cells)))
