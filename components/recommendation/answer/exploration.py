"""Showing, now and then, what ranks just below the list, so that logged answers can say how other lists would do.

With L the n items that would be shown, in order, T the next m allowed ones, and s = `shuffle_share`:

1. Each slot of L is marked by itself with probability `share`. Where more slots are marked than T has items, none is.
2. The marked slots show items of T, drawn uniformly without replacement.
3. With probability s the whole list is put into a uniformly random order.

Which of T a marked slot gets, and the order, are drawn without looking at which slots are marked, so the chance with
which one item is shown at one position, which is what is logged, follows exactly. A given slot is marked, and stays
so, when it is marked itself and at most m - 1 of the n - 1 others are:

    e = share * P(Binomial(n - 1, share) <= m - 1)                 (= share where m >= n; 0 where T is empty)

An item of L with slot i is in the list with probability 1 - e, and then at position j either unmoved or by the shuffle:

    P(item i of L at j) = (1 - e) * ((1 - s) * [i = j] + s / n)

An item of T gets a given slot with probability e / m (the marked slots' items are exchangeable), is in the list with
probability n * e / m, and the shuffle spreads that over n positions:

    P(item of T at j) = (1 - s) * e / m + s * (n * e / m) / n = e / m

For each position these sum to (1 - e) * (1 - s + s) + m * e / m = 1. Beygelzimer et al., "Learning from logged
implicit exploration data" (2010), says what such figures are good for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import comb

import numpy as np
from pydantic import Field

from components.core.params import Params
from components.recommendation.answer.ask import Item


class Exploration(Params):
    """How much of what is shown is drawn; nothing by default."""

    share: float = Field(0.0, ge=0, le=1, description="Chance of a slot to show an item from below the list.")
    depth: int = Field(10, ge=1, description="How many items below the list may be drawn.")
    shuffle_share: float = Field(0.0, ge=0, le=1, description="Chance of an answer to be shown in random order.")

    @property
    def reach(self) -> int:
        """How many items beyond the list need to be known."""
        return self.depth if self.share > 0 else 0

    def marked(self, n: int, m: int) -> float:
        """The chance e that a given one of `n` slots shows one of `m` items from below the list."""
        return _marked(self.share, n, m)

    def propensity(self, rank: int, position: int, n: int, m: int) -> float:
        """Chance of the item ranked `rank` to stand at `position`, both from 0, in a list of `n` above `m` others."""
        explored = self.marked(n, m)
        if rank >= n:
            return explored / m
        stays = 1 - self.shuffle_share if rank == position else 0.0
        return (1 - explored) * (stays + self.shuffle_share / n)

    def draw(self, n: int, m: int, seed: int) -> list[int]:
        """The ranks, from 0, that are shown, by position; the same seed (from 0) draws the same."""
        random = np.random.default_rng(seed)
        marked = np.flatnonzero(random.random(n) < self.share)
        ranks = np.arange(n)
        if len(marked) <= m:
            ranks[marked] = n + random.permutation(m)[: len(marked)]
        shuffled = random.random() < self.shuffle_share
        drawn: list[int] = (random.permutation(ranks) if shuffled else ranks).tolist()
        return drawn


@lru_cache(1024)
def _marked(share: float, n: int, m: int) -> float:
    if m >= n:
        return share
    fits = sum(comb(n - 1, others) * share**others * (1 - share) ** (n - 1 - others) for others in range(m))
    return share * min(1.0, fits)


def explored(ranked: Sequence[Item], k: int, policy: Exploration, seed: int | None) -> list[Item]:
    """What is shown of the best `k` and the `policy.reach` items after them; without a seed the best as they are."""
    n, m = min(k, len(ranked)), max(0, min(policy.reach, len(ranked) - k))
    if seed is None or (policy.share == 0 and policy.shuffle_share == 0):
        return list(ranked[:n])
    return [
        replace(ranked[rank], position=place + 1, propensity=policy.propensity(rank, place, n, m))
        for place, rank in enumerate(policy.draw(n, m, seed))
    ]
