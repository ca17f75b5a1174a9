"""The next item of an anonymous session: nearest sessions, networks and their ensembles.

    python -m benchmarks.sessions DIR [--minutes 15] [--json OUT]

DIR holds train.parquet (session_no in order of time, items) and test.parquet (items, target), as
SR-GNN (Wu et al. 2019) prepared Yoochoose and Diginetica: every prefix of a training session is
learned from, all items are ranked, also those already in the session. The last sessions of the
training file are the validation; what it chose is fitted again on the whole file before the test.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.next_item import Questions, Task, events_table, questions_of, run
from benchmarks.report import publish
from benchmarks.sequential import chosen, within
from components.logs import set_up_logs

METRICS = ("mrr@20", "hr@20", "ndcg@20", "mrr@10", "hr@10")
VALID_SHARE = 0.08  # of the training sessions: about as long a time as the test's
MAX_VALIDATION = 2500  # sessions whose prefixes are asked
DAY = 1024  # events that make a day: the data knows only their order


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sessions", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a folder with train.parquet and test.parquet")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--minutes", type=float, default=15, help="of training, shared by the networks")
    parser.add_argument("--models", help="only these, with commas; default: all in benchmarks/sessions.yaml")
    asked = parser.parse_args(arguments)
    set_up_logs("INFO")
    members, ensembles = chosen(Path(__file__).with_suffix(".yaml"), asked.data.name, asked.models)
    started = time.perf_counter()
    # Halved, for every network is fitted twice: before validation and before the test.
    answer = run(by_time(asked.data), within(members, asked.minutes / 2), ensembles)
    publish("sessions", asked.data.name, **answer, json_file=asked.json)
    print(f"{time.perf_counter() - started:.0f} seconds in all")


def by_time(folder: Path) -> Task:
    """Training sessions, the last of them as validation questions, and the test file."""
    train, test = (pl.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    catalogue = pl.concat([train["items"].explode(), test["items"].explode(), test["target"]]).unique().sort()
    codes = np.arange(len(catalogue))

    def coded(items: pl.Series) -> pl.Series:
        return items.list.eval(pl.element().replace_strict(catalogue, codes))

    sessions = train.sort("session_no").select(pl.col("session_no").alias("customer"), items=coded(train["items"]))
    n_known = int(sessions.height * (1 - VALID_SHARE))
    later = sessions.slice(n_known)
    asked = later.sample(min(MAX_VALIDATION, later.height), seed=0)["items"]
    return Task(
        name="sessions",
        data=folder.name,
        train=session_events(sessions.head(n_known)),
        valid=None,
        final=session_events(sessions),
        validation=prefixes(asked),
        test=questions_of(coded(test["items"]), test["target"].replace_strict(catalogue, codes).to_numpy(), 1 / DAY),
        n_items=len(catalogue),
        metrics=METRICS,
        unseen=False,
        top=30,
    )


def session_events(sessions: pl.DataFrame) -> pl.DataFrame:
    """Each session is a customer with one basket; the last event of all is the latest."""
    left = pl.len() - pl.int_range(pl.len())
    return events_table(sessions, lambda place, length: left / DAY, pl.col("customer"))


def prefixes(items: pl.Series) -> Questions:
    """Every prefix of every session, and the item after it."""
    pairs = [(row[:end], row[end]) for row in items.to_list() for end in range(1, len(row))]
    lists = pl.Series([before for before, _ in pairs], dtype=pl.List(pl.Int32))
    return questions_of(lists, np.array([after for _, after in pairs]), 1 / DAY)


if __name__ == "__main__":
    main()
