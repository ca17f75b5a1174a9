"""Profiles: named blocks under `profiles` in params.yaml, written over its other blocks when asked for.

Applied to the file itself, comments kept, so that what ran is what stands in params.yaml.
A value of null takes a name out: a parameter has its default again, a model is no longer trained.
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
                yield f"{dotted}: {_short(target.pop(key))} -> taken out"
        elif isinstance(value, MutableMapping) and isinstance(target.get(key), MutableMapping):
            yield from _merge(target[key], value, f"{dotted}.")
        elif isinstance(value, MutableMapping) and value and not _stated(value):
            continue  # it only takes names out, and the block has none
        elif target.get(key, ...) != value:
            stated = _stated(value)
            yield f"{dotted}: {_short(target[key]) if key in target else 'not there'} -> {_short(stated)}"
            target[key] = stated


def _stated(value: Any) -> Any:
    """A block without its nulls and without inner blocks of nulls only, to be written where there is none yet."""
    if not isinstance(value, MutableMapping):
        return value
    kept = {key: _stated(inner) for key, inner in value.items() if inner is not None}
    return {key: inner for key, inner in kept.items() if inner != {} or value[key] == {}}


def _short(value: Any) -> str:
    words = str(dict(value) if isinstance(value, MutableMapping) else value)
    return words if len(words) <= 60 else f"{words[:57]}..."
