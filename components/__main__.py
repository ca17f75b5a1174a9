"""One stage of the loop, as DVC runs it: `python -m components STAGE APPLICATION_OR_TABLE [MODEL]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from components.core.errors import ShopError
from components.logs import set_up_logs
from components.settings import settings

STAGES = ("collect", "validate", "featurise", "train", "ensemble", "evaluate", "package")


def parser() -> argparse.ArgumentParser:
    """The command line; tests hold dvc.yaml against it."""
    commands = argparse.ArgumentParser(prog="python -m components", description=__doc__)
    commands.add_argument("stage", choices=STAGES)
    commands.add_argument("subject", help="a shop table for collect and validate, else an application")
    commands.add_argument("model", nargs="?", help="for train: a file in components/<application>/models/")
    return commands


def main(arguments: list[str] | None = None) -> int:
    """Run the stage; a mistake that the user can mend is one line and exit 1."""
    asked = parser().parse_args(arguments)
    if (asked.model is not None) != (asked.stage == "train"):
        parser().error("train takes an application and a model; every other stage one name")
    set_up_logs(settings().log_level, settings().log_json)
    sys.path.insert(0, str(Path.cwd()))
    run = getattr(importlib.import_module(f"components.stages.{asked.stage}"), asked.stage)
    try:
        run(*filter(None, (asked.subject, asked.model)))
    except ShopError as error:
        sys.stderr.write(f"{asked.stage} {asked.subject}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
