"""How much memory a model may take, asked before it starts and not found out by being killed."""

from __future__ import annotations

from pathlib import Path

import psutil

from components.core.errors import DoesNotFit
from components.settings import settings

GIB = 1024**3
_CGROUP = Path("/sys/fs/cgroup")


def memory_allowed() -> int:
    """Bytes that one model may take: SHOP_MEMORY_GIB, or else what machine and container leave free."""
    ceiling = settings().memory_gib
    if ceiling is not None:
        return int(ceiling * GIB)
    return min(psutil.virtual_memory().available, _container_free())


def require_memory(what: str, needed: int) -> None:
    """Raise DoesNotFit, with both figures, where `what` would take more than `memory_allowed`."""
    allowed = memory_allowed()
    if needed > allowed:
        raise DoesNotFit(
            f"{what}: expected at least {needed / GIB:.2f} GiB of memory, got {allowed / GIB:.2f}; "
            "use a larger machine, raise SHOP_MEMORY_GIB or take the model out of params.yaml"
        )


def _container_free() -> int:
    # psutil sees the whole machine even where a container may use only a part of it.
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return psutil.virtual_memory().total
    return psutil.virtual_memory().total if limit == "max" else max(int(limit) - used, 0)
