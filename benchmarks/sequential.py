"""The next item of a customer's sequence: networks, neighbour models and their ensembles.

    python -m benchmarks.sequential FILE [--minutes 20] [--json OUT]

FILE is Parquet with user_id and items (list, oldest first). Leave-one-out (Kang and McAuley 2018;
BSARec: Shin et al. 2024): the last item is the test, the last but one the validation, the rest is
learned from; every item is ranked except those already in the sequence. No model is fitted again
before the test: it only reads the validation item as history.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from benchmarks.next_item import Questions, Task, events_table, questions_of, run
from benchmarks.report import publish
from components.logs import set_up_logs

METRICS = ("ndcg@10", "hr@10", "ndcg@5", "hr@5", "ndcg@20", "hr@20")
MAX_VALIDATION = 30_000  # questions on which ensembles learn and are chosen; half of so many made the stack lose there


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sequential", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a Parquet file with user_id and items")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--minutes", type=float, default=20, help="of training, shared by the networks")
    parser.add_argument("--models", help="only these, with commas; default: all in benchmarks/sequential.yaml")
    asked = parser.parse_args(arguments)
    set_up_logs("INFO")
    members, ensembles = chosen(Path(__file__).with_suffix(".yaml"), asked.data.parent.name, asked.models)
    started = time.perf_counter()
    answer = run(leave_one_out(asked.data), within(members, asked.minutes), ensembles)
    publish("sequential", asked.data.parent.name, **answer, json_file=asked.json)
    print(f"{time.perf_counter() - started:.0f} seconds in all")


def chosen(file: Path, data: str, only: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Members and ensembles of the block for this data (else `default`), by row name."""
    blocks = yaml.safe_load(file.read_text(encoding="utf-8"))
    block = blocks.get(data, blocks["default"])
    members = {name: values or {} for name, values in block["models"].items()}
    if only is not None:
        members = {name: members[name] for name in only.split(",")}
    return members, block["ensembles"]


def within(members: dict[str, Any], minutes: float) -> dict[str, Any]:
    """The members, with the minutes shared out evenly among those that train by epochs."""
    networks = [name for name, values in members.items() if "epochs" in values]
    return {
        name: values | {"max_minutes": minutes / len(networks)} if name in networks else values
        for name, values in members.items()
    }


def leave_one_out(file: Path) -> Task:
    """The last two items of every sequence as questions, the rest to learn from."""
    sequences = pl.read_parquet(file).filter(pl.col("items").list.len() >= 3)
    catalogue = sequences["items"].explode().unique().sort()
    lists = sequences.select(
        customer=pl.int_range(pl.len(), dtype=pl.Int32),
        items=pl.col("items").list.eval(pl.element().replace_strict(catalogue, np.arange(len(catalogue)))),
    )
    rest = pl.col("items").list.len()
    known = lists.with_columns(pl.col("items").list.head(rest - 2))
    second_last = lists.select("customer", item=pl.col("items").list.get(-2).cast(pl.Int32))
    asked = lists.sample(min(MAX_VALIDATION, lists.height), seed=0)
    return Task(
        name="sequential",
        data=file.parent.name,
        train=events_table(known, lambda place, length: length - place, pl.int_range(pl.len())),
        valid=second_last,
        final=None,
        validation=_asked(asked["items"], 2),
        test=_asked(lists["items"], 1),
        n_items=len(catalogue),
        metrics=METRICS,
        unseen=True,
    )


def _asked(items: pl.Series, n_left: int) -> Questions:
    """What came before the last `n_left` items, and the first of those."""
    before = items.to_frame("items").select(pl.col("items").list.head(pl.col("items").list.len() - n_left))
    return questions_of(before["items"], _item(items, -n_left), 1.0)


def _item(items: pl.Series, place: int) -> np.ndarray:
    answers: np.ndarray = items.list.get(place).to_numpy()
    return answers


if __name__ == "__main__":
    main()
