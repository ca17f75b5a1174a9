"""How much memory a model may take, asked before it starts and not found out by being killed."""

from __future__ import annotations

from pathlib import Path

import psutil

from components.core.errors import DoesNotFit
from components.settings import settings

GIB = 1024**3
MODEL_SHARE = 0.75  # of machine or container; the rest is for the system and what runs beside the model
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def require_memory(what: str, needed: int) -> None:
    """Raise DoesNotFit, with both figures, where `what` would take more than one model may.

    The ceiling is SHOP_MEMORY_GIB, or a share of what machine and container have in all; not of what is
    free now, since that a model stepped aside is a result that is kept.
    """
    ceiling = settings().memory_gib
    allowed = ceiling * GIB if ceiling is not None else MODEL_SHARE * min(psutil.virtual_memory().total, _container())
    if needed > allowed:
        raise DoesNotFit(
            f"{what}: expected at least {needed / GIB:.3f} GiB of memory, got {allowed / GIB:.3f}; "
            "use a larger machine, raise SHOP_MEMORY_GIB or take the model out of params.yaml"
        )


def _container() -> float:
    try:
        return float(_CONTAINER_LIMIT.read_text())
    except (OSError, ValueError):  # no container, or "max"
        return float("inf")
