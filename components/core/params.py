"""Parameters: frozen pydantic models over params.yaml; an unknown name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from components.core.errors import ParamsError

PARAMS_FILE = Path("params.yaml")


class Params(BaseModel):
    """Numbers that change an artefact. Defaults live here, departures in params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=Params)


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """The whole of params.yaml as plain dictionaries."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"expected {path} in {Path.cwd()}; run from the project's root") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(loaded, dict):
        raise ParamsError(f"{path} should hold named blocks, but it holds {type(loaded).__name__}")
    return loaded


def section(params: dict[str, Any], dotted: str) -> dict[str, Any]:
    """The block at `dotted` ("recommendation.models.als"); an empty block where it says nothing."""
    block: Any = params
    for key in dotted.split("."):
        if not isinstance(block, dict) or key not in block:
            raise ParamsError(f"params.yaml has no block {dotted!r} ({key!r} is missing); add it")
        block = block[key]
    return {} if block is None else dict(block)


def parse(params_class: type[P], values: dict[str, Any], where: str) -> P:
    """`values` as `params_class`; says where in params.yaml the mistake stands."""
    try:
        return params_class.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{where}.{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        known = ", ".join(params_class.model_fields) or "none"
        raise ParamsError(f"params.yaml: {problems}. Known names: {known}") from None
