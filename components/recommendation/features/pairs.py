"""Candidates of a query and the features of (query, item) pairs: the one implementation that
featurise and the service share. Everything is vectorised over queries; one request is a batch of one.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from components.core.params import Params
from components.recommendation.features.histories import Histories
from components.recommendation.features.statistics import Statistics, strongest


class PoolParams(Params):
    """How many candidates each source may add."""

    n_own: int = Field(300, ge=0, description="Most recent distinct own items.")
    n_popular: int = Field(60, ge=1)
    n_neighbours: int = Field(120, ge=0, description="Items often bought with the customer's own.")
    n_newcomers: int = Field(20, ge=0, description="Newest items of the customer's categories.")
    n_alike: int = Field(2, ge=0, description="Best sellers of each kind that the customer bought lately.")
    n_kinds: int = Field(40, ge=1, description="Latest kinds of each customer.")
    newcomer_days: float = Field(28.0, gt=0)
    half_life_days: float = Field(60.0, gt=0, description="Decay of history when it calls neighbours.")


def candidate_items(histories: Histories, statistics: Statistics, params: PoolParams) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (n_queries + 1,) and item codes, ascending and unique within each query; inactive ones left out."""
    n_items = statistics.n_items
    popular = _highest(statistics.popularity, params.n_popular)
    rows = np.repeat(np.arange(len(histories)), len(popular))
    found = [rows * n_items + np.tile(popular, len(histories))]
    found.append(_own(histories, n_items, params.n_own))
    found.append(_neighbours(histories, statistics, params))
    found.append(_alike(histories, statistics, params))
    found.append(_newcomers(histories, statistics, params))
    keys = np.unique(np.concatenate(found))
    items = (keys % n_items).astype(np.int32)
    keys, items = keys[statistics.active[items]], items[statistics.active[items]]
    return np.searchsorted(keys, np.arange(len(histories) + 1) * n_items), items


def _highest(values: np.ndarray, n: int) -> np.ndarray:
    """Positions of the `n` highest, ties by lower position; sorting the whole catalogue would be half a request."""
    n = min(n, len(values))
    likely = np.flatnonzero(values >= np.partition(values, -n)[-n]) if n else np.empty(0, np.int64)
    return likely[np.argsort(-values[likely], kind="stable")][:n]


def _own(histories: Histories, n_items: int, n: int) -> np.ndarray:
    """Keys of the latest `n` distinct items of each query."""
    return _latest(histories.rows() * n_items + histories.items, n_items, n)


def _latest(keys: np.ndarray, n_codes: int, n: int) -> np.ndarray:
    """The `n` distinct keys (row * n_codes + code) of each row that come last."""
    unique, latest = np.unique(keys[::-1], return_index=True)
    rows = unique // n_codes
    order = np.lexsort((latest, rows))
    starts = np.searchsorted(rows, np.arange(int(rows.max(initial=-1)) + 1))
    place = np.arange(len(order)) - starts[rows[order]]
    return unique[order[place < n]]


def _neighbours(histories: Histories, statistics: Statistics, params: PoolParams) -> np.ndarray:
    recent = histories.matrix(statistics.n_items, params.half_life_days)
    called = strongest((recent @ statistics.neighbours).tocsr(), params.n_neighbours)
    rows = np.repeat(np.arange(len(histories)), np.diff(called.indptr))
    return rows * statistics.n_items + called.indices


def _alike(histories: Histories, statistics: Statistics, params: PoolParams) -> np.ndarray:
    """The best sellers of the kinds bought last."""
    starts, n_kinds = statistics.kind_starts, len(statistics.kind_starts) - 1
    keys = _latest(histories.rows() * n_kinds + statistics.kind[histories.items], n_kinds, params.n_kinds)
    rows, kinds = keys // n_kinds, keys % n_kinds
    found = []
    for place in range(params.n_alike):
        there = starts[kinds] + place < starts[kinds + 1]
        found.append(rows[there] * statistics.n_items + statistics.by_kind[starts[kinds[there]] + place])
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _newcomers(histories: Histories, statistics: Statistics, params: PoolParams) -> np.ndarray:
    """The best-selling new items, those of categories the customer knows first."""
    new = (statistics.age_days >= 0) & (statistics.age_days <= params.newcomer_days) & statistics.active
    codes = np.flatnonzero(new)
    if params.n_newcomers == 0 or len(codes) == 0:
        return np.empty(0, np.int64)
    codes = codes[np.argsort(-statistics.lately[codes], kind="stable")][: params.n_newcomers * 20]
    n_categories = int(statistics.category.max(initial=0)) + 1
    known = np.zeros((len(histories), n_categories), bool)
    known[histories.rows(), statistics.category[histories.items]] = True
    preferred = known[:, statistics.category[codes]]
    order = np.argsort(~preferred, axis=1, kind="stable")[:, : params.n_newcomers]
    return (np.arange(len(histories))[:, None] * statistics.n_items + codes[order]).ravel()


