"""Are the reasons true? Takes away what each names, ranks everything anew, and looks whether the item lost.

    python -m benchmarks.reasons                  200 cases of the live release
    python -m benchmarks.reasons --cases 1000 --json FILE

Half of the cases are customers, half are sessions of four of their products; own purchases, which
would otherwise be nine cases in ten, are drawn more rarely. Unlike the choice of a reason, which
keeps an item's rivals as they were, the whole answer is made again: candidates, features, members
and ensemble. An item that is no candidate any more has lost.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import publish
from components import releases
from components.recommendation.answer.answerer import Answerer
from components.recommendation.answer.reasons import Kind, Past, Reason, evidence, without
from components.recommendation.features.histories import Histories

OWN_SHARE = 0.3  # of the own purchases found, so many are tried


def main(arguments: list[str] | None = None) -> None:
    """Sample the live release, print its table, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reasons", description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the result here too")
    asked = parser.parse_args(arguments)
    version = releases.live("recommendation")
    if version is None:
        raise SystemExit("expected a live release to question, found none; run `make loop` first")
    answerer = Answerer.load(releases.release_path("recommendation", version))
    began = time.perf_counter()
    found = faithful(answerer, asked.cases)
    seconds = time.perf_counter() - began
    rows = [_row(kind.name.lower(), [held for of, held in found if of == kind], seconds) for kind in Kind]
    rows.append(_row("all", [held for _, held in found], seconds))
    publish("reasons", f"release {version}", [row for row in rows if row["metrics"]["cases"]], json_file=asked.json)


def _row(name: str, held: list[bool], seconds: float) -> dict[str, Any]:
    metrics = {"cases": float(len(held)), "faithful": float(np.mean(held)) if held else 0.0}
    return {"name": name, "kind": "ensemble", "metrics": metrics, "seconds": seconds}


def faithful(answerer: Answerer, n_cases: int, seed: int = 0) -> list[tuple[Kind, bool]]:
    """Kind of reason, and whether its item scores less without what it names; POPULAR names nothing."""
    random = np.random.default_rng(seed)
    found: list[tuple[Kind, bool]] = []
    while len(found) < n_cases:
        row = int(random.integers(len(answerer.histories)))
        history = answerer.histories.part(row, row + 1)
        if random.random() < 0.5 and len(history.items):
            history = Histories.of_session(random.choice(history.items, 4))
        (ranking,) = answerer.rank(history)
        past = Past(history, ranking, random.choice(ranking.items[:10], 4, replace=False))
        for item, reason in zip(past.items.tolist(), answerer.explain([past])[0], strict=True):
            rare = reason.kind == Kind.OWN and random.random() > OWN_SHARE
            if reason.kind != Kind.POPULAR and not rare:
                found.append((reason.kind, loses(answerer, past, item, reason)))
    return found[:n_cases]


def loses(answerer: Answerer, past: Past, item: int, reason: Reason) -> bool:
    """Whether an item scores less, in an answer made wholly anew, without what its reason names."""
    named = evidence(past.history, item, reason, answerer.statistics)
    (after,) = answerer.rank(without(past.history, named))
    score = past.ranking.scores[past.ranking.items == item][0]
    again = after.scores[after.items == item]
    return bool(named.any()) and (len(again) == 0 or bool(again[0] < score - 1e-9))


if __name__ == "__main__":
    main()
