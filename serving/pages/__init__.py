"""The page on which a person tries the service, plain HTML without anything from elsewhere; what programs may GET."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from serving.demand_requests import FORECASTS, ORDERS
from serving.feedback_schemas import EVENTS
from serving.schemas import REQUESTS, Near, Problem, Refusal

PAGE = (Path(__file__).parent / "shop.html").read_text(encoding="utf-8")
# nothing but this page's own script and style may run, and nothing may frame it
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'"
)


EXAMPLES = {"/recommend": REQUESTS, "/demand/forecast": FORECASTS, "/demand/order": ORDERS, "/feedback": EVENTS}


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


async def openapi(_: Request) -> JSONResponse:
    return JSONResponse(described())


async def status(_: Request) -> JSONResponse:
    return JSONResponse(bentoml.get_current_service().status())


@cache
def described() -> dict[str, Any]:
    """BentoML's description of the service, with every example and the refusals that it leaves out."""
    from serving.service import Shop  # the service mounts these pages, so it is known only later

    found: dict[str, Any] = Shop.openapi_spec.asdict()  # type: ignore[attr-defined]
    schemas = found["components"]["schemas"]
    for kind in (Near, Problem, Refusal):
        schemas[kind.__name__] = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[kind.__name__].pop("$defs", None)
    for path, examples in EXAMPLES.items():
        post = found["paths"][path]["post"]
        post["requestBody"]["content"]["application/json"]["examples"] = {
            name: {"value": value} for name, value in examples.items()
        }
        post["responses"] = {"200": post["responses"][200]} | _refusals(path)
    return found


def _refusals(path: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    said = {"401": "API key missing or wrong", "413": "Body too long", "422": "Wrong field", "503": "No release yet"}
    if path.startswith("/demand"):
        said["404"] = "Unknown series or category; the nearest are named"
    if path == "/feedback":
        said["503"] = "The store cannot be written; nothing of the batch is kept"
    return {status: {"description": text, "content": content} for status, text in sorted(said.items())}


pages = Starlette(routes=[Route("/", page), Route("/docs.json", openapi), Route("/status", status)])
