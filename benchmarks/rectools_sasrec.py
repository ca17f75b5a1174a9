"""RecTools' SASRec under the protocol of benchmarks/sequential.py, in a virtual environment of its own.

RecTools 0.19 pins NumPy below 2 and an older Lightning, so benchmarks.peer_network runs this file as
a script there; nothing of the project is imported. It trains until the minutes are spent and judges
at each tenth of them; weights that answer the validation items better than before are tested. Only
training is timed.

    python -P benchmarks/rectools_sasrec.py SEQUENCES.parquet OUT.json --minutes 20 ...
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import torch
from pytorch_lightning import Callback, Trainer, seed_everything

AT_ONCE = 256
MARKS = 10  # how often it is judged
DAY = pd.Timestamp("2020-01-01")


def main() -> None:
    """Train, judge, write {"curve": [...], "epochs", "seconds"}."""
    asked = arguments()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")
    lists = pl.read_parquet(asked.sequences)["items"].to_list()
    lists = [items for items in lists if len(items) >= 3]
    judges = np.random.default_rng(0).permutation(len(lists))[: asked.max_valid].tolist()
    result = train(asked, lists, judges)
    Path(asked.out).write_text(json.dumps(result), encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sequences")
    parser.add_argument("out")
    for name, default in {"minutes": 20.0, "dropout": 0.2, "learning_rate": 0.001}.items():
        parser.add_argument(f"--{name}", type=float, default=default)
    for name, number in {"dim": 64, "n_blocks": 2, "n_heads": 2, "length": 50, "batch": 128, "max_valid": 5000}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    return parser.parse_args()


def train(asked: argparse.Namespace, lists: list[list[int]], judges: list[int]) -> dict[str, Any]:
    """The curve holds a point each time validation rose: seconds of training, validation and test nDCG@10."""
    from rectools.models import SASRecModel  # type: ignore[import-not-found]  # of another environment

    seed_everything(0)
    curve: list[dict[str, float]] = []

    def judge(seconds: float) -> None:  # a closure: RecTools copies its trainer with all that hangs on it
        valid = ndcg(model, [lists[row][:-2] for row in judges], [lists[row][-2] for row in judges])
        if not curve or valid > curve[-1]["valid"]:
            test = ndcg(model, [items[:-1] for items in lists], [items[-1] for items in lists])
            curve.append({"seconds": seconds, "valid": valid, "test": test})
        print(f"{seconds:.0f} s: validation nDCG@10 {valid:.4f}, best {curve[-1]['valid']:.4f}", flush=True)

    watch = Watch(60 * asked.minutes, judge)
    model = SASRecModel(
        loss="softmax", n_factors=asked.dim, n_blocks=asked.n_blocks, n_heads=asked.n_heads,
        session_max_len=asked.length, batch_size=asked.batch, lr=asked.learning_rate, dropout_rate=asked.dropout,
        get_trainer_func=lambda: Trainer(
            max_epochs=100_000, min_epochs=0, callbacks=[watch], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, devices=1,
        ),
    )  # fmt: skip
    model.fit(dataset_of([items[:-2] for items in lists]))
    (done,) = (each for each in model.fit_trainer.callbacks if isinstance(each, Watch))
    return {"curve": curve, "epochs": model.fit_trainer.current_epoch, "seconds": done.spent}


class Watch(Callback):
    """Stops the training clock to judge, each time another tenth of `limit` seconds is spent, and then the training."""

    def __init__(self, limit: float, judge: Callable[[float], None]) -> None:
        self.limit, self.judge, self.spent, self.marks = limit, judge, 0.0, 0
        self.began = time.perf_counter()

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        self.began = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: Any, *_: Any) -> None:
        now = time.perf_counter()
        self.spent, self.began = self.spent + now - self.began, now
        if self.spent < (self.marks + 1) * self.limit / MARKS:
            return
        self.marks = int(self.spent * MARKS / self.limit)
        self.judge(self.spent)
        trainer.should_stop = self.spent >= self.limit
        self.began = time.perf_counter()


def dataset_of(lists: list[list[int]]) -> Any:
    """An event a day, so that the order of each list is the order in time."""
    from rectools.dataset import Dataset  # type: ignore[import-not-found]

    lengths = [len(items) for items in lists]
    days = pd.to_timedelta(np.concatenate([np.arange(length) for length in lengths]), unit="D")
    columns = {
        "user_id": np.repeat(np.arange(len(lists)), lengths),
        "item_id": np.concatenate([np.asarray(items) for items in lists]),
    }
    return Dataset.construct(pd.DataFrame(columns).assign(weight=1.0, datetime=DAY + days))


def ndcg(model: Any, histories: list[list[int]], answers: list[int]) -> float:
    """Mean nDCG@10 of one answer each; every item is ranked except those in the history."""
    net, codes = model.lightning_model.torch_model, known_codes(model)
    net.eval()
    gained = 0.0
    with torch.no_grad():
        table = net.item_model.get_all_embeddings()
        for start in range(0, len(answers), AT_ONCE):
            coded = [[codes[item] for item in items if item in codes] for items in histories[start : start + AT_ONCE]]
            grid = torch.zeros((len(coded), model.session_max_len), dtype=torch.long)
            for row, items in enumerate(coded):
                if items:
                    grid[row, -len(items) :] = torch.tensor(items[-model.session_max_len :])
            scores = net.encode_sessions({"x": grid}, table)[:, -1, :] @ table.T
            scores[:, 0] = -torch.inf  # padding
            gained += gains(scores, coded, [codes.get(item) for item in answers[start : start + AT_ONCE]])
    net.train()
    return gained / len(answers)


def known_codes(model: Any) -> dict[int, int]:
    """The network's own code of every item that it learned from; 0 pads."""
    names = model.data_preparator.item_id_map.external_ids
    return {int(name): code for code, name in enumerate(names) if code}


def gains(scores: torch.Tensor, histories: list[list[int]], answers: list[int | None]) -> float:
    """Sum of 1 / log2(rank + 1) down to rank 10; an item never learned from is never found."""
    found = 0.0
    for row, answer in enumerate(answers):
        if answer is None or answer in histories[row] or not histories[row]:
            continue
        scores[row, histories[row]] = -torch.inf
        rank = 1 + int((scores[row] > scores[row, answer]).sum())
        found += 1 / np.log2(rank + 1) if rank <= 10 else 0.0
    return found


if __name__ == "__main__":
    main()
