"""Replay a shop's recorded weeks through the whole loop, in four arms; a table, a page and a JSON file at the end.

python -m benchmarks.replay [--small] [--weeks N] [--arms loop frozen weekly explore] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import flows  # noqa: F401 - sets the environment that Prefect reads on import, so it comes first

from rich.console import Console  # isort: skip

from benchmarks.replay.arm import ARMS, play
from benchmarks.replay.history import History, complete_journey, small
from benchmarks.replay.page import print_tables, write_page
from benchmarks.replay.results import LAST, comparisons, opinions_of, retrains_of, row_of
from benchmarks.replay.shop import ReplayShop
from components.core.artifacts import write_json
from flows.server import quieten, some_server

FIRST = "first"  # the shop as it is when its first release goes live; every arm starts as a copy of it


def replay(history: History, arms: Sequence[str], root: Path, side_by_side: int, console: Console) -> dict[str, Any]:
    """Play all arms and compare them; writes replay.json and replay.html into `root`."""
    from prefect.settings import PREFECT_API_URL

    with some_server():
        shops = _shops(history, arms, root, str(PREFECT_API_URL.value()), console)
        with ThreadPoolExecutor(side_by_side) as lanes:
            said = [lanes.submit(play, ARMS[name], shop, console.print) for name, shop in shops.items()]
            for one in said:
                one.result()
    result = summary(history, shops)
    write_json(root / "replay.json", result)
    write_page(root / "replay.html", result, shops)
    return result


def summary(history: History, shops: dict[str, ReplayShop]) -> dict[str, Any]:
    """Everything that the table and the page show."""
    weeks = min(LAST, history.last - history.trained)
    watched = next((shop for name, shop in shops.items() if name == "loop"), next(iter(shops.values())))
    return {
        "data": history.name,
        "from_week": history.trained + 1,
        "to_week": history.last,
        "last": weeks,
        "arms": [row_of(name, shop, weeks) for name, shop in shops.items()],
        "comparisons": comparisons({name: shop.root for name, shop in shops.items()}, weeks),
        "retrains": retrains_of(watched),
        "opinions": [each for name, shop in shops.items() if ARMS[name].explores for each in opinions_of(shop)],
    }


def _shops(
    history: History, arms: Sequence[str], root: Path, prefect_url: str, console: Console
) -> dict[str, ReplayShop]:
    first = ReplayShop(root / FIRST, history, prefect_url)
    if not (root / FIRST / "shop" / "live").is_dir():
        began = time.monotonic()
        first = ReplayShop.make(root / FIRST, history, prefect_url, history.params)
        first.run("flows.pipeline", "--reason", f"week {history.trained}")
        console.print(f"first release after week {history.trained}: {time.monotonic() - began:.0f} s")
    return {name: _arm(name, root, first) for name in arms}


def _arm(name: str, root: Path, first: ReplayShop) -> ReplayShop:
    if (root / name).is_dir():  # a replay that was interrupted
        return ReplayShop(root / name, first.history, first.prefect_url)
    explored = {**first.history.params["recommendation"], "exploration": {"share": ARMS[name].explores}}
    shop = first.like(root / name, {**first.history.params, "recommendation": explored})
    if ARMS[name].explores:  # the copied release does not: the same weights again, packed to explore
        shop.run("flows.retrain", "--refresh", "--applications", "recommendation", "--reason", "to explore")
    return shop


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a generated shop of sixty customers")
    parser.add_argument("--weeks", type=int, help="play only so many weeks (default: all that are recorded)")
    parser.add_argument("--households", type=int, default=800, help="of the default data")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--side-by-side", type=int, default=2, help="arms played at once")
    parser.add_argument("--keep", type=Path, help="work here and keep it; the same folder again goes on")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Replay, then print the tables and where the page is."""
    asked, console = _arguments(words), Console(width=None if sys.stdout.isatty() else 160)
    quieten()
    history = small(asked.weeks or 3) if asked.small else complete_journey(asked.households)
    if asked.weeks and not asked.small:
        history = replace(history, last=min(history.last, history.trained + asked.weeks))
    with ExitStack() as stack:
        root = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replay-")))
        result = replay(history, asked.arms, root.absolute(), asked.side_by_side, console)
        print_tables(console, result)
        if asked.keep:
            console.print(f"page: {root / 'replay.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
