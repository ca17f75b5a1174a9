"""One request's answer: rank, filter, fall back, give reasons. NumPy only.

Rungs, best first; a lower one fills what the higher ones leave open, and each item says which it came from:

    ensemble | single   what was released, over the customer's candidates
    neighbours          own purchases by recency and what is bought with them, from statistics alone
    category            what sells best in the categories that the customer buys
    popular             what sells best
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Self, cast

import numpy as np
import polars as pl
from threadpoolctl import ThreadpoolController

from components.core.bundle import Bundle, load_bundle
from components.core.errors import DataError
from components.core.params import parse
from components.recommendation.answer.ask import Answer, Ask, Item
from components.recommendation.answer.catalogue import Catalogue
from components.recommendation.answer.prepared import Prepared
from components.recommendation.answer.reasons import (
    Kind,
    Past,
    Ranking,
    Reason,
    companions,
    evidence,
    explain,
    holds,
    joined,
    words,
)
from components.recommendation.answer.scoring import Scorer, Scores
from components.recommendation.features.histories import Histories
from components.recommendation.features.pairs import PoolParams, candidate_items
from components.recommendation.features.statistics import Statistics

log = logging.getLogger(__name__)

RUNGS = ("ensemble", "single", "neighbours", "category", "popular")
REMEMBERED = 4096  # answers, each a few kilobytes: product pages ask with the same one product again and again
PROBED = 10  # customers on whom it is tried whether own purchases lift scores
PER_CATEGORY = 30  # bestsellers that the category rung takes from each category

# a rung's name, its items and scores best first, and the reasons of chosen ones
Found = tuple[str, np.ndarray, np.ndarray, Callable[[np.ndarray], list[Reason]]]


class Answerer:
    """One release, ready to answer; every array is memory-mapped and shared by all workers."""

    def __init__(self, scorer: Scorer, catalogue: Catalogue, histories: Histories, rows: dict[str, int]) -> None:
        self.scorer, self.catalogue, self.histories, self.rows = scorer, catalogue, histories, rows
        self.statistics = scorer.statistics
        self.pool = PoolParams()
        self.prepared: Prepared | None = None
        self._own_holds: bool | None = None
        self._failures = 0
        self._pools = ThreadpoolController()  # finds what the members have loaded
        self._remembered = lru_cache(REMEMBERED)(self._answer)
        self._bestsellers = np.argsort(-self.statistics.popularity, kind="stable").astype(np.int32)
        self._by_category = _split(self.statistics.category, self._bestsellers)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a sealed bundle; raises ArtifactError where a byte differs from what was sealed."""
        answerer = cls.of(load_bundle(folder))
        answerer.prepared = Prepared.load(folder / "answers") if (folder / "answers").is_dir() else None
        answerer.explain([])  # finds out what the first request would otherwise wait for
        return answerer

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """From a bundle whose members are loaded already."""
        folder = bundle.folder
        customers = pl.read_parquet(folder / "histories" / "customers.parquet")
        members = cast(dict[str, Scores], bundle.members)  # every recommender has scores_at beside predict
        scorer = Scorer(members, bundle.ensemble, Statistics.load(folder / "statistics"))
        answerer = cls(
            scorer,
            Catalogue.load(folder / "catalogue.parquet"),
            Histories.load(folder / "histories"),
            dict(customers.select(pl.col("customer_id").cast(pl.String), "row").iter_rows()),
        )
        features = bundle.manifest.get("params", {}).get("features") or {}
        answerer.pool = parse(PoolParams, features.get("pool") or {}, "recommendation.features.pool")
        return answerer

    def answer(self, ask: Ask) -> Answer:
        """At most k items that pass every filter; raises DataError where the filters leave nothing at all.

        The same question gets the same answer for as long as the release lives, so it is remembered;
        what a lower rung answered because a model failed is not.
        """
        failures = self._failures
        answer = self._remembered(ask)
        if self._failures != failures:
            self._remembered.cache_clear()
        return answer

    def _answer(self, ask: Ask) -> Answer:
        history, row, unknown = self.history(ask)
        allowed = self._filter(ask)
        items: list[Item] = []
        taken = np.empty(0, np.int32)
        for rung, codes, scores, reasons in self._rungs(history, row, ask):
            keep = np.flatnonzero(allowed(codes) & ~np.isin(codes, taken))[: ask.k - len(taken)]
            chosen = codes[keep]
            found = self._items(rung, chosen, scores[keep], reasons(chosen) if len(chosen) else [], history)
            items += [replace(item, position=place) for place, item in enumerate(found, len(items) + 1)]
            taken = np.concatenate([taken, chosen])
            if len(taken) >= ask.k:
                break
        if not items:
            raise DataError("filters: expected at least one product to remain, but none may be shown; loosen them")
        return Answer(items, items[0].rung, ask.customer_id in self.rows, unknown)

    def is_prepared(self, ask: Ask) -> bool:
        """Whether the answer lies ready, so that nothing needs to be scored."""
        if ask.recent or ask.basket or ask.categories or ask.departments:
            return False
        row = self.rows.get(ask.customer_id) if ask.customer_id is not None else None
        if row is None:
            return True
        one = self.prepared.of(row) if self.prepared is not None else None
        return one is not None and len(one.items) >= ask.k + len(ask.exclude)

    def history(self, ask: Ask) -> tuple[Histories, int | None, list[str]]:
        """What is known of who asks; the customer's row where the release's own history is the whole of it."""
        row = self.rows.get(ask.customer_id) if ask.customer_id is not None else None
        session, unknown = self.catalogue.codes(dict.fromkeys((*ask.recent, *ask.basket)))
        past = Histories.of_session(np.empty(0, np.int32)) if row is None else self.histories.part(row, row + 1)
        if not len(session):
            return past, row, unknown
        now = Histories.of_session(session)
        if row is None:
            return now, None, unknown
        return _followed_by(past, now), None, unknown

    def rank(self, histories: Histories) -> list[Ranking]:
        """Each query's candidates by what ships, best first, with what they were scored from."""
        with self._threads(len(histories)):
            return self._rank(histories)

    def _rank(self, histories: Histories) -> list[Ranking]:
        offsets, items = candidate_items(histories, self.statistics, self.pool)
        members, features = self.scorer.inputs(histories, offsets, items)
        scores = self.scorer.combine(members, features, offsets)
        found = []
        for start, stop in pairwise(offsets.tolist()):
            order = start + np.argsort(-scores[start:stop], kind="stable")
            order = order[np.isfinite(scores[order])]
            found.append(Ranking(items[order], scores[order], members[order], features[order]))
        return found

    def explain(self, past: Sequence[Past]) -> list[list[Reason]]:
        """Reasons of each query's items; whether own purchases need trying is found out on the first call."""
        if self._own_holds is None:
            self._own_holds = holds(self._sample(), self.scorer)
        with self._threads(len(past)):
            return explain(past, self.scorer, self._own_holds)

    def _threads(self, n_queries: int) -> AbstractContextManager[object]:
        """One thread for one query: others would spin, waiting for work too small to share; a batch shares it.

        Where requests overlap, the last to leave may keep the limit for the process, which then serves no worse.
        """
        return self._pools.limit(limits=1) if n_queries == 1 else nullcontext()

    def spread(self, n: int) -> list[Histories]:
        """Histories of at most `n` customers, spread over all of them."""
        rows = np.unique(np.linspace(0, len(self.histories) - 1, min(len(self.histories), n)).astype(int)).tolist()
        return [self.histories.part(row, row + 1) for row in rows]

    def _sample(self) -> list[Past]:
        """The first items of a few customers."""
        histories = self.spread(PROBED)
        rankings = self.rank(joined(histories)) if histories else []
        return [Past(history, each, each.items[:3]) for history, each in zip(histories, rankings, strict=True)]

    def _rungs(self, history: Histories, row: int | None, ask: Ask) -> Iterator[Found]:
        prepared = self.prepared.of(row) if self.prepared is not None and row is not None else None
        if prepared is not None:
            yield self.scorer.kind, prepared.items, prepared.scores, prepared.reasons
        if len(history.items):
            yield from self._shipped(history)
            yield self._neighbours(history)
            yield self._category(history)
        yield "popular", self._bestsellers, self.statistics.popularity[self._bestsellers], _popular

    def _shipped(self, history: Histories) -> Iterator[Found]:
        try:
            (ranking,) = self.rank(history)
        except Exception:  # whatever a member does, the customer gets an answer: the next rung's
            self._failures += 1
            log.exception("the released %s failed; answering from the next rung", self.scorer.kind)
            return

        def reasons(codes: np.ndarray) -> list[Reason]:
            return self.explain([Past(history, ranking, codes)])[0]

        yield self.scorer.kind, ranking.items, ranking.scores, reasons

    def _neighbours(self, history: Histories) -> Found:
        n_items, statistics = self.statistics.n_items, self.statistics
        own = history.matrix(n_items, 60.0)
        called = (own @ statistics.neighbours).tocsr()
        scores = np.zeros(n_items, np.float32)
        scores[called.indices] = 0.1 * called.data
        scores[own.indices] += own.data * statistics.rebuy_share[own.indices]
        order = np.argsort(-scores, kind="stable")[: np.count_nonzero(scores > 0)].astype(np.int32)

        def reasons(codes: np.ndarray) -> list[Reason]:
            bought = np.isin(codes, history.items)
            calls = companions(history, codes, statistics)
            return [
                Reason(Kind.OWN) if own_item else Reason(Kind.TOGETHER, int(call))
                for own_item, call in zip(bought, calls, strict=True)
            ]

        return "neighbours", order, scores[order], reasons

    def _category(self, history: Histories) -> Found:
        share = np.bincount(self.statistics.category[history.items], history.weights)
        known = np.flatnonzero(share)
        codes = [self._by_category[category][:PER_CATEGORY] for category in known if category]
        items = np.concatenate([np.empty(0, np.int32), *codes])
        best = np.array([self.statistics.popularity[self._by_category[category][0]] for category in known])
        relative = dict(zip(known.tolist(), share[known] / np.maximum(best, 1e-9), strict=True))
        factor = np.array([relative[category] for category in self.statistics.category[items].tolist()])
        scores = self.statistics.popularity[items] * factor if len(items) else np.empty(0)
        order = np.argsort(-scores, kind="stable")
        return "category", items[order], scores[order], lambda chosen: [Reason(Kind.CATEGORY)] * len(chosen)

    def _filter(self, ask: Ask) -> Callable[[np.ndarray], np.ndarray]:
        """A mask over item codes: what may be shown to who asks."""
        shown = self.catalogue.available
        blocked = self.catalogue.codes((*ask.recent, *ask.basket, *ask.exclude))[0]
        wanted = []
        if ask.categories:
            wanted.append(_named(self.catalogue.category_codes, ask.categories, "categories"))
        if ask.departments:
            wanted.append(_named(self.catalogue.department_codes, ask.departments, "departments"))

        def allowed(codes: np.ndarray) -> np.ndarray:
            mask = shown[codes]
            if len(blocked):
                mask = mask & ~np.isin(codes, blocked)
            for group in wanted:
                mask = mask & np.isin(codes, group)
            return mask

        return allowed

    def _items(
        self, rung: str, codes: np.ndarray, scores: np.ndarray, reasons: list[Reason], history: Histories
    ) -> list[Item]:
        catalogue = self.catalogue
        return [
            Item(
                catalogue.product_ids[code],
                catalogue.titles[code],
                catalogue.categories[code],
                score,
                rung,
                words(history, code, reason, catalogue, self.statistics),
                reason.kind.name.lower(),
                self._evidence(history, code, reason),
                position=1,
                propensity=1.0,
            )
            for code, score, reason in zip(codes.tolist(), scores.tolist(), reasons, strict=True)
        ]

    def _evidence(self, history: Histories, code: int, reason: Reason) -> list[str]:
        """Product ids that a reason names, except where it names the whole history."""
        if reason.kind == Kind.OWN:
            return [self.catalogue.product_ids[code]]
        if reason.kind == Kind.TOGETHER:
            return [self.catalogue.product_ids[reason.companion]]
        if reason.kind == Kind.CATEGORY:
            named = np.unique(history.items[evidence(history, code, reason, self.statistics)])
            return [self.catalogue.product_ids[item] for item in named.tolist()]
        return []


