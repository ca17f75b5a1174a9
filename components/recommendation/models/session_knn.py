"""Nearest sessions: what others went on to in sessions like this one.

Vector-multiplication session kNN (Ludewig and Jannach 2018) with the three decays of STAN
(Garg et al. 2019): older items of the current session, older neighbours, and a neighbour's items
far from the one that both share count less.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field
from scipy import sparse

from components.core.artifacts import load_array, read_json, save_arrays, write_json
from components.core.errors import NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.recommendation.features.histories import Histories
from components.recommendation.ranking import WholeCatalogue

MATCHES = 4_000_000  # pairs of a query's event and a neighbour's that are held at once


class SessionKnnParams(Params):
    session: Literal["basket", "customer"] = Field("basket", description="Whose items belong together.")
    neighbours: int = Field(500, ge=1)
    length: int = Field(20, ge=1, description="Last different items of the query that are compared.")
    per_item: int = Field(1000, ge=1, description="Latest sessions looked up for each of them.")
    query_decay: float = Field(3.0, gt=0, description="Events after which an item of the query counts 1/e.")
    place_decay: float | None = Field(
        None, gt=0, description="Events away from the shared item after which a neighbour's item counts 1/e."
    )
    age_decay_days: float | None = Field(None, gt=0, description="Days after which a neighbour counts 1/e.")
    size_power: float = Field(0.5, ge=0, description="Similarity is divided by the neighbour's size to this power.")
    rarity_power: float = Field(0.0, ge=0, description="Shared items count log(sessions / sessions with it) ** power.")
    later_only: bool = Field(False, description="Count only what a neighbour did after the shared item.")


class SessionKnn(WholeCatalogue):
    """Sessions that share an item with the query vote for their items, the likest ones only."""

    params_class: ClassVar[type[Params]] = SessionKnnParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = SessionKnnParams.model_validate((params or SessionKnnParams()).model_dump())
        self._arrays: dict[str, np.ndarray] = {}

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        group = self.params.session
        ordered = (
            train.drop_nulls(group)
            .with_columns(age=pl.col("days_ago").min().over(group))
            .sort("age", group, "days_ago", "basket", "item", descending=[False, False, True, False, False])
        )
        session = ordered[group].rle_id().to_numpy().astype(np.int64)
        items = ordered["item"].to_numpy().astype(np.int32)
        self.n_items = int(train["item"].max() or 0) + 1  # type: ignore[arg-type]
        starts = np.flatnonzero(np.diff(session, prepend=-1))
        by_item = np.argsort(items, kind="stable")  # sessions stay latest first
        counts = np.bincount(items, minlength=self.n_items)
        self._arrays = {
            "offsets": np.append(starts, len(items)).astype(np.int64),
            "items": items,
            "sessions": session.astype(np.int32),
            "ages": ordered["age"].to_numpy()[starts].astype(np.float32),
            "postings": by_item.astype(np.int32),
            "posting_offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        }
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        self._fitted()
        queries, items, ranks = self._asked(histories)
        answer = np.full((len(histories), self.n_items), np.nan, np.float32)
        for events in self._pieces(queries, items):
            first, last = queries[events.start], queries[events.stop - 1] + 1
            votes = self._votes(queries[events] - first, items[events], ranks[events], last - first)
            rows, columns = votes.nonzero()
            answer[first + rows, columns] = votes.data
        return answer

    def save(self, folder: Path) -> None:
        save_arrays(folder, self._fitted())
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(SessionKnnParams(**read_json(folder / "params.json")))
        names = ("offsets", "items", "sessions", "ages", "postings", "posting_offsets")
        model._arrays = {name: load_array(folder, name) for name in names}
        model.n_items = len(model._arrays["posting_offsets"]) - 1
        return model

    def _asked(self, histories: Histories) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The last different items of every query: query, item, and how many came later."""
        rows = histories.rows()
        known = histories.items < self.n_items
        rows, items = rows[known][::-1], histories.items[known][::-1].astype(np.int64)  # latest first
        _, firsts = np.unique(rows * self.n_items + items, return_index=True)
        kept = np.sort(firsts)
        rows, items = rows[kept][::-1], items[kept][::-1]  # queries in order again, latest item last
        ends = np.searchsorted(rows, rows, side="right")
        ranks = ends - 1 - np.arange(len(rows))
        recent = ranks < self.params.length
        return rows[recent], items[recent], ranks[recent]

    def _pieces(self, queries: np.ndarray, items: np.ndarray) -> list[slice]:
        """Runs of whole queries with at most MATCHES postings (or a single query)."""
        postings = self._arrays["posting_offsets"]
        found = np.cumsum(np.minimum(postings[items + 1] - postings[items], self.params.per_item))
        pieces, start = [], 0
        while start < len(queries):
            before = found[start - 1] if start else 0
            stop = int(np.searchsorted(found, before + MATCHES, side="right"))
            if stop < len(queries):
                stop = int(np.searchsorted(queries, queries[max(stop, start)]))
            if stop <= start:
                stop = int(np.searchsorted(queries, queries[start], side="right"))
            pieces.append(slice(start, stop))
            start = stop
        return pieces

    def _votes(self, queries: np.ndarray, items: np.ndarray, ranks: np.ndarray, n_queries: int) -> sparse.csr_matrix:
        """Summed votes of the nearest sessions, (n_queries, n_items)."""
        chosen, kept = self.params, self._arrays
        query, session, place, likeness = self._nearest(queries, items, ranks)
        starts, sizes = kept["offsets"][session], np.diff(kept["offsets"])[session]
        event, pair = _spans(starts, sizes)
        distance = event - place[pair]
        votes = likeness[pair]
        if chosen.place_decay is not None:
            votes = votes * np.exp(-np.abs(distance) / chosen.place_decay)
        if chosen.later_only:
            votes = votes * (distance > 0)
        shape = (n_queries, self.n_items)
        table = sparse.coo_matrix((votes.astype(np.float32), (query[pair], kept["items"][event])), shape=shape).tocsr()
        table.eliminate_zeros()
        return table

    def _nearest(
        self, queries: np.ndarray, items: np.ndarray, ranks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Query, session, the shared event nearest to now, and likeness, of the best neighbours."""
        chosen, kept = self.params, self._arrays
        starts = kept["posting_offsets"][items]
        n_found = np.minimum(kept["posting_offsets"][items + 1] - starts, chosen.per_item)
        posting, asked = _spans(starts, n_found)
        event = kept["postings"][posting]
        n_sessions = len(kept["ages"])
        key = queries[asked] * n_sessions + kept["sessions"][event]
        order = np.lexsort((ranks[asked], key))
        key, asked, event = key[order], asked[order], event[order]
        firsts = np.flatnonzero(np.diff(key, prepend=-1))
        shares = np.exp(-ranks / chosen.query_decay) * self._rarity(items)
        likeness = np.add.reduceat(shares[asked], firsts) if len(firsts) else np.empty(0)
        query, session, place = key[firsts] // n_sessions, key[firsts] % n_sessions, event[firsts]
        likeness = likeness / np.diff(kept["offsets"])[session] ** chosen.size_power
        if chosen.age_decay_days is not None:
            likeness = likeness * np.exp(-kept["ages"][session] / chosen.age_decay_days)
        order = np.lexsort((session, -likeness, query))
        query = query[order]
        near = np.arange(len(query)) - np.searchsorted(query, query) < chosen.neighbours
        best = order[near]
        return query[near], session[best], place[best], likeness[best]

    def _rarity(self, items: np.ndarray) -> np.ndarray:
        counts = np.diff(self._arrays["posting_offsets"])[items]
        rarity: np.ndarray = np.log1p(len(self._arrays["ages"]) / np.maximum(counts, 1)) ** self.params.rarity_power
        return rarity

    def _fitted(self) -> dict[str, np.ndarray]:
        if not self._arrays:
            raise NotFitted("session_knn: expected a fitted model; call fit() or load() first")
        return self._arrays


def _spans(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """starts[i] .. starts[i] + lengths[i] - 1 one after another, and i."""
    owner = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return starts[owner] + within, owner


MODEL = SessionKnn
