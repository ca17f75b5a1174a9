"""Profiles: named blocks under `profiles` in params.yaml, written over its other blocks when asked for.

Applied to the file itself, comments kept, so that what ran is what stands in params.yaml.
A value of null takes a name out, so that its default holds again.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from components.core.errors import ParamsError
from components.core.params import PARAMS_FILE, read_params


def apply_profile(name: str, path: Path = PARAMS_FILE) -> list[str]:
    """Write profile `name` into params.yaml; returns what changed, in words (nothing: it was in force)."""
    from dvc.utils.serialize import modify_yaml

    known = read_params(path).get("profiles") or {}
    if name not in known:
        raise ParamsError(
            f"expected a profile of {path} ({', '.join(known) or 'none'}), got {name!r}; name one of these"
        )
    if not list(_merge(read_params(path), known[name] or {})):
        return []  # the file keeps its bytes and its time
    with modify_yaml(path) as params:
        return list(_merge(params, known[name] or {}))


def _merge(target: MutableMapping[str, Any], wanted: MutableMapping[str, Any], where: str = "") -> Iterator[str]:
    for key, value in wanted.items():
        dotted = f"{where}{key}"
        if value is None:
            if key in target:
                yield f"{dotted}: {_short(target.pop(key))} -> its default"
        elif isinstance(value, MutableMapping) and isinstance(target.get(key), MutableMapping):
            yield from _merge(target[key], value, f"{dotted}.")
        elif target.get(key, ...) != value:
            yield f"{dotted}: {_short(target[key]) if key in target else 'its default'} -> {_short(value)}"
            target[key] = value


def _short(value: Any) -> str:
    words = str(dict(value) if isinstance(value, MutableMapping) else value)
    return words if len(words) <= 60 else f"{words[:57]}..."
