"""What a request gets that cannot be answered: which field is wrong, how, and what to do."""

from __future__ import annotations

from typing import Any, cast, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails
from starlette.responses import JSONResponse

from components.core.errors import DataError
from serving.guard import refusal
from serving.live import Live

SHOWN = 60  # characters of a wrong name or value that a refusal repeats

REMEDY = "correct it; GET /docs.json describes every field with examples"

ProblemDict = dict[str, Any]


def refused(status: int, request_id: str, problems: list[ProblemDict]) -> JSONResponse:
    """Every problem, and the first one as a line."""
    first = refusal(**{name: problems[0][name] for name in ("field", "problem", "remedy")})
    return JSONResponse(first | {"problems": problems, "request_id": request_id}, status_code=status)


def unready(live: Live[Any]) -> ProblemDict:
    """Why nothing answers, and what to do."""
    problem = live.trouble or f"no release of {live.application} is live"
    remedy = f"run `make loop APPS={live.application}`; this service picks it up by itself"
    return {"field": "release", "problem": problem, "remedy": remedy}


def unkept(field: str) -> ProblemDict:
    """What could not be put on disk; where the store is and what ails it is for the log: who sends cannot mend it."""
    return {
        "field": field,
        "problem": "expected a store that can be written, it cannot be now; the log says why",
        "remedy": "send the same again later: it counts once",
    }


def invalid(detail: ErrorDetails, request: type[BaseModel]) -> ProblemDict:
    """What pydantic found wrong with a body."""
    parts, models = _place(request, detail["loc"])
    field = ".".join(_cut(part) for part in parts) or "body"
    if detail["type"] == "json_invalid":
        return {"field": "body", "problem": detail["msg"], "remedy": "send one JSON object"}
    if detail["type"] == "extra_forbidden":
        known = ", ".join(models[0].model_fields)
        return {"field": field, "problem": "no such field", "remedy": f"leave it out; known are {known}"}
    if detail["type"].startswith("union_tag_"):
        given = f"got {_cut(repr(detail['ctx']['tag']))}" if "tag" in detail["ctx"] else "it is missing"
        known = ", ".join(kind for model in models for kind in _kinds(model))
        return {"field": f"{field}.kind", "problem": f"expected a kind, {given}", "remedy": f"name one of {known}"}
    if detail["type"] == "missing":
        return {"field": field, "problem": "expected this field, it is missing", "remedy": REMEDY}
    given = _cut(repr(cast(object, detail["input"])))
    return {
        "field": field,
        "problem": f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {given}",
        "remedy": REMEDY,
    }


def wrong(error: DataError) -> ProblemDict:
    """Field, problem and remedy of an error worded "field: problem; remedy"."""
    field, _, rest = str(error).partition(": ")
    problem, _, remedy = rest.partition("; ")
    return {"field": field, "problem": problem, "remedy": remedy}


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _place(request: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], list[type[BaseModel]]]:
    """The names that lead to a place in a body, and the model (of one kind or another: the models) there.

    Where `kind` decides which model it is, pydantic adds the kind to the names; the sender did not.
    """
    parts, models = [], [request]
    for part in loc:
        of_kind = [model for model in models if part in _kinds(model)] if len(models) > 1 else []
        if of_kind:
            models = of_kind
            continue
        parts.append(str(part))
        known = models[0].model_fields
        if isinstance(part, str) and part in known:
            models = _models_in(known[part].annotation) or models
    return parts, models


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation such as `list[Model | Other] | None` names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
