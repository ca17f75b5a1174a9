"""How much memory a model may take, asked before it starts and not found out by being killed."""

from __future__ import annotations

from pathlib import Path

import psutil

from components.core.errors import DoesNotFit
from components.settings import settings

GIB = 1024**3
MODEL_SHARE = 0.75  # of machine or container; the rest is for the system and what runs beside the model
_CGROUP = Path("/sys/fs/cgroup")


def memory_allowed() -> int:
    """Bytes that one model may take: SHOP_MEMORY_GIB, or else a share of what machine and container have in all.

    Not of what is free now: that a model stepped aside is a result that is kept, so it must not
    depend on what else happened to run.
    """
    ceiling = settings().memory_gib
    if ceiling is not None:
        return int(ceiling * GIB)
    return int(MODEL_SHARE * min(psutil.virtual_memory().total, _container_limit()))


def require_memory(what: str, needed: int) -> None:
    """Raise DoesNotFit, with both figures, where `what` would take more than `memory_allowed`."""
    allowed = memory_allowed()
    if needed > allowed:
        raise DoesNotFit(
            f"{what}: expected at least {needed / GIB:.2f} GiB of memory, got {allowed / GIB:.2f}; "
            "use a larger machine, raise SHOP_MEMORY_GIB or take the model out of params.yaml"
        )


def _container_limit() -> int:
    # psutil sees the whole machine even where a container may use only a part of it.
    try:
        return int((_CGROUP / "memory.max").read_text())
    except (OSError, ValueError):  # no container, or "max"
        return psutil.virtual_memory().total
