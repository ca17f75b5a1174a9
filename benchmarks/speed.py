"""Speed: ours beside the peers' in one run, as ratios, because absolute times are those of a machine.

python -m benchmarks.speed                               after `make loop`
python -m benchmarks.speed --only latency --json FILE
python -m benchmarks.speed --only sequences --sequences FILE --minutes 20

latency    POST /recommend of the live release beside BentoML's own empty endpoint, at 100 requests
           a second (open loop), in turns so that both meet the same machine; the endpoints of
           demand, where it is released, at 10 a second
scoring    ten items of the whole catalogue for every customer: our ALS beside implicit's `recommend`
           on the same factors; and the released ensemble with all that belongs to it
featurise  candidates and features of one fold beside plain pandas (recency, frequency, gaps and
           popularity alone) and beside the bare Polars scan of the same table
sequences  nDCG@10 reached in the same minutes: our transformer beside RecTools' SASRec with softmax
           loss, on FILE (see benchmarks/sequential.py); left out where no FILE is given
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.load import timed
from benchmarks.peer_network import sequence_models
from benchmarks.report import publish
from components import releases
from components.core.errors import ReleaseError
from components.core.model import make_model
from components.core.splits import fold_table
from components.recommendation.answer.answerer import Answerer, request_milliseconds
from components.recommendation.features.histories import Histories
from components.recommendation.features.pairs import candidate_items, pair_features
from components.settings import settings

RATE, TURNS, PER_TURN = 100.0, 4, 500  # requests a second; turns each; requests a turn
Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    """Run the parts, print one table, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--only", help="which parts, with commas; default: all that can be timed")
    parser.add_argument("--sequences", type=Path, help="a Parquet file with user_id and items")
    parser.add_argument("--minutes", type=float, default=20, help="of training for each sequence model")
    asked = parser.parse_args(arguments)
    names = asked.only.split(",") if asked.only else [*PARTS, *(["sequences"] if asked.sequences else [])]
    rows: list[Row] = []
    what = asked.sequences.parent.name if asked.sequences else "none"
    if timed_here := [name for name in names if name != "sequences"]:
        version, answerer = _live()
        what = f"release {version}"
        rows += [row for name in timed_here for row in PARTS[name](answerer)]
    if "sequences" in names:
        if asked.sequences is None:
            parser.error("the part sequences expects --sequences FILE")
        rows += sequence_models(asked.sequences, asked.minutes)
    publish("speed", what, rows, shipped="recommend: known customers", json_file=asked.json)


def _live() -> tuple[str, Answerer]:
    version = releases.live("recommendation")
    if version is None:
        raise SystemExit("expected a live release to time, found none; run `make loop` first")
    return version, Answerer.load(releases.release_path("recommendation", version))


def latency(answerer: Answerer) -> list[Row]:
    """Milliseconds at RATE for the empty endpoint, known customers, and one in ten an anonymous session."""
    random = np.random.default_rng(0)
    asked = {"bentoml empty": ("Empty", 0.0), "recommend: known customers": ("Shop", 0.0)}
    asked["recommend: every tenth a session"] = ("Shop", 0.1)
    found: dict[str, list[np.ndarray]] = {name: [] for name in asked}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(serving(name)) for name in ("Empty", "Shop")}
        for turn in range(TURNS + 1):
            for name, (service, share) in asked.items():
                taken = timed(ports[service], _bodies(answerer, random, share), RATE)
                found[name] += [taken] if turn else []  # the first turn warms up
        found |= {name: [taken] for name, taken in demand_latency(ports["Shop"])}
    empty = np.percentile(np.concatenate(found["bentoml empty"]), 50)
    return [_latency_row(name, np.concatenate(turns), empty) for name, turns in found.items()]


