"""Next basket: every single model and every ensemble under a published protocol.

    python -m benchmarks.next_basket DIR                 a folder of the next_basket_* format
    python -m benchmarks.next_basket complete_journey    the last basket of each household

Either prepares folds in the layout of `featurise`; the project's own train and ensemble stages do
the rest. For a folder nDCG's ideal is over the full length of the truth, as in Li et al. 2023 ("A Next
Basket Recommendation Reality Check"), so these figures compare with that paper's; for Complete
Journey it is over what a list of k can reach.

Last-basket protocol: the test is each household's last basket, validation the second last, the
ensembles learn on the third to eighth last; the moment of asking is the basket's own. Protocol of a
folder: users are split in train, validation and test; a train user's future basket may be used as
history of others (out of fold where it is itself asked about); `--histories-only` forbids even that.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import yaml

from benchmarks.report import publish
from benchmarks.workspace import workspace
from components.core.artifacts import read_json, write_json
from components.core.metrics import bootstrap, ranking_outcomes
from components.core.splits import Fold, Role, write_folds
from components.logs import set_up_logs
from components.recommendation.features.folds import EVENTS, write_fold_tables
from components.recommendation.features.pairs import PoolParams
from components.stages.ensemble import ensemble
from components.stages.train import train

KEYS = ("query", "item")
Ideal = Literal["reachable", "full"]
METRICS = ("recall@10", "ndcg@10", "phr@10", "recall@20", "ndcg@20", "phr@20")
START = datetime(2000, 1, 1, tzinfo=UTC)
BASKET_DAYS = 7.0  # a folder numbers baskets without dates: each is taken as a week after the last


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.next_basket", description=__doc__.split("\n")[0])
    parser.add_argument("data", help="complete_journey, or a folder with baskets.parquet and folds.parquet")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--histories-only", action="store_true", help="ablation: no future basket as an input")
    parser.add_argument("--source", default="liming-7/Mask-Swap-NNBR", help="whose folds, where a folder has several")
    parser.add_argument("--folds", default="0,1,2", help="which of them")
    parser.add_argument("--models", help="only these, with commas; default: all in benchmarks/next_basket.yaml")
    parser.add_argument("--work", type=Path, help="keep intermediate files here; the next run goes on from them")
    asked = parser.parse_args(arguments)
    set_up_logs("INFO")
    params = benchmark_params(asked.data, asked.models)
    runs = []
    for name, write in protocols(asked):
        with workspace(asked.work, name, "recommendation", params) as folder:
            if not (folder / "recommendation" / "features" / "folds.json").is_file():
                write(folder / "recommendation" / "features")
            runs.append(run(folder, params, "reachable" if asked.data == "complete_journey" else "full"))
    publish("next_basket", asked.data, *summarise(runs), json_file=asked.json)


def benchmark_params(data: str, models: str | None) -> dict[str, Any]:
    """The block of next_basket.yaml for this data (by folder name), else its `default`."""
    blocks = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    params: dict[str, Any] = blocks.get(Path(data).name, blocks["default"])
    if models is not None:
        params["models"] = {name: params["models"].get(name) or {} for name in models.split(",")}
    return params


def protocols(asked: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Names and writers of the folds tables."""
    pool = PoolParams(**benchmark_params(asked.data, None).get("pool", {}))
    if asked.data == "complete_journey":
        yield "complete_journey", lambda out: last_baskets(out, pool)
        return
    folder = Path(asked.data)
    baskets = pl.read_parquet(folder / "baskets.parquet")
    folds = pl.read_parquet(folder / "folds.parquet").cast({"source": pl.String, "split": pl.String})
    for number in map(int, asked.folds.split(",")):
        users = folds.filter((pl.col("source") == asked.source) & (pl.col("fold") == number)).select("user_id", "split")
        if users.is_empty():
            raise SystemExit(f"expected fold {number} of {asked.source!r} in {folder}, got none; see --source, --folds")
        yield f"fold_{number}", lambda out, users=users: user_split(out, baskets, users, pool, asked.histories_only)


def run(folder: Path, params: dict[str, Any], ideal: Ideal) -> dict[str, Any]:
    """Train, combine and score: per name its kind, seconds and per-query outcomes on validation and test."""
    for model in params["models"]:
        if not (folder / "recommendation" / "models" / model / "report.json").is_file():
            train("recommendation", model)
    ensemble("recommendation")
    data, found = folder / "recommendation", {}
    ensembles = read_json(data / "ensembles" / "report.json")
    for name in [*params["models"], *params["ensembles"]]:
        single = name not in ensembles
        report = read_json(data / "models" / name / "report.json") if single else ensembles[name]
        if report.get("skipped"):
            continue
        files = {
            fold: data / "models" / name / "scores" / f"{fold}.parquet" if single
            else data / "ensembles" / "scores" / fold / f"{name}.parquet"
            for fold in ("validation", "test")
        }  # fmt: skip
        outcomes = {
            fold: fold_outcomes(data / "features" / fold, pl.read_parquet(file), ideal) for fold, file in files.items()
        }
        found[name] = {"kind": "single" if single else "ensemble", "seconds": report["seconds"], **outcomes}
    return found