def _grouped(histories: Histories, codes: np.ndarray, n_codes: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Per (query, code) seen in the history: sorted keys, and what happened."""
    keys = histories.rows() * n_codes + codes
    order = np.argsort(keys, kind="stable")  # within a key the oldest stays first
    sorted_keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_keys[1:] != sorted_keys[:-1]])) if len(keys) else order
    days, weights = histories.days_ago[order].astype(np.float64), histories.weights[order].astype(np.float64)
    if not len(keys):
        empty = np.empty(0)
        return sorted_keys, dict.fromkeys(("n", "first", "last", "fast", "slow", "last_gap", "gap_spread"), empty)
    gaps = np.append(days[:-1] - days[1:], 0.0)
    ends = np.append(starts[1:], len(keys)) - 1
    gaps[ends] = 0
    n = np.add.reduceat(weights, starts)
    n_gaps = np.maximum(ends - starts, 1)
    mean_gap = np.add.reduceat(gaps, starts) / n_gaps
    spread = np.sqrt(np.maximum(np.add.reduceat(gaps**2, starts) / n_gaps - mean_gap**2, 0))
    return sorted_keys[starts], {
        "n": n,
        "first": days[starts],
        "last": days[ends],
        "fast": np.add.reduceat(weights * np.exp2(-days / 20), starts),
        "slow": np.add.reduceat(weights * np.exp2(-days / 120), starts),
        "last_gap": np.where(ends > starts, gaps[np.maximum(ends - 1, 0)], np.nan),
        "gap_spread": spread,
    }


def _lookup(
    keys: np.ndarray, wanted: np.ndarray, columns: dict[str, np.ndarray], missing: float
) -> dict[str, np.ndarray]:
    if not len(keys):
        return {name: np.full(len(wanted), missing) for name in columns}
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = keys[place] == wanted
    return {name: np.where(found, values[place], missing) for name, values in columns.items()}


def _customer(histories: Histories) -> dict[str, np.ndarray]:
    """Per query: how much, how often, how varied."""
    n_queries, rows = len(histories), histories.rows()
    n_events = np.bincount(rows, minlength=n_queries)
    first_of_basket = np.ones(len(rows), bool)
    first_of_basket[1:] = (rows[1:] != rows[:-1]) | (histories.baskets[1:] != histories.baskets[:-1])
    n_baskets = np.bincount(rows[first_of_basket], minlength=n_queries)
    tenure, since = np.full(n_queries, np.nan), np.full(n_queries, np.nan)
    some = n_events > 0
    tenure[some] = histories.days_ago[histories.offsets[:-1][some]]
    since[some] = histories.days_ago[histories.offsets[1:][some] - 1]
    span = int(histories.items.max(initial=0)) + 1
    n_distinct = np.bincount(np.unique(rows * span + histories.items) // span, minlength=n_queries)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "customer_baskets": n_baskets.astype(np.float64),
            "customer_basket_size": n_events / n_baskets,
            "customer_variety": n_distinct / n_events,
            "customer_gap_days": (tenure - since) / (n_baskets - 1),
            "customer_since_days": since,
        }


FEATURES = (
    "own_n", "own_share", "own_fast", "own_slow", "own_first_days", "own_last_days", "own_gap_days",
    "own_last_gap_days", "own_gap_spread", "own_due", "own_due_item", "own_trips_since", "own_interest",
    "category_n", "category_fast", "category_last_days", "category_share", "category_due",
    "department_share", "brand_n", "brand_share", "kind_n", "kind_fast", "kind_last_days", "kind_due", "kind_loyalty",
    "item_popularity", "item_lately", "item_trend", "item_buyers", "item_rebuy_share", "item_gap_days",
    "item_age_days", "item_idle_days", "item_price", "item_category_share", "item_kind_share", "neighbour_score",
    "customer_baskets", "customer_basket_size", "customer_variety", "customer_gap_days", "customer_since_days",
)  # fmt: skip


def pair_features(histories: Histories, offsets: np.ndarray, items: np.ndarray, statistics: Statistics) -> np.ndarray:
    """Features of pairs, (n_pairs, len(FEATURES)) float32, NaN where nothing is known.

    Row q owns items[offsets[q]:offsets[q + 1]].
    """
    rows = np.repeat(np.arange(len(histories)), np.diff(offsets))
    bought = histories.bought()
    customer = {name: values[rows] for name, values in _customer(bought).items()}
    columns = customer | _own_features(bought, rows, items, statistics, customer)
    columns |= _group_features(bought, rows, items, statistics) | _item_features(items, statistics)
    columns["own_interest"] = _interest(histories, bought, rows, items, statistics)
    columns["kind_loyalty"] = columns["own_n"] / np.maximum(columns["kind_n"], 1)
    columns["neighbour_score"] = _neighbour_scores(histories, rows, items, statistics)
    return np.column_stack([columns[name] for name in FEATURES]).astype(np.float32)


def _own_features(
    histories: Histories, rows: np.ndarray, items: np.ndarray, statistics: Statistics, customer: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    keys, found = _grouped(histories, histories.items, statistics.n_items)
    wanted = rows * statistics.n_items + items
    amounts = _lookup(keys, wanted, {name: found[name] for name in ("n", "fast", "slow")}, 0.0)
    times = _lookup(keys, wanted, {name: found[name] for name in ("first", "last", "last_gap", "gap_spread")}, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.where(amounts["n"] > 1, (times["first"] - times["last"]) / (amounts["n"] - 1), np.nan)
        columns = {
            "own_n": amounts["n"],
            "own_share": amounts["n"] / customer["customer_baskets"],
            "own_fast": amounts["fast"],
            "own_slow": amounts["slow"],
            "own_first_days": times["first"],
            "own_last_days": times["last"],
            "own_gap_days": gap,
            "own_last_gap_days": times["last_gap"],
            "own_gap_spread": times["gap_spread"],
            "own_due": times["last"] / gap,
            "own_due_item": times["last"] / statistics.gap_days[items],
            "own_trips_since": (times["last"] - customer["customer_since_days"]) / customer["customer_gap_days"],
        }
    return {name: np.where(np.isinf(values), np.nan, values) for name, values in columns.items()}


def _interest(
    histories: Histories, bought: Histories, rows: np.ndarray, items: np.ndarray, statistics: Statistics
) -> np.ndarray:
    """Weights of views, clicks and the like, halved every 20 days; zero in a shop that records none."""
    if bought is histories:
        return np.zeros(len(items))
    keys, everything = _grouped(histories, histories.items, statistics.n_items)
    known, purchases = _grouped(bought, bought.items, statistics.n_items)
    wanted = rows * statistics.n_items + items
    total = _lookup(keys, wanted, {"fast": everything["fast"]}, 0.0)["fast"]
    return np.maximum(total - _lookup(known, wanted, {"fast": purchases["fast"]}, 0.0)["fast"], 0.0)


def _group_features(
    histories: Histories, rows: np.ndarray, items: np.ndarray, statistics: Statistics
) -> dict[str, np.ndarray]:
    total = np.maximum(np.bincount(histories.rows(), histories.weights, len(histories)), 1e-9)[rows]
    columns: dict[str, np.ndarray] = {}
    for name, codes in (
        ("category", statistics.category),
        ("department", statistics.department),
        ("brand", statistics.brand),
        ("kind", statistics.kind),
    ):
        n_codes = int(codes.max(initial=0)) + 1
        keys, found = _grouped(histories, codes[histories.items], n_codes)
        wanted = rows * n_codes + codes[items]
        amounts = _lookup(keys, wanted, {key: found[key] for key in ("n", "fast")}, 0.0)
        times = _lookup(keys, wanted, {key: found[key] for key in ("first", "last")}, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            columns |= {
                f"{name}_n": amounts["n"],
                f"{name}_fast": amounts["fast"],
                f"{name}_share": amounts["n"] / total,
                f"{name}_last_days": times["last"],
                f"{name}_due": times["last"] * (amounts["n"] - 1) / (times["first"] - times["last"]),
            }
    return {name: np.where(np.isinf(values), np.nan, values) for name, values in columns.items()}


def _item_features(items: np.ndarray, statistics: Statistics) -> dict[str, np.ndarray]:
    popularity, lately = statistics.popularity[items], statistics.lately[items]
    return {
        "item_popularity": popularity,
        "item_lately": lately,
        "item_trend": (lately * 4 + 1) / (popularity + 1),
        "item_buyers": statistics.n_buyers[items],
        "item_rebuy_share": statistics.rebuy_share[items],
        "item_gap_days": statistics.gap_days[items],
        "item_age_days": statistics.age_days[items],
        "item_idle_days": statistics.idle_days[items],
        "item_price": statistics.price[items],
        "item_category_share": statistics.category_share[items],
        "item_kind_share": statistics.kind_share[items],
    }


def _neighbour_scores(histories: Histories, rows: np.ndarray, items: np.ndarray, statistics: Statistics) -> np.ndarray:
    recent = histories.matrix(statistics.n_items, 30.0)
    called = (recent @ statistics.neighbours).tocsr()
    called.sort_indices()
    keys = np.repeat(np.arange(len(histories)), np.diff(called.indptr)) * statistics.n_items + called.indices
    return _lookup(keys, rows * statistics.n_items + items, {"score": called.data}, 0.0)["score"]