def demand_latency(port: int) -> Iterator[tuple[str, np.ndarray]]:
    """Milliseconds at a tenth of RATE of what is asked of the live release of demand; nothing where there is none."""
    if (version := releases.live("demand")) is None:
        return
    queries = pl.read_parquet(releases.release_path("demand", version) / "queries.parquet")
    ids, week = queries["series_id"].to_list(), str(queries["origin"][0])
    random = np.random.default_rng(0)
    drawn = [ids[number] for number in random.integers(len(ids), size=PER_TURN // 5)]
    mailer = [{"promotions": [{"series_id": name, "week": week, "mailer": random.random()}]} for name in drawn]
    asked: dict[str, tuple[str, list[Row]]] = {
        "forecast": ("forecast", [{"series": [name]} for name in drawn]),
        "forecast: 500 series": ("forecast", [{"series": ids[:500]}] * len(drawn)),
        "forecast: what if": (
            "forecast",
            [{"series": [name]} | plan for name, plan in zip(drawn, mailer, strict=True)],
        ),
        "forecast: with drivers": ("forecast", [{"series": [name], "explain": True} for name in drawn]),
        "order": ("order", [{"series_id": name, "on_hand": 9, "lead_time_days": 10} for name in drawn]),
    }
    for name, (endpoint, bodies) in asked.items():
        timed(port, bodies[:20], RATE / 10, f"/demand/{endpoint}")  # warms up
        yield name, timed(port, bodies[20:], RATE / 10, f"/demand/{endpoint}")


def _bodies(answerer: Answerer, random: np.random.Generator, session_share: float) -> list[Row]:
    """Requests of customers, some of them replaced by a session of three popular products, never the same."""
    popular = np.argsort(-answerer.statistics.popularity)[:1000]
    product_ids, customers = answerer.catalogue.product_ids, list(answerer.rows)
    return [
        {"recent_products": [product_ids[code] for code in random.choice(popular, 3, replace=False)]}
        if random.random() < session_share
        else {"customer_id": customers[random.integers(len(customers))], "k": 10}
        for _ in range(PER_TURN)
    ]


def _latency_row(name: str, milliseconds: np.ndarray, empty_p50: float) -> Row:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    metrics = {"p50 ms": p50, "p99 ms": p99, "p50 ms over empty": p50 - empty_p50, "ratio": p50 / empty_p50}
    return _row(name, "peer" if "empty" in name else "ensemble", metrics, milliseconds.sum() / 1e3)


@contextmanager
def serving(service: str) -> Iterator[int]:
    """`bentoml serve` of our service or the empty one on a free port of this machine, ready."""
    target = {"Shop": "serving.service:Shop", "Empty": "benchmarks.empty:Empty"}[service]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    quiet = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "SHOP_LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "bentoml", "serve", target, "--port", str(port)]
    process = subprocess.Popen(command, env=os.environ | quiet, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while not _ready(port):
            if process.poll() is not None:
                raise ReleaseError(f"expected {target} to serve, but it ended; run `bentoml serve {target}` to see why")
            time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def scoring(answerer: Answerer) -> list[Row]:
    """Customers per second: implicit's own `recommend` beside ours on the same factors, and the release."""
    from implicit.cpu.als import AlternatingLeastSquares

    train = _fold("train")
    histories, _ = Histories.from_train(train)
    ours: Any = make_model("recommendation", "als", {}).fit(train)
    matrix = histories.matrix(ours.n_items)
    peer = AlternatingLeastSquares(factors=64, iterations=1, num_threads=0, random_state=0)
    peer.fit(matrix, show_progress=False)
    users, n = np.arange(len(histories)), len(histories)
    queries = _as_queries(histories)
    seconds = {
        "implicit: recommend": _best(lambda: peer.recommend(users, matrix, N=10, recalculate_user=True)),
        "als: whole catalogue": _best(lambda: ours.candidates(queries, 10)),
        "release: pool, features, members, ensemble": _best(partial(answerer.rank, histories.part(0, min(n, 500))), 2),
        "release: one request at a time, processor time": request_milliseconds(answerer) / 1e3,
    }
    counts = [n, n, min(n, 500), 1]
    rates = {name: count / took for (name, took), count in zip(seconds.items(), counts, strict=True)}
    base = rates["implicit: recommend"]
    kinds = ("peer", "single", answerer.scorer.kind, answerer.scorer.kind)
    return [
        _row(name, kind, {"per second": rate, "ratio": base / rate}, seconds[name])
        for (name, rate), kind in zip(rates.items(), kinds, strict=True)
    ]


def _as_queries(histories: Histories) -> pl.DataFrame:
    lists = {
        name: pl.Series(np.split(getattr(histories, name), histories.offsets[1:-1]))
        for name in ("items", "days_ago", "weights", "baskets")
    }
    return pl.DataFrame({"query": np.arange(len(histories)), **lists})


def featurising(answerer: Answerer) -> list[Row]:
    """Seconds for one fold; ratios are to the bare scan of the same train table."""
    file = settings().data / "recommendation" / "features" / "test" / "train.parquet"
    histories, _ = Histories.from_train(_fold("train"))
    found = {
        "polars: bare scan": _timed(lambda: pl.scan_parquet(file).collect().height * 5),
        "ours: candidates and features": _timed(lambda: _our_features(answerer, histories)),
        "pandas: own purchases and popularity alone": _timed(lambda: _pandas_features(file)),
    }
    scan = found["polars: bare scan"][0]
    return [
        _row(
            name,
            "ensemble" if "ours" in name else "peer",
            {"ratio": took / scan, "million values per second": values / took / 1e6},
            took,
        )
        for name, (took, values) in found.items()
    ]


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    """Seconds of a second run (the first warms up), and how many values came out."""
    values = work()
    return _best(work, 1), values


def _our_features(answerer: Answerer, histories: Histories) -> int:
    n_values = 0
    for start in range(0, len(histories), 500):
        part = histories.part(start, min(start + 500, len(histories)))
        offsets, items = candidate_items(part, answerer.statistics, answerer.features.pool)
        n_values += pair_features(part, offsets, items, answerer.statistics).size
    return n_values


def _pandas_features(file: Path) -> int:
    """What one would write by hand: per customer and item, and the items' popularity joined to it."""
    import pandas as pd

    train = pd.read_parquet(file).dropna(subset=["customer"]).sort_values("days_ago", ascending=False)
    train["gap"] = -train.groupby(["customer", "item"])["days_ago"].diff()
    train["decayed"] = train["weight"] * np.exp2(-train["days_ago"] / 28)
    pairs = train.groupby(["customer", "item"]).agg(
        n=("weight", "sum"), first=("days_ago", "max"), last=("days_ago", "min"), gap=("gap", "mean"),
        spread=("gap", "std"), recent=("decayed", "sum"),
    ).reset_index()  # fmt: skip
    popular = train.groupby("item")["decayed"].sum().rename("popularity").reset_index()
    baskets = train.groupby("customer")["basket"].nunique().reset_index()
    return int(pairs.merge(popular, on="item").merge(baskets, on="customer").size)


def _fold(table: Any) -> pl.DataFrame:
    return fold_table(settings().data / "recommendation" / "features", "test", table)


def _best(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of several runs: the others were disturbed."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _row(name: str, kind: str, metrics: dict[str, Any], seconds: float) -> Row:
    plain = {metric: float(value) for metric, value in metrics.items()}
    return {"name": name, "kind": kind, "metrics": plain, "seconds": float(seconds)}


PARTS: dict[str, Callable[[Answerer], list[Row]]] = {
    "latency": latency,
    "scoring": scoring,
    "featurise": featurising,
}

if __name__ == "__main__":
    main()
