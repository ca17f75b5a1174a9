"""One request's answer: rank, filter, fall back, explore, give reasons. NumPy only.

Rungs, best first; a lower one fills what the higher ones leave open, and each item says which it came from:

    ensemble | single   what was released, over the customer's candidates
    neighbours          own purchases by recency and what is bought with them, from statistics alone
    category            what sells best in the categories that the customer buys
    popular             what sells best
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
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
from components.recommendation.answer.exploration import Exploration, explored
from components.recommendation.answer.fallbacks import Fallbacks, Found
from components.recommendation.answer.filters import allowed_by
from components.recommendation.answer.items import Wording
from components.recommendation.answer.prepared import Prepared
from components.recommendation.answer.reasons import Past, Ranking, Reason, explain, holds, joined
from components.recommendation.answer.scoring import Scorer, Scores
from components.recommendation.answer.since import extended, followed_by, settled
from components.recommendation.features.folds import FeatureParams
from components.recommendation.features.histories import Histories
from components.recommendation.features.pairs import candidate_items
from components.recommendation.features.statistics import Statistics

log = logging.getLogger(__name__)

RUNGS = ("ensemble", "single", "neighbours", "category", "popular")
REMEMBERED = 4096  # answers, each a few kilobytes: product pages ask with the same one product again and again
PROBED = 10  # customers on whom it is tried whether own purchases lift scores


class Answerer:
    """One release, ready to answer; every array is memory-mapped and shared by all workers."""

    def __init__(
        self, scorer: Scorer, catalogue: Catalogue, histories: Histories, rows: dict[str, int], as_of: datetime
    ) -> None:
        self.scorer, self.catalogue, self.histories, self.rows = scorer, catalogue, histories, rows
        self.as_of = as_of  # when the histories end
        self.statistics = scorer.statistics
        self.fallbacks, self.wording = Fallbacks(self.statistics), Wording(catalogue, self.statistics)
        self.features, self.exploration = FeatureParams(), Exploration()
        self.prepared: Prepared | None = None
        self._own_holds: bool | None = None
        self._failures = 0
        self._pools = ThreadpoolController()  # finds what the members have loaded
        self._remembered = lru_cache(REMEMBERED)(self._answer)

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
            datetime.fromisoformat(bundle.manifest["as_of"]),
        )
        params = bundle.manifest.get("params") or {}
        answerer.features = parse(FeatureParams, params.get("features") or {}, "recommendation.features")
        answerer.exploration = parse(Exploration, params.get("exploration") or {}, "recommendation.exploration")
        return answerer

    def answer(self, ask: Ask) -> Answer:
        """At most k items that pass every filter; raises DataError where the filters leave nothing at all.

        The same question gets the same ranking for as long as the release lives, so it is remembered;
        what a lower rung answered because a model failed is not. What is explored is drawn each time.
        """
        failures = self._failures
        asked = self._settled(ask)
        ranked = self._remembered(replace(asked, k=self._depth(asked), seed=None))
        if self._failures != failures:
            self._remembered.cache_clear()
        items = explored(ranked.items, ask.k, self.exploration, ask.seed)
        return replace(ranked, items=items, rung=items[0].rung)

    def _settled(self, ask: Ask) -> Ask:
        return settled(ask, self.as_of, self.catalogue.code_of)

    def _depth(self, ask: Ask) -> int:
        """How many items need to be known: those of the list, and those that may be drawn into it."""
        return ask.k if ask.seed is None else ask.k + self.exploration.reach

    def _answer(self, ask: Ask) -> Answer:
        history, row, unknown = self.history(ask)
        allowed = allowed_by(ask, self.catalogue)
        items: list[Item] = []
        taken = np.empty(0, np.int32)
        for rung, codes, scores, reasons in self._rungs(history, row):
            keep = np.flatnonzero(allowed(codes) & ~np.isin(codes, taken))[: ask.k - len(taken)]
            chosen = codes[keep]
            why = reasons(chosen) if len(chosen) else []
            items += self.wording.items(rung, chosen, scores[keep], why, history, len(items) + 1)
            taken = np.concatenate([taken, chosen])
            if len(taken) >= ask.k:
                break
        if not items:
            raise DataError("filters: expected at least one product to remain, but none may be shown; loosen them")
        return Answer(items, items[0].rung, ask.customer_id in self.rows or bool(ask.since), unknown)

    def is_prepared(self, ask: Ask) -> bool:
        """Whether the answer lies ready, so that nothing needs to be scored."""
        ask = self._settled(ask)
        if ask.recent or ask.basket or ask.categories or ask.departments or ask.since:
            return False
        row = self._row(ask)
        if row is None:
            return True
        one = self.prepared.of(row) if self.prepared is not None else None
        return one is not None and len(one.items) >= self._depth(ask) + len(ask.exclude)

    def history(self, ask: Ask) -> tuple[Histories, int | None, list[str]]:
        """What is known of who asks; the customer's row where the release's own history is the whole of it."""
        row = self._row(ask)
        session, unknown = self.catalogue.codes(dict.fromkeys((*ask.recent, *ask.basket)))
        past = Histories.of_session(np.empty(0, np.int32)) if row is None else self.histories.part(row, row + 1)
        if ask.since:
            past, row = extended(past, ask, self.as_of, self.catalogue.code_of, self.features.max_history), None
        if not len(session):
            return past, row, unknown
        return followed_by(past, Histories.of_session(session)), None, unknown

    def _row(self, ask: Ask) -> int | None:
        return self.rows.get(ask.customer_id) if ask.customer_id is not None else None

    def rank(self, histories: Histories) -> list[Ranking]:
        """Each query's candidates by what ships, best first, with what they were scored from."""
        with self._threads(len(histories)):
            return self._rank(histories)

    def _rank(self, histories: Histories) -> list[Ranking]:
        offsets, items = candidate_items(histories, self.statistics, self.features.pool)
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

    def _rungs(self, history: Histories, row: int | None) -> Iterator[Found]:
        prepared = self.prepared.of(row) if self.prepared is not None and row is not None else None
        if prepared is not None:
            yield self.scorer.kind, prepared.items, prepared.scores, prepared.reasons
        if len(history.items):
            yield from self._shipped(history)
        yield from self.fallbacks.rungs(history)

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
