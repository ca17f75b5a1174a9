"""Personal: what this customer buys again and again, and when it is due."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import load_array, read_json, save_arrays, write_json
from components.core.errors import NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.recommendation.histories import Histories
from components.recommendation.ranking import WholeCatalogue

UNSEEN = 1e-6  # all of popularity fits below this, so an own item never falls behind an unseen one


class PersonalParams(Params):
    half_life_days: float = Field(120.0, gt=0, description="A purchase counts half after so many days.")
    rhythm: float = Field(0.5, ge=0, le=1, description="Share of the score that depends on being due; 0: none.")
    gap_prior: float = Field(3.0, gt=0, description="Gaps that an item's own mean gap must outweigh.")
    popularity_half_life_days: float = Field(28.0, gt=0, description="For items the customer never bought.")


@dataclass(frozen=True, slots=True)
class _Repeats:
    """One entry per (query, item) that occurs, ordered by `keys` = query * n_items + item."""

    keys: np.ndarray
    rows: np.ndarray
    items: np.ndarray
    counts: np.ndarray
    decayed: np.ndarray
    first_days_ago: np.ndarray
    last_days_ago: np.ndarray

    @classmethod
    def of(cls, histories: Histories, n_items: int, half_life_days: float) -> Self:
        """Unknown items (code >= n_items) are left out."""
        known = np.flatnonzero(histories.items < n_items)
        events = histories.rows()[known] * n_items + histories.items[known]
        order = np.argsort(events, kind="stable")
        keys, starts, counts = np.unique(events[order], return_index=True, return_counts=True)
        days = histories.days_ago[known][order].astype(np.float64)
        values = histories.weights[known][order] * np.exp2(-days / half_life_days)
        if not len(keys):
            days, values = np.zeros(0), np.zeros(0)
            return cls(keys, keys, keys, counts, values, days, days)
        return cls(
            keys,
            keys // n_items,
            keys % n_items,
            counts,
            np.add.reduceat(values, starts),
            np.maximum.reduceat(days, starts),
            np.minimum.reduceat(days, starts),
        )


class Personal(WholeCatalogue):
    """Decayed frequency times how due the item is; unseen items follow by popularity.

    The purchase rhythm is a hazard over the days since the last purchase, in units of the
    expected gap. The expected gap of a customer and an item is their own mean gap, shrunk to
    the item's mean gap, which is shrunk to the mean gap of all items.
    """

    params_class: ClassVar[type[Params]] = PersonalParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = PersonalParams.model_validate((params or PersonalParams()).model_dump())
        self._gaps: np.ndarray | None = None
        self._popularity: np.ndarray | None = None

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        items, days = train["item"].to_numpy(), train["days_ago"].to_numpy()
        decayed = train["weight"].to_numpy() * np.exp2(-days / self.params.popularity_half_life_days)
        counts = np.bincount(items, weights=decayed)
        self.n_items = len(counts)
        self._popularity = (counts * (0.999 * UNSEEN / max(counts.max(initial=0.0), 1e-30))).astype(np.float32)
        self._gaps = self._item_gaps(train).astype(np.float32)
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        popularity = self._fitted()[0]
        repeats, own = self._own(histories)
        answer = np.tile(popularity, (len(histories), 1))
        answer[repeats.rows, repeats.items] = own
        return answer

    def scores_at(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        popularity = self._fitted()[0]
        repeats, own = self._own(histories)
        known = items < self.n_items
        answer = np.where(known, popularity[np.where(known, items, 0)], np.nan).astype(np.float32)
        wanted = np.repeat(np.arange(len(histories)), np.diff(offsets)) * self.n_items + items
        places = np.searchsorted(repeats.keys, wanted)
        places[places == len(repeats.keys)] = 0
        found = known & (repeats.keys[places] == wanted) if len(repeats.keys) else np.zeros(len(items), bool)
        answer[found] = own[places[found]]
        return answer

    def save(self, folder: Path) -> None:
        popularity, gaps = self._fitted()
        save_arrays(folder, {"popularity": popularity, "gaps": gaps})
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(PersonalParams(**read_json(folder / "params.json")))
        model._popularity, model._gaps = load_array(folder, "popularity"), load_array(folder, "gaps")
        model.n_items = len(model._popularity)
        return model

    def _own(self, histories: Histories) -> tuple[_Repeats, np.ndarray]:
        repeats = _Repeats.of(histories, self.n_items, self.params.half_life_days)
        due = self._due(repeats)
        share = self.params.rhythm
        own = repeats.decayed * (1 - share + share * due)
        return repeats, (own + UNSEEN).astype(np.float32)

    def _due(self, repeats: _Repeats) -> np.ndarray:
        """How due each repeat is, in [0, 1]: 1 at its expected gap, falling on both sides."""
        n_gaps, prior = repeats.counts - 1, self.params.gap_prior
        own_days = repeats.first_days_ago - repeats.last_days_ago
        expected = (own_days + prior * self._fitted()[1][repeats.items]) / (n_gaps + prior)
        ratio = (repeats.last_days_ago + 0.5) / (expected + 0.5)
        due: np.ndarray = 2 * ratio / (1 + ratio**2)
        return due

    def _item_gaps(self, train: pl.DataFrame) -> np.ndarray:
        repeats = _Repeats.of(Histories.from_train(train)[0], self.n_items, self.params.half_life_days)
        days = np.bincount(repeats.items, repeats.first_days_ago - repeats.last_days_ago, self.n_items)
        gaps = np.bincount(repeats.items, repeats.counts - 1, self.n_items)
        overall = days.sum() / max(gaps.sum(), 1.0)
        shrunk: np.ndarray = (days + self.params.gap_prior * overall) / (gaps + self.params.gap_prior)
        return shrunk

    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        if self._popularity is None or self._gaps is None:
            raise NotFitted("personal: expected a fitted model; call fit() or load() first")
        return self._popularity, self._gaps


MODEL = Personal
