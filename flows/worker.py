"""The worker of `make up`: registers the deployments of prefect.yaml, switches the watch on, then runs what is due.

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

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first

POOL = "shop"
WATCH = "watch/watch"
PATIENCE_SECONDS = 120.0  # the server's first start writes its tables


def main() -> None:
    """Never returns where all goes well: the process becomes Prefect's own worker."""
    url = os.environ["PREFECT_API_URL"]
    if not answers(f"{url}/health", PATIENCE_SECONDS):
        sys.exit(f"expected Prefect's server at {url}, but it does not answer; see shop/logs/prefect.log")
    _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    _prefect("--no-prompt", "deploy", "--all")
    asyncio.run(_resume(WATCH))
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


async def _resume(deployment: str) -> None:
    """Switch on every schedule of one deployment; the others stay as prefect.yaml has them."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        found = await client.read_deployment_by_name(deployment)
        for schedule in found.schedules:
            await client.update_deployment_schedule(found.id, schedule.id, active=True)


if __name__ == "__main__":
    main()
