"""What time it is for this shop: the wall clock, or the instant in the file that SHOP_CLOCK names.

Only what acts on the world looks at it (service, flows, feedback, releases), never a stage of the graph.
A replay moves the file from week to week, so that weeks pass in minutes.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from components.core.errors import ParamsError
from components.settings import settings


def now() -> datetime:
    """The present instant, UTC; raises ParamsError where SHOP_CLOCK names a file without an ISO instant."""
    # reading all settings takes as long as an answer, and every answer is dated
    file = settings().clock if "SHOP_CLOCK" in os.environ else None
    if file is None:
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(file.read_text(encoding="utf-8").strip()).astimezone(UTC)
    except (OSError, ValueError) as error:
        raise ParamsError(
            f"SHOP_CLOCK: expected a file with an ISO instant, got {file} ({error}); unset it, or write one"
        ) from None
