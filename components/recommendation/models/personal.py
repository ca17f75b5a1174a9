"""Personal: what this customer buys again and again, and when it is due."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import load_array, read_json, save_arrays, write_json
from components.core.errors import NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.recommendation.features.histories import Histories
from components.recommendation.ranking import WholeCatalogue
from components.recommendation.repeats import Repeats, by_item, item_gaps, last_baskets

UNSEEN = 1e-6  # all of popularity fits below this, so an own item never falls behind an unseen one


class PersonalParams(Params):
    half_life_days: float = Field(90.0, gt=0, description="A purchase counts half after so many days.")
    rhythm: float = Field(0.2, ge=0, le=1, description="Share of the score that depends on being due; 0: none.")
    gap_prior: float = Field(3.0, gt=0, description="Gaps that an item's own mean gap must outweigh.")
    loyalty_prior: float = Field(30.0, gt=0, description="Rebuys that an item must outweigh; very large: no loyalty.")
    loyalty_baskets: int = Field(5, ge=0, description="A customer's last baskets that tell which items are rebought.")
    popularity_half_life_days: float = Field(28.0, gt=0, description="For items the customer never bought.")


class Personal(WholeCatalogue):
    """Decayed frequency x how due the item is x how readily it is rebought; unseen items follow by popularity.

    due      a hazard over the days since the last purchase, in units of the expected gap: the
             customer's mean gap for the item, shrunk to the item's, which is shrunk to that of all items
    loyalty  purchases of the item in customers' latest baskets against what decayed frequency
             alone expects of all items; each basket is judged by what came before it
    """

    params_class: ClassVar[type[Params]] = PersonalParams
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        self.params = PersonalParams.model_validate((params or PersonalParams()).model_dump())
        self._arrays: dict[str, np.ndarray] = {}  # popularity, gaps and loyalty, each (n_items,)

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        items, days = train["item"].to_numpy(), train["days_ago"].to_numpy()
        decayed = train["weight"].to_numpy() * np.exp2(-days / self.params.popularity_half_life_days)
        counts = np.bincount(items, weights=decayed, minlength=1)
        self.n_items = len(counts)
        histories = by_item(Histories.from_train(train)[0])
        repeats = Repeats.of(histories, self.n_items, self.params.half_life_days)
        arrays = {
            "popularity": counts * (0.999 * UNSEEN / max(counts.max(initial=0.0), 1e-30)),
            "gaps": item_gaps(repeats, self.n_items, self.params.gap_prior),
            "loyalty": self._loyalty(histories),
        }
        self._arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        popularity = self._fitted()["popularity"]
        repeats, own = self._own(histories)
        answer = np.tile(popularity, (len(histories), 1))
        answer[repeats.rows, repeats.items] = own
        return answer

    def scores_at(self, histories: Histories, offsets: np.ndarray, items: np.ndarray) -> np.ndarray:
        popularity = self._fitted()["popularity"]
        repeats, own = self._own(histories)
        known = items < self.n_items
        answer = np.where(known, popularity[np.where(known, items, 0)], np.nan).astype(np.float32)
        wanted = np.repeat(np.arange(len(histories)), np.diff(offsets)) * self.n_items + items
        found, places = repeats.find(np.where(known, wanted, -1))
        answer[found] = own[places]
        return answer

    def save(self, folder: Path) -> None:
        save_arrays(folder, self._fitted())
        write_json(folder / "params.json", self.params.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(PersonalParams(**read_json(folder / "params.json")))
        model._arrays = {name: load_array(folder, name) for name in ("popularity", "gaps", "loyalty")}
        model.n_items = len(model._arrays["popularity"])
        return model

    def _own(self, histories: Histories) -> tuple[Repeats, np.ndarray]:
        arrays, share = self._fitted(), self.params.rhythm
        repeats = Repeats.of(histories, self.n_items, self.params.half_life_days)
        expected = repeats.mean_gaps(self.params.gap_prior, arrays["gaps"][repeats.items])
        ratio = (repeats.last_days_ago + 0.5) / (expected + 0.5)
        due = 2 * ratio / (1 + ratio**2)  # in [0, 1]: 1 at the expected gap, falling on both sides
        own = repeats.decayed * (1 - share + share * due) * arrays["loyalty"][repeats.items]
        return repeats, (own + UNSEEN).astype(np.float32)

    def _loyalty(self, histories: Histories) -> np.ndarray:
        bought, exposed = np.zeros(self.n_items), np.zeros(self.n_items)
        for before, basket in last_baskets(histories, self.params.loyalty_baskets):
            repeats = Repeats.of(before, self.n_items, self.params.half_life_days)
            again, _ = repeats.find(basket.rows() * self.n_items + basket.items)
            bought += np.bincount(basket.items[again], basket.weights[again], self.n_items)
            exposed += np.bincount(repeats.items, repeats.decayed, self.n_items)
        prior, rate = self.params.loyalty_prior, bought.sum() / max(exposed.sum(), 1e-9)
        loyalty: np.ndarray = (bought + prior) / (exposed * rate + prior)
        return loyalty

    def _fitted(self) -> dict[str, np.ndarray]:
        if not self._arrays:
            raise NotFitted("personal: expected a fitted model; call fit() or load() first")
        return self._arrays


MODEL = Personal
