"""What logged answers say of a candidate: it may be vetoed by them, never promoted, and thin logs say nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components import releases
from components.core.application import load_application
from components.core.artifacts import seal, write_json
from components.core.bundle import FORMAT
from components.core.model import make_model
from components.core.splits import Fold, write_folds
from components.recommendation.answer.exploration import Exploration
from components.recommendation.application import APPLICATION
from components.recommendation.features.folds import featurise
from flows.duel import Rows, duel, show
from flows.second_opinion import Opinion, Sides, second_opinion

NAME, K = "recommendation", 10
CUTOFF, AS_OF = datetime(2025, 6, 3, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)
N_CUSTOMERS, N_ITEMS, N_EACH = 120, 30, 12
LIVE = "20250601-00000000"
EXPLORES = {"share": 0.3, "depth": 10}
Lists = Mapping[str, Sequence[str]]  # customer -> products, best first
Earns = Callable[[str, int], float]  # (product, place by the champion from 0) -> chance of a hit


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    return tmp_path


@pytest.fixture
def shop(home: Path) -> Path:
    """A candidate's features and bundle, as far as they matter here, and the live release on the shelf."""
    folder = home / "data" / NAME
    write_folds(folder / "features", [Fold("test", "test", CUTOFF)])
    write_json(folder / "bundle" / "manifest.json", {"as_of": AS_OF.isoformat()})
    products = pl.DataFrame({"item": range(N_ITEMS), "product_id": [f"p{item:02}" for item in range(N_ITEMS)]})
    products.with_columns(pl.col("item").cast(pl.Int32)).write_parquet(folder / "bundle" / "catalogue.parquet")
    on_shelf(home, EXPLORES)
    return home


def on_shelf(home: Path, exploration: Mapping[str, Any]) -> None:
    folder = home / "shop" / "releases" / NAME / LIVE
    write_json(folder / "manifest.json", {"params": {"exploration": exploration}})


def queries() -> pl.DataFrame:
    numbers = range(N_CUSTOMERS)
    return pl.DataFrame({"query": numbers, "customer_id": [f"c{number}" for number in numbers]}).cast(
        {"query": pl.Int32}
    )


def scores(order: Callable[[int], Sequence[int]]) -> pl.DataFrame:
    """Every customer's ranking of all items."""
    rows = [(query, item, -float(rank)) for query in range(N_CUSTOMERS) for rank, item in enumerate(order(query))]
    return pl.DataFrame(rows, {"query": pl.Int32, "item": pl.Int32, "score": pl.Float64}, orient="row")


def rotated(query: int) -> list[int]:
    """The champion's ranking: everybody's differs."""
    return [(query + 7 * step) % N_ITEMS for step in range(N_ITEMS)]


def lists(of: pl.DataFrame) -> dict[str, list[str]]:
    ranked = of.sort("query", "score", descending=[False, True]).group_by("query", maintain_order=True).agg("item")
    return {f"c{query}": [f"p{item:02}" for item in items] for query, items in ranked.iter_rows()}


def write_logs(
    home: Path, champion: Lists, earns: Earns, exploration: Mapping[str, Any] = EXPLORES, **more: Any
) -> None:
    """Every customer is answered `each` times by the champion's list, which explores, and buys of what was shown."""
    policy, random, shown, told = Exploration(**exploration), np.random.default_rng(0), [], []
    release, role, each = more.get("release", LIVE), more.get("role", "champion"), more.get("each", N_EACH)
    for customer, products in champion.items():
        for number in range(each):
            at = more.get("start", CUTOFF) + timedelta(hours=30 * number + 1)
            request, m = f"{customer}-{number}-{role}", min(policy.reach, len(products) - K)
            ranks = policy.draw(K, m, int(random.integers(1 << 40)))
            keys = [
                {"key": products[rank], "position": place + 1, "propensity": policy.propensity(rank, place, K, m)}
                for place, rank in enumerate(ranks)
            ]
            payload = {"release": release, "role": role, "unit": customer, "shown": keys, "facets": {}}
            shown.append((f"{request}:{role}", NAME, "impression", at, request, customer, json.dumps(payload)))
            taken = [products[rank] for rank in ranks if random.random() < earns(products[rank], rank)]
            bought = {"items": [{"product_id": product, "quantity": 1} for product in taken]}
            later = at + timedelta(minutes=5)
            told.append((f"o-{request}", NAME, "purchase", later, request, customer, json.dumps(bought)))
    for table, rows in (("impressions", shown), ("feedback", told)):
        folder = home / "data" / "accepted" / table
        folder.mkdir(parents=True, exist_ok=True)
        names = ["event_id", "application", "kind", "at", "request_id", "customer_id", "payload"]
        part = pl.DataFrame(rows, names, orient="row").with_columns(
            pl.col("at").dt.cast_time_unit("us"), received_at="at"
        )
        part.write_parquet(folder / f"part-{role}.parquet")