def request_milliseconds(answerer: Answerer, n: int = 100) -> float:
    """Processor time of one request's ranking: candidates, features, members, ensemble; median over customers.

    One history at a time, as the service is asked: a batch pays only once for what every request pays.
    Processor time, because the time on the wall is also that of whatever else the machine does.
    """
    histories = answerer.spread(n) or [Histories.of_session(np.zeros(1, np.int32))]
    answerer.rank(histories[0])  # what is loaded on first use is not a request's
    taken = []
    for history in histories:
        began = time.process_time()
        answerer.rank(history)
        taken.append(time.process_time() - began)
    return 1000 * float(np.median(taken))


def _popular(codes: np.ndarray) -> list[Reason]:
    return [Reason(Kind.POPULAR)] * len(codes)


def _named(groups: dict[str, np.ndarray], names: tuple[str, ...], field: str) -> np.ndarray:
    """Codes of all items in the named groups; raises DataError with the nearest names where one is unknown."""
    import difflib

    found = []
    for name in names:
        if name.lower() not in groups:
            near = difflib.get_close_matches(name.lower(), groups, n=3, cutoff=0.5) or sorted(groups)[:3]
            raise DataError(f"filters.{field}: expected a name in the catalogue, got {name!r}; try {', '.join(near)}")
        found.append(groups[name.lower()])
    return np.concatenate(found)


def _split(groups: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Members of each group, in the given order."""
    arranged = order[np.argsort(groups[order], kind="stable")]
    return np.split(arranged, np.cumsum(np.bincount(groups))[:-1])


def _followed_by(past: Histories, now: Histories) -> Histories:
    """One query's history with a session after it, as its last basket."""
    basket = past.baskets.max(initial=-1) + 1
    return Histories(
        past.offsets + np.array([0, len(now.items)]),
        np.concatenate([past.items, now.items]),
        np.concatenate([past.days_ago, now.days_ago]),
        np.concatenate([past.weights, now.weights]),
        np.concatenate([past.baskets, now.baskets + basket]),
    )
