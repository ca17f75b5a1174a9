"""The page on which a person tries the service; plain HTML without anything from elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from serving.schemas import REQUESTS, Problem, Refusal

PAGE = (Path(__file__).parent / "shop.html").read_text(encoding="utf-8")
# nothing but this page's own script and style may run, and nothing may frame it
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'"
)


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


async def openapi(_: Request) -> JSONResponse:
    return JSONResponse(described())


@cache
def described() -> dict[str, Any]:
    """BentoML's description of the service, with every example and the refusals that it leaves out."""
    from serving.service import Shop  # the service mounts these pages, so it is known only later

    found: dict[str, Any] = Shop.openapi_spec.asdict()  # type: ignore[attr-defined]
    found["components"]["schemas"] |= {kind.__name__: kind.model_json_schema() for kind in (Problem,)}
    found["components"]["schemas"]["Refusal"] = Refusal.model_json_schema(ref_template="#/components/schemas/{model}")
    found["components"]["schemas"]["Refusal"].pop("$defs")
    post = found["paths"]["/recommend"]["post"]
    content = post["requestBody"]["content"]["application/json"]
    content["examples"] = {name: {"value": value} for name, value in REQUESTS.items()}
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    said = {"401": "API key missing or wrong", "413": "Body too long", "422": "Wrong field", "503": "No release yet"}
    post["responses"] = {"200": post["responses"][200]}
    post["responses"] |= {status: {"description": text, "content": refusal} for status, text in said.items()}
    return found


pages = Starlette(routes=[Route("/", page), Route("/docs.json", openapi)])
