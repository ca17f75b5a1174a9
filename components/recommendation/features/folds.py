"""Featurise: from accepted shop tables to folds of integer-coded tables.

Per cut-off:
    train    customer, basket, item, days_ago, weight, price   every event before the cut-off
    queries  query, customer, audience, history lists, candidates
    pool     query, item, features                          what every member scores
    truth    query, item, label                             the customer's first basket afterwards

Audiences: `known` and `new` customers are asked for their next basket (new: no history, so only
what everybody buys can answer); `anonymous` queries see half of a basket and are asked for the
rest. Headline figures are over known and new customers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import write_json
from components.core.errors import DataError
from components.core.params import Params, parse
from components.core.splits import Fold, rolling_folds, write_folds
from components.recommendation.features.histories import LISTS, Histories
from components.recommendation.features.pairs import FEATURES, PoolParams, candidate_items, pair_features
from components.recommendation.features.statistics import Statistics
from components.recommendation.features.stock import with_stock

log = logging.getLogger(__name__)

EVENTS = ("customer", "basket", "item", "days_ago", "weight", "price")


class SplitParams(Params):
    horizon_days: int = Field(28, ge=1, description="Length of each window; the truth lies inside.")
    oof_folds: int = Field(3, ge=1, description="Windows on which ensembles learn.")
    max_queries: int | None = Field(None, description="At most so many customers per window, drawn by id.")
    anonymous_queries: int = Field(300, ge=0, description="Baskets per window asked about without a customer.")


class FeatureParams(Params):
    pool: PoolParams = PoolParams()
    max_history: int = Field(3000, ge=1, description="A query remembers so many of its latest events.")
    neighbours_per_item: int = Field(30, ge=1)
    neighbour_support: int = Field(5, ge=1, description="Items in fewer baskets get no neighbours.")
    event_weights: dict[str, float] = Field(
        default={"cart": 0.5, "click": 0.2, "view": 0.1, "search": 0.05},
        description="What a behaviour event counts for beside a purchase, which counts 1.",
    )


def featurise(tables: Mapping[str, pl.LazyFrame], as_of: str, params: Mapping[str, Any], out: Path) -> None:
    """Write catalogue, folds and each fold's tables and statistics below `out`.

    Raises DataError where history is too short for the windows that `split` asks for.
    """
    split = parse(SplitParams, params.get("split") or {}, "recommendation.split")
    chosen = parse(FeatureParams, params.get("features") or {}, "recommendation.features")
    catalogue = make_catalogue(tables)
    events = coded_events(tables, catalogue, chosen)
    if events.is_empty():
        raise DataError("expected purchases, got none; check data/quality/transactions.html for what was refused")
    end = datetime.fromisoformat(as_of)
    folds = rolling_folds(events["at"].min(), end, split.horizon_days, split.oof_folds)  # type: ignore[arg-type]
    out.mkdir(parents=True, exist_ok=True)
    catalogue.write_parquet(out / "catalogue.parquet")
    write_folds(out, folds)
    reach = [_write_fold(fold, events, catalogue, split, chosen, out / fold.name) for fold in folds]
    write_json(out / "report.json", {"reach": reach, "features": FEATURES, "n_items": catalogue.height})
    _write_now(events, catalogue, end, chosen, out / "now")


def make_catalogue(tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """Every product that is on the list or was sold: item (code by product_id order), and what is known."""
    listed = tables["products"].collect()
    sold = tables["transactions"].select("product_id").unique().collect()
    columns = {"title": pl.String, "category": pl.String, "department": pl.String, "brand": pl.String}
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in listed.columns]
    absent += [pl.lit(None, pl.Float64).alias("price")] if "price" not in listed.columns else []
    absent += [pl.lit(True).alias("active")] if "active" not in listed.columns else []
    full = listed.with_columns(absent).select("product_id", *columns, "price", "active")
    missing = sold.join(full, on="product_id", how="anti")
    everything = (
        pl.concat([full, missing], how="diagonal_relaxed").unique("product_id", keep="first").sort("product_id")
    )
    coded = everything.with_columns(
        pl.col("active").fill_null(True), pl.col("title").fill_null(pl.col("product_id"))
    ).with_row_index("item").with_columns(pl.col("item").cast(pl.Int32))  # fmt: skip
    return with_stock(coded, tables)


def coded_events(tables: Mapping[str, pl.LazyFrame], catalogue: pl.DataFrame, params: FeatureParams) -> pl.DataFrame:
    """Purchases and weighted behaviour: customer_id, basket (code), item, at, weight, price, lottery; oldest first.

    `lottery` draws baskets by their id, so that what comes later changes no draw.
    """
    parts = [_purchases(tables["transactions"]).collect(engine="streaming")]
    if "behaviour" in tables:
        parts.append(_behaviour(tables["behaviour"], params.event_weights).collect(engine="streaming"))
    events = pl.concat(parts, how="diagonal_relaxed")
    codes = catalogue.select("product_id", "item")
    return (
        events.join(codes, on="product_id")
        .with_columns(basket=pl.col("basket_id").rank("dense").cast(pl.Int32), lottery=pl.col("basket_id").hash(1))
        .sort("at", "basket_id", "item")
        .select("customer_id", "basket", "item", "at", "weight", "price", "lottery")
    )


def _purchases(lines: pl.LazyFrame) -> pl.LazyFrame:
    """One row per basket and product. A basket happens when its last line does: no cut-off splits it."""
    amount = pl.col("amount") if "amount" in lines.collect_schema().names() else pl.lit(None, pl.Float64)
    bought = lines.filter(pl.col("quantity") > 0).with_columns(amount=amount)
    times = bought.group_by("basket_id").agg(pl.col("at").max())
    paid = pl.col("amount").is_not_null()  # an order that feedback tells may not say what it cost
    merged = bought.group_by("basket_id", "product_id").agg(
        pl.col("customer_id").first(),
        weight=pl.lit(1.0, pl.Float32),
        price=(pl.col("amount").sum() / pl.col("quantity").filter(paid).sum()).cast(pl.Float32),
    )
    return merged.with_columns(pl.col("price").fill_nan(None)).join(times, on="basket_id")


def _behaviour(events: pl.LazyFrame, weights: Mapping[str, float]) -> pl.LazyFrame:
    known = events.filter(pl.col("kind").is_in(list(weights)) & pl.col("product_id").is_not_null())
    weighted = known.with_columns(
        weight=pl.col("kind").replace_strict(weights, return_dtype=pl.Float32),
        basket_id=pl.concat_str(pl.lit("session "), pl.col("session_id")),
    )
    # by kind and customer: merging a view with a later cart or log-in would tell the view what came after it
    named = weighted.group_by("basket_id", "product_id", "kind", "customer_id")
    return named.agg(pl.col("at").min(), pl.col("weight").first(), price=pl.lit(None, pl.Float32)).drop("kind")


def train_table(events: pl.DataFrame, cutoff: datetime) -> pl.DataFrame:
    """What may be learned at `cutoff`; customers become codes in the order of their ids."""
    past = events.filter(pl.col("at") < cutoff)
    days_ago = (pl.lit(cutoff) - pl.col("at")).dt.total_seconds() / 86400
    customer = (pl.col("customer_id").rank("dense") - 1).cast(pl.Int32)
    return past.select(
        "basket", "item", "weight", "price", customer=customer, days_ago=days_ago.cast(pl.Float32)
    ).select(EVENTS)


def history_lists(events: pl.DataFrame, cutoff: datetime, max_history: int) -> pl.DataFrame:
    """One row per customer with events before `cutoff`: customer_id and the lists of Histories."""
    days_ago = ((pl.lit(cutoff) - pl.col("at")).dt.total_seconds() / 86400).cast(pl.Float32)
    past = events.filter((pl.col("at") < cutoff) & pl.col("customer_id").is_not_null())
    recent = past.group_by("customer_id", maintain_order=True).tail(max_history)
    return recent.group_by("customer_id", maintain_order=True).agg(
        items="item", days_ago=days_ago, weights="weight", baskets=pl.col("basket").rle_id().cast(pl.Int32)
    )


def _write_fold(
    fold: Fold, events: pl.DataFrame, catalogue: pl.DataFrame, split: SplitParams, params: FeatureParams, out: Path
) -> dict[str, Any]:
    asked, truth = _asked(events, fold.cutoff, split, params)
    train = train_table(events, fold.cutoff)
    support = (params.neighbours_per_item, params.neighbour_support)
    found = write_fold_tables(out, train, asked, truth, catalogue, params.pool, *support)
    log.info("%(fold)s: %(queries)d queries, %(pairs)d pairs, oracle recall %(oracle_recall).3f", found)
    return found


def write_fold_tables(
    out: Path,
    train: pl.DataFrame,
    asked: pl.DataFrame,
    truth: pl.DataFrame,
    catalogue: pl.DataFrame,
    pool_params: PoolParams,
    n_neighbours: int = 30,
    min_support: int = 5,
) -> dict[str, Any]:
    """Statistics, candidates and features of one fold's queries; answers what was written.

    `asked` has query and the history lists. oracle_recall is the share of the truth in the pool.
    """
    out.mkdir(parents=True, exist_ok=True)
    then = catalogue.with_columns(active=pl.lit(True))  # what has been delisted since was for sale then
    statistics = Statistics.fit(train, then, n_neighbours, min_support)
    past = Histories.from_frame(asked)
    offsets, items = candidate_items(past, statistics, pool_params)
    if "audience" in asked.columns:  # an anonymous session is asked for the rest of its basket, as the service is
        offsets, items = _without_own(past, offsets, items, (asked["audience"] == "anonymous").to_numpy())
    pairs = np.repeat(asked["query"].to_numpy(), np.diff(offsets))
    features = pair_features(past, offsets, items, statistics)
    pool = pl.DataFrame({"query": pairs, "item": items}).hstack(pl.DataFrame(features, schema=list(FEATURES)))
    # the cast: polars makes fixed-size arrays of parts that happen to be equally long, whatever dtype says
    lists = np.split(items, offsets[1:-1]) if len(past) else []
    candidates = pl.Series("candidates", lists, None if lists else pl.List(pl.Int32)).cast(pl.List(pl.Int32))
    tables = {"train": train, "queries": asked.with_columns(candidates), "pool": pool, "truth": truth}
    for name, table in tables.items():
        table.write_parquet(out / f"{name}.parquet")
    statistics.save(out / "statistics")
    reachable = truth.join(pool.select("query", "item"), on=["query", "item"]).height
    return {
        "fold": out.name,
        "queries": asked.height,
        "pairs": pool.height,
        "oracle_recall": reachable / max(truth.height, 1),
    }


def _without_own(
    past: Histories, offsets: np.ndarray, items: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates less the queries' own items, for the queries in the mask `which`."""
    rows = np.repeat(np.arange(len(past)), np.diff(offsets))
    span = int(max(items.max(initial=0), past.items.max(initial=0))) + 1
    owned = np.unique(past.rows() * span + past.items)
    kept = ~(which[rows] & np.isin(rows * span + items, owned, kind="sort"))
    return np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=len(past)))]), items[kept]