def fold_outcomes(fold: Path, scores: pl.DataFrame, ideal: Ideal) -> pl.DataFrame:
    """Per query: the paper's metrics; recall@10 on never-bought items, in the one list and in a list apart."""
    truth = pl.read_parquet(fold / "truth.parquet")
    owned = pl.read_parquet(fold / "queries.parquet").select("query", item="items").explode("item").unique()
    explore = truth.join(owned, on=KEYS, how="anti")
    ten = scores.sort("query", "score", "item", descending=[False, True, False]).group_by("query").head(10)
    hits = explore.join(ten, on=KEYS, how="semi").group_by("query").agg(n=pl.len())
    in_list = explore.group_by("query").agg(m=pl.len()).join(hits, on="query", how="left")
    in_list = in_list.select("query", (pl.col("n").fill_null(0) / pl.col("m")).alias("explore_recall@10"))
    own_list = ranking_outcomes(scores.join(owned, on=KEYS, how="anti"), explore, KEYS, (10,))
    own_list = own_list.select("query", pl.col("recall@10").alias("explore_list_recall@10"))
    overall = ranking_outcomes(scores, truth, KEYS, (10, 20), ideal)
    return overall.join(in_list, on="query", how="left").join(own_list, on="query", how="left").sort("query")


def summarise(runs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Rows with means over runs, the gain of the ensemble that validation chose, and what ships by evaluate's rule."""
    names = [name for name in runs[0] if all(name in found for found in runs)]
    shown = (*METRICS, "explore_recall@10", "explore_list_recall@10")

    def mean(name: str, fold: str, metric: str) -> float:
        return float(np.mean([np.nanmean(found[name][fold][metric].to_numpy()) for found in runs]))

    rows = [
        {
            "name": name,
            "kind": runs[0][name]["kind"],
            "metrics": {metric: mean(name, "test", metric) for metric in shown}
            | {"validation ndcg@10": mean(name, "validation", "ndcg@10")},
            "seconds": sum(found[name]["seconds"] for found in runs),
        }
        for name in names
    ]
    best = {
        kind: max((r for r in rows if r["kind"] == kind), key=lambda r: r["metrics"]["validation ndcg@10"])["name"]
        for kind in ("single", "ensemble")
    }
    differences = [
        found[best["ensemble"]]["test"]["ndcg@10"] - found[best["single"]]["test"]["ndcg@10"] for found in runs
    ]
    interval = bootstrap(pl.concat(differences).to_numpy())
    validated = {row["name"]: row["metrics"]["validation ndcg@10"] for row in rows}
    wins = validated[best["ensemble"]] > validated[best["single"]] and interval.low > 0
    gain = {"metric": "ndcg@10", "of": best["ensemble"], "over": best["single"], **asdict(interval)}
    return rows, gain, best["ensemble"] if wins else best["single"]


# --- the last basket of each household -----------------------------------------------------------


def last_baskets(out: Path, pool: PoolParams, n_positions: int = 8, min_baskets: int = 17) -> None:
    """Folds by position from the end: 8 to 3 teach the ensembles, 2 validates, 1 is the test.

    Households with at least 3 baskets; products in at least `min_baskets` baskets before validation.
    """
    from components.sources.completejourney import CompleteJourney, CompleteJourneyParams

    transactions = (
        CompleteJourney("transactions", CompleteJourneyParams(kind="completejourney"))
        .read()
        .filter(pl.col("quantity") > 0)
    )
    events = (
        transactions.group_by("customer_id", "basket_id", "product_id").agg(pl.col("at").min())
        .collect().sort("at", "basket_id", "product_id")
    )  # fmt: skip
    baskets = events.group_by("customer_id", "basket_id").agg(pl.col("at").min()).sort("customer_id", "at", "basket_id")
    baskets = baskets.with_columns(
        position=pl.len().over("customer_id") - pl.int_range(pl.len()).over("customer_id"),
        n_baskets=pl.len().over("customer_id"),
    ).filter(pl.col("n_baskets") >= 3)
    events = events.drop("at").join(baskets, on=["customer_id", "basket_id"])
    counted = events.filter(pl.col("position") > 2).group_by("product_id").agg(n=pl.len())
    kept = counted.filter(pl.col("n") >= min_baskets).select("product_id").sort("product_id")
    catalogue = _catalogue(kept)
    events = _coded(events.join(catalogue.select("product_id", "item"), on="product_id"))
    roles: list[Role] = [*["oof"] * (n_positions - 2), "validation", "test"]  # type: ignore[list-item]
    folds = []
    for role, position in zip(roles, range(n_positions, 0, -1), strict=True):
        name = f"oof_{n_positions + 1 - position}" if role == "oof" else role
        folds.append(Fold(name, role, START + timedelta(days=n_positions - position)))
        asked = events.filter(pl.col("position") == position)
        past = events.filter(pl.col("position") > position)
        now = asked.group_by("customer").agg(now=pl.col("at").first())
        _write(out, name, _with_days(past, now), asked, catalogue, pool)
    write_folds(out, folds)


def _catalogue(kept: pl.DataFrame) -> pl.DataFrame:
    from components.sources.completejourney import CompleteJourney, CompleteJourneyParams

    known = CompleteJourney("products", CompleteJourneyParams(kind="completejourney")).read().collect()
    blank = {"price": pl.lit(None, pl.Float64), "active": pl.lit(True)}
    missing = {name: value for name, value in blank.items() if name not in known.columns}
    joined = kept.join(known.with_columns(**missing), on="product_id", how="left", maintain_order="left")
    return joined.with_columns(active=pl.lit(True)).with_row_index("item").with_columns(pl.col("item").cast(pl.Int32))


def _coded(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_columns(
        customer=(pl.col("customer_id").rank("dense") - 1).cast(pl.Int32),
        basket=pl.struct("customer_id", "at", "basket_id").rank("dense").cast(pl.Int32),
        weight=pl.lit(1.0, pl.Float32),
    ).sort("customer", "at", "basket", "item")


def _with_days(past: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """days_ago of every event: before the household's own moment of asking; else before the last event of all."""
    latest = past["at"].max()
    moment = pl.col("now").fill_null(pl.lit(latest))
    days = ((moment - pl.col("at")).dt.total_seconds() / 86400).clip(0.01).cast(pl.Float32)
    return past.join(now, on="customer", how="left", maintain_order="left").with_columns(days_ago=days)


# --- a folder with users split in three ----------------------------------------------------------


def user_split(out: Path, baskets: pl.DataFrame, users: pl.DataFrame, pool: PoolParams, histories_only: bool) -> None:
    """Three out-of-fold groups of train users, then validation and test users.

    A fold's train table holds every history; its valid table, unless forbidden, the future baskets of
    the train users whom the fold does not ask about.
    """
    n_items = int(baskets["items"].explode().max()) + 1  # type: ignore[arg-type]
    catalogue = pl.DataFrame({"item": np.arange(n_items, dtype=np.int32)}).with_columns(
        *[pl.lit(None, pl.String).alias(name) for name in ("product_id", "title", "category", "department", "brand")],
        price=pl.lit(None, pl.Float64), active=pl.lit(True),
    )  # fmt: skip
    last = baskets.filter(pl.col("part") == "future").select("user_id", last="basket_no")
    events = baskets.join(last, on="user_id").join(users, on="user_id").select(
        customer=pl.col("user_id"), basket=pl.struct("user_id", "basket_no").rank("dense").cast(pl.Int32),
        item=pl.col("items"), part="part", split="split", weight=pl.lit(1.0, pl.Float32),
        days_ago=((pl.col("last") - pl.col("basket_no")) * BASKET_DAYS).clip(0.5).cast(pl.Float32),
    ).explode("item").sort("customer", "basket", "item")  # fmt: skip
    group = pl.when(pl.col("split") == "train").then(pl.col("customer").hash(7) % 3)
    events = events.with_columns(asked_in=group.cast(pl.String).replace({"0": "oof_1", "1": "oof_2", "2": "oof_3"}))
    events = events.with_columns(asked_in=pl.coalesce("asked_in", pl.col("split").replace({"val": "validation"})))
    moments = {"oof_1": 0, "oof_2": 0, "oof_3": 0, "validation": 1, "test": 2}
    for name in moments:
        history = pl.col("part") == "history"
        usable = (pl.col("split") == "train") & (pl.col("asked_in") != name)
        asked = events.filter((pl.col("asked_in") == name) & ~history)
        _write(out, name, events.filter(history), asked, catalogue, pool)
        if not histories_only:
            learned_from(events.filter(usable & ~history)).write_parquet(out / name / "valid.parquet")
    roles: dict[str, Role] = {"validation": "validation", "test": "test"}
    write_folds(out, [Fold(n, roles.get(n, "oof"), START + timedelta(days=day)) for n, day in moments.items()])


def _write(
    out: Path, name: str, past: pl.DataFrame, asked: pl.DataFrame, catalogue: pl.DataFrame, pool: PoolParams
) -> None:
    """One fold in the layout of featurise, through its own function."""
    asking = asked.select("customer").unique().sort("customer").with_row_index("query").cast({"query": pl.Int32})
    lists = past.group_by("customer", maintain_order=True).agg(
        items="item", days_ago="days_ago", weights="weight", baskets=pl.col("basket").rle_id().cast(pl.Int32)
    )
    queries = asking.join(lists, on="customer", how="inner", maintain_order="left").drop("customer")
    truth = asked.join(asking, on="customer").join(queries.select("query"), on="query", how="semi")
    truth = truth.select("query", "item", label=pl.lit(1.0, pl.Float32)).unique(["query", "item"]).sort("query", "item")
    began = time.perf_counter()
    found = write_fold_tables(out / name, learned_from(past), queries, truth, catalogue, pool)
    write_json(out / name / "report.json", found | {"seconds": time.perf_counter() - began})


def learned_from(events: pl.DataFrame) -> pl.DataFrame:
    """A train table; the protocols know no prices."""
    return events.with_columns(price=pl.lit(None, pl.Float32)).select(EVENTS)


if __name__ == "__main__":
    main()
