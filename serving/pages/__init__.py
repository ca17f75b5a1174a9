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
from serving.support_desk import handovers
from serving.support_requests import CORRECTIONS, REPLIES, TAKES
from serving.support_responses import DeliveryOfHandover, HandoverList, HandoverResponse

PAGE = (Path(__file__).parent / "shop.html").read_text(encoding="utf-8")
# nothing but this page's own script and style may run, and nothing may frame it
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'"
)


EXAMPLES = {
    "/recommend": REQUESTS,
    "/demand/forecast": FORECASTS,
    "/demand/order": ORDERS,
    "/support/reply": REPLIES,
    "/support/correction": CORRECTIONS,
    "/support/handovers/take": TAKES,
    "/feedback": EVENTS,
}


ANSWERED_BY_A_RELEASE = ("/recommend", "/demand/forecast", "/demand/order")
WAITING = "/support/handovers"


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


async def openapi(_: Request) -> JSONResponse:
    return JSONResponse(described())


async def status(_: Request) -> JSONResponse:
    return JSONResponse(bentoml.get_current_service().status())


async def waiting(request: Request) -> JSONResponse:
    return await handovers(bentoml.get_current_service().support.handovers, request.query_params)


@cache
def described() -> dict[str, Any]:
    """BentoML's description of the service, with every example and the refusals that it leaves out."""
    from serving.service import Shop  # the service mounts these pages, so it is known only later

    found: dict[str, Any] = Shop.openapi_spec.asdict()  # type: ignore[attr-defined]
    schemas = found["components"]["schemas"]
    for kind in (Near, Problem, Refusal, DeliveryOfHandover, HandoverResponse, HandoverList):
        schemas[kind.__name__] = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[kind.__name__].pop("$defs", None)
    for path, examples in EXAMPLES.items():
        post = found["paths"][path]["post"]
        post["requestBody"]["content"]["application/json"]["examples"] = {
            name: {"value": value} for name, value in examples.items()
        }
        post["responses"] = {"200": post["responses"][200]} | _refusals(path)
    found["paths"][WAITING] = {"get": _listing()}
    return found


def _listing() -> dict[str, Any]:
    """What nobody posts, so that BentoML does not describe it."""
    where = {
        "state": {"enum": ["open", "taken", "all"], "default": "open"},
        "after": {"default": 0},
        "most": {"default": 50},
    }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/HandoverList"}}}
    refusals = {status: refusal for status, refusal in _refusals(WAITING).items() if status != "413"}
    return {
        "summary": "Messages that wait for a person, the oldest first.",
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in where.items()],
        "responses": {"200": {"description": "A page of them", "content": content}} | refusals,
    }


def _refusals(path: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    said = {"401": "API key missing or wrong", "413": "Body too long", "422": "Wrong field", "503": "No release yet"}
    if path.startswith("/demand"):
        said["404"] = "Unknown series or category; the nearest are named"
    if path == "/support/handovers/take":
        said |= {"404": "No such handover", "409": "Somebody else has taken it"}
    if path == "/support/reply":
        said["503"] = "No release yet, or a handover could not be kept"
    elif path not in ANSWERED_BY_A_RELEASE:
        said["503"] = "The store cannot be used; nothing is kept"
    return {status: {"description": text, "content": content} for status, text in sorted(said.items())}


pages = Starlette(
    routes=[Route("/", page), Route("/docs.json", openapi), Route("/status", status), Route(WAITING, waiting)]
)
