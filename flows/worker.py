"""The worker of `make up`: registers the deployments of prefect.yaml, switches the watch on, then runs what is due.

Registering a deployment makes its schedules anew, as prefect.yaml has them. Those that a person switched on stay on:
which they were is on disk meanwhile, so that a start that is killed or fails half-way does not forget them.

python -m flows.worker
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection
from typing import TYPE_CHECKING

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first
from components.core.artifacts import read_json, write_json
from components.settings import settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

POOL = "shop"
WATCH = "watch/watch"
PATIENCE_SECONDS = 120.0  # the server's first start writes its tables


def main() -> None:
    """Never returns where all goes well: the process becomes Prefect's own worker."""
    url = os.environ["PREFECT_API_URL"]
    if not answers(f"{url}/health", PATIENCE_SECONDS):
        sys.exit(f"expected Prefect's server at {url}, but it does not answer; see shop/logs/prefect.log")
    _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    deploy()
    os.execvp("prefect", ["prefect", "worker", "start", "--pool", POOL, "--name", POOL])  # noqa: S606 - no shell


def answers(url: str, patience_seconds: float) -> bool:
    """Whether `url` answers 200 within the time."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)


def _prefect(*words: str) -> None:
    subprocess.run(["prefect", *words], check=True)


def deploy() -> None:
    """Register what prefect.yaml has; the watch and what was switched on before are on afterwards."""
    note = settings().home / "switched-on.json"
    on = {*asyncio.run(_switched_on()), *(read_json(note) if note.is_file() else ())}
    write_json(note, sorted(on))
    _prefect("--no-prompt", "deploy", "--all")
    asyncio.run(_switch_on({WATCH, *on}))
    note.unlink()


async def _switched_on() -> list[str]:
    """Deployments with a schedule that is active, as "flow/deployment"."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        named = await _deployments(client)
    return [name for name, one in named.items() if any(schedule.active for schedule in one.schedules)]


async def _switch_on(names: Collection[str]) -> None:
    """Every schedule of these deployments, unless one is active already; the others stay as prefect.yaml has them."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        for name, one in (await _deployments(client)).items():
            if name in names and not any(schedule.active for schedule in one.schedules):
                for schedule in one.schedules:
                    await client.update_deployment_schedule(one.id, schedule.id, active=True)


async def _deployments(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """By "flow/deployment", as people write it."""
    names = {flow.id: flow.name for flow in await client.read_flows()}
    return {f"{names[one.flow_id]}/{one.name}": one for one in await client.read_deployments()}


if __name__ == "__main__":
    main()