def opinion(
    home: Path, candidate: pl.DataFrame, slack: float | None = 0.0, champion: pl.DataFrame | None = None
) -> Opinion:
    sides = Sides(queries(), candidate, scores(rotated) if champion is None else champion)
    folder = home / "data" / NAME
    return second_opinion(APPLICATION, sides, folder / "features", folder / "bundle", slack)


def swapped(query: int) -> list[int]:
    """What the champion ranks 11th to 16th comes first, then its own best four."""
    own = rotated(query)
    return [*own[10:16], *own[:4], *own[4:10], *own[16:]]


def falling(product: str, rank: int) -> float:
    return 0.4 if rank < K else 0.1


def rising(product: str, rank: int) -> float:
    return 0.1 if rank < K else 0.4


def test_a_candidate_that_would_have_earned_less_is_vetoed_and_the_truth_is_told(shop: Path) -> None:
    write_logs(shop, lists(scores(rotated)), falling)
    found = opinion(shop, scores(swapped))
    assert found.vetoes and not found.verdict.passed and "loses more than 0 hits" in found.words
    assert found.difference is not None and found.champion is not None and found.candidate is not None
    truth = (6 * 0.1 + 4 * 0.4) / 10 - 0.4
    for interval in (found.difference.dr, found.difference.snips):
        assert interval.high < 0 and interval.mean == pytest.approx(truth, abs=0.02)
    assert found.champion.dr.mean == pytest.approx(0.4, abs=0.02)
    assert found.candidate.mean_weight == pytest.approx(1, abs=0.1) and found.candidate.support_share == 1
    assert found.difference.n == N_CUSTOMERS * N_EACH * K and found.difference.n_clusters == N_CUSTOMERS
    json.dumps(asdict(found), allow_nan=False)


def test_what_may_be_lost_is_a_parameter(shop: Path) -> None:
    write_logs(shop, lists(scores(rotated)), falling)
    assert opinion(shop, scores(swapped), 0.05).vetoes and not opinion(shop, scores(swapped), 0.3).vetoes


def test_a_candidate_that_would_have_earned_more_is_not_vetoed(shop: Path) -> None:
    write_logs(shop, lists(scores(rotated)), rising)
    found = opinion(shop, scores(swapped))
    assert not found.vetoes and found.verdict.passed and "does not lose" in found.words
    assert found.difference is not None and found.difference.trustworthy and found.difference.dr.low > 0


def test_without_exploring_the_logs_say_nothing(shop: Path) -> None:
    """Only what the champion shows was ever shown, so nobody can tell what the rest would have earned."""
    on_shelf(shop, {})
    write_logs(shop, lists(scores(rotated)), falling, {})
    found = opinion(shop, scores(swapped))
    assert not found.vetoes and found.words.startswith("says nothing: ") and "mean weight 0.40" in found.words


def test_lists_beyond_what_is_explored_are_not_judged(shop: Path) -> None:
    write_logs(shop, lists(scores(rotated)), falling)
    found = opinion(shop, scores(lambda query: rotated(query)[::-1]))
    assert not found.vetoes and "says nothing" in found.words and found.difference is not None


def test_the_same_lists_leave_nothing_to_say(shop: Path) -> None:
    write_logs(shop, lists(scores(rotated)), falling)
    assert "0 effective rows" in opinion(shop, scores(rotated)).words


def test_few_customers_are_not_enough(shop: Path) -> None:
    some = {customer: products for customer, products in lists(scores(rotated)).items() if customer < "c11"}
    assert len(some) < 30
    write_logs(shop, some, falling, each=100)
    assert f"{len(some)} customers, 30 are needed" in opinion(shop, scores(swapped)).words


@pytest.mark.parametrize(
    "more",
    [
        {"role": "shadow"}, {"role": "shop"}, {"release": "gone"}, {"start": AS_OF},
        {"start": CUTOFF - timedelta(days=30)},
    ],
    ids=lambda more: "-".join(map(str, more.values())),
)  # fmt: skip
def test_what_customers_did_not_see_in_the_window_does_not_count(shop: Path, more: dict[str, Any]) -> None:
    write_logs(shop, lists(scores(rotated)), falling, **more)
    found = opinion(shop, scores(swapped))
    assert "nothing was shown" in found.words and found.difference is None and not found.vetoes