def _asked(
    events: pl.DataFrame, cutoff: datetime, split: SplitParams, params: FeatureParams
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Queries (without candidates) and truth of one window."""
    until = cutoff + timedelta(days=split.horizon_days)
    window = events.filter((pl.col("at") >= cutoff) & (pl.col("at") < until) & (pl.col("weight") >= 1))
    known, known_truth = _customer_queries(window, split.max_queries)
    histories = history_lists(events, cutoff, params.max_history)
    named = known.join(histories, on="customer_id", how="left", maintain_order="left")
    anonymous, anonymous_truth = _anonymous_queries(window, split.anonymous_queries, first=known.height)
    queries = pl.concat([named, anonymous], how="diagonal_relaxed").with_columns(
        *[pl.col(name).fill_null([]) for name in LISTS],
    )
    n_baskets = pl.col("baskets").list.last().fill_null(-1) + 1
    audience = (
        pl.when(pl.col("customer_id").is_null()).then(pl.lit("anonymous"))
        .when(n_baskets == 0).then(pl.lit("new"))
        .otherwise(pl.lit("known"))
    )  # fmt: skip
    return queries.with_columns(audience=audience, n_baskets=n_baskets), pl.concat([known_truth, anonymous_truth])


def _customer_queries(window: pl.DataFrame, most: int | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Each customer's first basket in the window is the truth."""
    named = window.drop_nulls("customer_id")
    firsts = named.group_by("customer_id", maintain_order=True).agg(pl.col("basket").first()).sort("customer_id")
    if most is not None and firsts.height > most:
        firsts = firsts.filter(pl.col("customer_id").hash(0).rank("ordinal") <= most)
    queries = firsts.with_row_index("query").with_columns(pl.col("query").cast(pl.Int32))
    truth = named.join(queries, on=["customer_id", "basket"]).unique(["query", "item"]).sort("query", "item")
    return queries.select("query", "customer_id"), truth.select("query", "item", label=pl.lit(1.0, pl.Float32))


def _anonymous_queries(window: pl.DataFrame, n: int, first: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Baskets of at least four items, without their customer: one half is the session, the other the truth."""
    sizes = window.group_by("basket").agg(pl.col("lottery").first(), n_items=pl.len()).filter(pl.col("n_items") >= 4)
    drawn = sizes.filter(pl.col("lottery").rank("ordinal") <= n).select("basket").sort("basket")
    baskets = drawn.with_row_index("query", offset=first).with_columns(pl.col("query").cast(pl.Int32))
    shuffled = (
        window.join(baskets, on="basket")
        .with_columns(lottery=pl.struct("lottery", "item").hash(2))
        .sort("query", "lottery")
    )
    halves = shuffled.with_columns(seen=pl.int_range(pl.len()).over("query") < pl.len().over("query") // 2)
    session = halves.filter("seen").group_by("query", maintain_order=True).agg(
        items="item", days_ago=pl.lit(0.0, pl.Float32).repeat_by(pl.len()).first(), weights="weight",
        baskets=pl.lit(0, pl.Int32).repeat_by(pl.len()).first(),
    )  # fmt: skip
    truth = halves.filter(~pl.col("seen")).select("query", "item", label=pl.lit(1.0, pl.Float32)).sort("query", "item")
    return session.with_columns(customer_id=pl.lit(None, pl.String)), truth


def _write_now(events: pl.DataFrame, catalogue: pl.DataFrame, end: datetime, params: FeatureParams, out: Path) -> None:
    """What the service starts from: every customer's history and the statistics as of the end of the data."""
    train = train_table(events, end)
    Statistics.fit(train, catalogue, params.neighbours_per_item, params.neighbour_support).save(out / "statistics")
    lists = history_lists(events, end, params.max_history).sort("customer_id")
    Histories.from_frame(lists).save(out / "histories")
    lists.select("customer_id").with_row_index("row").write_parquet(out / "histories" / "customers.parquet")
