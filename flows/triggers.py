"""Asking for a retrain: an event for Prefect's server, on which an automation of prefect.yaml starts the flow.

Plain HTTP, so that whoever has a reason may ask; the service needs no Prefect for it (docs/operate.md has the line
for curl).
"""

from __future__ import annotations

import base64
import json
import os
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

EVENT = "shop.retrain"
FLOW = "retrain"
SECONDS = 10.0
UNDER_WAY = ("Running", "Pending", "Late", "AwaitingConcurrencySlot", "Retrying", "AwaitingRetry", "Cancelling")


@dataclass(frozen=True, slots=True)
class Emitted:
    """Whether the server took the event, in words too."""

    sent: bool
    words: str


def emit(application: str, reason: str, trigger: str, figures: Mapping[str, Any], refit: bool = True) -> Emitted:
    """Post one event; whatever goes wrong is said, not raised, since the next look will post it again.

    Args:
        application: that is to be renewed.
        reason: becomes the flow's parameter, and stands in the audit log.
        trigger: which figure it was.
        figures: what was found, for whoever looks at the event.
        refit: learn the weights anew; otherwise only histories and prepared answers.
    """
    api = os.environ.get("PREFECT_API_URL")
    if not api:
        return Emitted(False, "no PREFECT_API_URL, so nobody was asked; run `python -m flows.retrain` by hand")
    payload = {"reason": reason, "applications": [application], "trigger": trigger, "refit": refit}
    event = {
        "id": str(uuid.uuid4()),
        # by the wall clock, whatever SHOP_CLOCK says: the server passes over events that it takes for old
        "occurred": datetime.now(UTC).isoformat(),
        "event": EVENT,
        "resource": {"prefect.resource.id": f"shop.application.{application}"},
        "payload": {**payload, "figures": dict(figures)},
    }
    try:
        _post(f"{api.rstrip('/')}/events", [event])
    except (OSError, ValueError) as error:
        return Emitted(False, f"Prefect's server at {api} did not take the event ({error}); the next look asks again")
    return Emitted(True, f"asked for by event {EVENT}")


def under_way(application: str) -> bool:
    """Whether a retrain that includes `application` runs or waits; False where no server can say."""
    api = os.environ.get("PREFECT_API_URL")
    if not api:
        return False
    wanted = {"flows": {"name": {"any_": [FLOW]}}, "flow_runs": {"state": {"name": {"any_": UNDER_WAY}}}}
    try:
        runs = json.loads(_post(f"{api.rstrip('/')}/flow_runs/filter", wanted) or b"[]")
        return any(_concerns(run, application) for run in runs)
    except (OSError, ValueError, AttributeError):  # an older server, another API: then the cool-down alone spares it
        return False


def _concerns(run: Mapping[str, Any], application: str) -> bool:
    asked = (run.get("parameters") or {}).get("applications")
    return not asked or application in asked


def _post(url: str, value: Any) -> bytes:
    request = urllib.request.Request(url, json.dumps(value, default=str).encode(), _headers(), method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - the server that a person named
        body: bytes = answer.read()
    return body


def _headers() -> dict[str, str]:
    """With the key or the password that Prefect's own client would send."""
    found = {"Content-Type": "application/json"}
    if key := os.environ.get("PREFECT_API_KEY"):
        found["Authorization"] = f"Bearer {key}"
    elif word := os.environ.get("PREFECT_API_AUTH_STRING"):
        found["Authorization"] = f"Basic {base64.b64encode(word.encode()).decode()}"
    return found
