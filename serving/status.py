"""GET /status: what this process answers from, and what became of what it logged."""

from __future__ import annotations

import os
from typing import Any

from serving.desk import Desk
from serving.journal import Journal
from serving.shadows import Shadows
from serving.since import Bought


def status(desks: list[Desk[Any]], journal: Journal, shadows: Shadows, bought: Bought) -> dict[str, Any]:
    """Plain values; of one process where several serve."""
    return {
        "process": os.getpid(),
        "releases": {desk.live.application: _release(desk) for desk in desks},
        "impressions": journal.status(),
        "shadows": shadows.status(),
        "lines_bought_lately": len(bought),
    }


def _release(desk: Desk[Any]) -> dict[str, Any]:
    live, standing = desk.live, desk.live.standing
    challenger, terms = standing.challenger, standing.terms
    named = None if terms is None else {
        "release": terms.version, "mode": terms.mode, "share": terms.share, "since": terms.since.isoformat(),
        "why": terms.why, "is_loaded": challenger is not None, "trouble": live.challenger_trouble,
        "stepped_in": desk.stepped_in,
    }  # fmt: skip
    return {"live": live.loaded.version if live.loaded else None, "trouble": live.trouble, "challenger": named}
