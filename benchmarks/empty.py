"""The least that BentoML can answer: the yardstick beside which our own service is timed."""

from __future__ import annotations

import bentoml


@bentoml.service(
    http={"host": "127.0.0.1", "port": 3000}, traffic={"timeout": 30}, logging={"access": {"enabled": False}}
)
class Empty:
    """Set like the shop's service, without anything in it."""

    @bentoml.api(route="/recommend")
    async def empty(self) -> dict[str, str]:
        """Nothing."""
        return {}
