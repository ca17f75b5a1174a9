"""From item codes to what is answered: names, reasons in words, and the products that they name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.recommendation.answer.ask import Item
from components.recommendation.answer.catalogue import Catalogue
from components.recommendation.answer.reasons import Kind, Reason, evidence, words
from components.recommendation.features.histories import Histories
from components.recommendation.features.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Wording:
    """What one release needs to name its items."""

    catalogue: Catalogue
    statistics: Statistics

    def items(
        self, rung: str, codes: np.ndarray, scores: np.ndarray, reasons: list[Reason], history: Histories, first: int
    ) -> list[Item]:
        """One rung's items, from position `first` on, as they are shown when nothing is explored."""
        catalogue = self.catalogue
        chosen = zip(codes.tolist(), scores.tolist(), reasons, strict=True)
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
                position,
                propensity=1.0,
            )
            for position, (code, score, reason) in enumerate(chosen, first)
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
