"""Where a benchmark runs the project's own stages: a folder with params.yaml and a data root of its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


@contextlib.contextmanager
def workspace(kept: Path | None, name: str, application: str, params: dict[str, Any]) -> Iterator[Path]:
    """A folder with the params.yaml and data root that the stages expect, entered and left again.

    Its name holds a digest of the parameters, so that a kept one never answers for others.
    """
    with contextlib.ExitStack() as stack:
        stated = hashlib.sha256(yaml.safe_dump(params).encode()).hexdigest()[:8]
        folder = (kept or Path(stack.enter_context(tempfile.TemporaryDirectory()))) / f"{name}-{stated}"
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "params.yaml").write_text(yaml.safe_dump({application: params}), encoding="utf-8")
        before = os.environ.get("SHOP_DATA")
        os.environ["SHOP_DATA"] = str(folder)
        stack.callback(lambda: os.environ.update(SHOP_DATA=before) if before else os.environ.pop("SHOP_DATA"))
        stack.enter_context(contextlib.chdir(folder))
        yield folder
