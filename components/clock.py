"""What time it is for this shop: the wall clock, or the instant in the file that SHOP_CLOCK names.

Only what acts on the world looks at it (service, flows, feedback, releases), never a stage of the graph.
A replay moves the file from week to week, so that weeks pass in minutes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from components.core.errors import ParamsError
from components.settings import settings


def now() -> datetime:
    """The present instant, UTC; raises ParamsError where SHOP_CLOCK names a file without an ISO instant."""
    file = settings().clock
    if file is None:
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(file.read_text(encoding="utf-8").strip()).astimezone(UTC)
    except (OSError, ValueError) as error:
        raise ParamsError(
            f"SHOP_CLOCK: expected a file with an ISO instant, got {file} ({error}); unset it, or write one"
        ) from None