def test_strangers_to_the_test_rows_do_not_count(shop: Path) -> None:
    known = lists(scores(rotated))
    write_logs(shop, {f"stranger {customer}": products for customer, products in known.items()}, falling)
    assert "nothing was shown" in opinion(shop, scores(swapped)).words


def test_no_logs_no_propensities_and_no_wish_are_told_apart(shop: Path) -> None:
    assert "nothing was shown" in opinion(shop, scores(swapped)).words
    assert "not asked for" in opinion(shop, scores(swapped), None).words
    sides, folder = Sides(queries(), scores(swapped), scores(rotated)), shop / "data" / NAME
    demand = second_opinion(load_application("demand"), sides, folder / "features", folder / "bundle", None)
    assert demand.words == "says nothing: no logged propensities" and demand.verdict.passed


def test_logs_that_cannot_be_read_bar_nothing(shop: Path) -> None:
    write_logs(shop, lists(scores(rotated)), falling)
    (shop / "data" / "accepted" / "feedback" / "part-champion.parquet").write_bytes(b"PAR1 broken")
    assert "cannot be read" in opinion(shop, scores(swapped)).words


def test_products_that_only_the_logs_know_are_nobodys(shop: Path) -> None:
    own = lists(scores(rotated))
    write_logs(shop, {customer: ["gone", *products] for customer, products in own.items()}, falling)
    found = opinion(shop, scores(swapped))
    assert found.champion is not None and found.champion.n == N_CUSTOMERS * N_EACH * K, "they stay rows of the answer"
    assert found.champion.dr.mean == pytest.approx((9 * 0.4 + 0.1) / 10, abs=0.02)


def bundle_of(model: str, features: Path, bundle: Path, exploration: Mapping[str, Any]) -> None:
    train = pl.read_parquet(features / "test" / "train.parquet")
    make_model(NAME, model, {}).fit(train).save(bundle / "members" / model)
    shipped = {"name": model, "kind": "single", "reason": "test"}
    manifest = {"format": FORMAT, "application": NAME, "shipped": shipped, "members": [model]}
    params = {"exploration": dict(exploration)}
    write_json(bundle / "manifest.json", manifest | {"params": params, "as_of": AS_OF.isoformat()})
    load_application(NAME).package(features, bundle)
    seal(bundle)


def test_a_candidate_that_wins_by_all_rules_is_refused_by_what_was_shown(
    home: Path, tiny: dict[str, pl.DataFrame]
) -> None:
    """Customers rebuy, which `personal` knows, so it wins on what they bought next; shown, they take bestsellers."""
    features, policy = home / "data" / NAME / "features", {"share": 0.5, "depth": 60}
    settings = {"split": {"horizon_days": 28, "oof_folds": 1, "anonymous_queries": 0}, "features": {}}
    featurise({name: table.lazy() for name, table in tiny.items()}, AS_OF.isoformat(), settings, features)
    bundle_of("popularity", features, home / "popularity", policy)
    released = home / "shop" / "releases" / NAME / LIVE
    released.parent.mkdir(parents=True)
    (home / "popularity").rename(released)
    assert releases.release_path(NAME, LIVE) == released
    bundle = features.parent / "bundle"
    bundle_of("personal", features, bundle, policy)

    rows = Rows.of(features)
    named = rows.queries.select("query", "customer_id").drop_nulls()
    products = pl.read_parquet(features / "catalogue.parquet").select("item", "product_id")
    ranked = show(APPLICATION, rows, released).scores.sort("query", "score", "item", descending=[False, True, False])
    known = ranked.join(named, on="query").join(products, on="item", maintain_order="left")
    own = dict(known.group_by("customer_id", maintain_order=True).agg("product_id").iter_rows())
    write_logs(home, own, lambda product, rank: 0.6 if rank < K else 0.05, policy, each=20)

    gates = {"slack": 0.0, "slice_slack": 1.0, "ms_per_query": 1000, "off_policy_slack": 0.01}
    judgement = duel(NAME, {NAME: {"gates": gates}}, features, bundle, released)
    lost = [verdict for verdict in judgement.verdicts if not verdict.passed]
    assert [verdict.metric for verdict in lost] == ["off_policy"] and not judgement.passed
    assert judgement.reasons == [lost[0].reason] and "loses more than 0.01 hits" in lost[0].reason
    assert judgement.difference is not None and judgement.difference["low"] > 0, "by all other rules it wins"
    written = json.loads(json.dumps(judgement.as_json(), allow_nan=False))
    assert written["opinion"]["vetoes"] and written["opinion"]["difference"]["dr"]["high"] < -0.01

    silent = duel(NAME, {NAME: {"gates": gates | {"off_policy_slack": None}}}, features, bundle, released)
    assert silent.passed and any("not asked for" in reason for reason in silent.reasons)
