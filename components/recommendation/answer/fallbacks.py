"""The rungs below what was released: they need statistics alone, so they answer whatever a model does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from components.recommendation.answer.reasons import Kind, Reason, companions
from components.recommendation.features.histories import Histories
from components.recommendation.features.statistics import Statistics

PER_CATEGORY = 30  # bestsellers that the category rung takes from each category

# a rung's name, its items and scores best first, and the reasons of chosen ones
Found = tuple[str, np.ndarray, np.ndarray, Callable[[np.ndarray], list[Reason]]]


class Fallbacks:
    """Neighbours, category and popular, from one release's statistics."""

    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics
        self._bestsellers = np.argsort(-statistics.popularity, kind="stable").astype(np.int32)
        self._by_category = _split(statistics.category, self._bestsellers)

    def rungs(self, history: Histories) -> Iterator[Found]:
        """Best first; without a history only the last."""
        if len(history.items):
            yield self.neighbours(history)
            yield self.category(history)
        yield "popular", self._bestsellers, self.statistics.popularity[self._bestsellers], _popular

    def neighbours(self, history: Histories) -> Found:
        """Own purchases by recency, and what is bought with them."""
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

    def category(self, history: Histories) -> Found:
        """Bestsellers of the categories bought, the most bought first."""
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


def _popular(codes: np.ndarray) -> list[Reason]:
    return [Reason(Kind.POPULAR)] * len(codes)


def _split(groups: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Members of each group, in the given order."""
    arranged = order[np.argsort(groups[order], kind="stable")]
    return np.split(arranged, np.cumsum(np.bincount(groups))[:-1])
