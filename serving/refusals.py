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


def invalid(detail: ErrorDetails, request: type[BaseModel]) -> ProblemDict:
    """What pydantic found wrong with a body."""
    field = ".".join(_cut(str(part)) for part in detail["loc"]) or "body"
    if detail["type"] == "json_invalid":
        return {"field": "body", "problem": detail["msg"], "remedy": "send one JSON object"}
    if detail["type"] == "extra_forbidden":
        known = ", ".join(_fields_at(request, detail["loc"][:-1]))
        return {"field": field, "problem": "no such field", "remedy": f"leave it out; known are {known}"}
    given = _cut(repr(cast(object, detail["input"])))
    return {
        "field": field,
        "problem": f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {given}",
        "remedy": "correct it; GET /docs.json describes every field with examples",
    }


def wrong(error: DataError) -> ProblemDict:
    """Field, problem and remedy of an error worded "field: problem; remedy"."""
    field, _, rest = str(error).partition(": ")
    problem, _, remedy = rest.partition("; ")
    return {"field": field, "problem": problem, "remedy": remedy}


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _fields_at(request: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the part of a request to which `place` leads."""
    for part in place:
        if isinstance(part, str) and part in request.model_fields:
            request = _model_in(request.model_fields[part].annotation) or request
    return list(request.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that an annotation such as `list[Model] | None` names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
