"""Series without a history: what their category sells says how much, the plan says when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from components.demand.features.panel import Panel
from components.demand.response import Response

GROUPS = ("category", "department")  # the statics that tell a level, the closest first


@dataclass(frozen=True)
class Newcomers:
    """group: the static that was used, "" for none; levels: units of a usual series by its code; overall: of any
    series; ratios (n_quantiles,): quantiles of sales, the plan's effect taken out, over their group's level."""

    group: str
    levels: dict[int, float]
    overall: float
    ratios: np.ndarray

    @classmethod
    def of(cls, panel: Panel, response: Response) -> Self:
        """Medians over series with sales; a group that never sold goes by the overall one."""
        sold = np.nansum(panel.y, axis=1) > 0
        overall = float(np.median(panel.scale[sold])) if sold.any() else 1.0
        group = next((name for name in GROUPS if name in panel.static_names), "")
        codes = _codes(panel, group)
        levels = {int(code): float(np.median(panel.scale[sold & (codes == code)])) for code in np.unique(codes[sold])}
        levels.pop(-1, None)
        bare = cls(group, levels, overall, np.ones(len(panel.quantiles)))
        effect = response.effect(response.plan(panel))[:, : panel.y.shape[1]]
        relative = panel.y / np.exp(effect) / bare.level(panel)[:, None]
        known = relative[np.isfinite(relative)]
        ratios = np.quantile(known, panel.quantiles) if len(known) else np.ones(len(panel.quantiles))
        return cls(group, levels, overall, ratios)

    def level(self, panel: Panel) -> np.ndarray:
        """(n,) units of a usual series of each series' group."""
        codes = _codes(panel, self.group)
        return np.array([self.levels.get(int(code), self.overall) for code in codes], np.float64)

    def forecast(self, panel: Panel, response: Response) -> np.ndarray:
        """(n, horizon, n_quantiles) units."""
        effect = response.effect(response.plan(panel))[:, panel.y.shape[1] :]
        usual = self.level(panel)[:, None] * np.exp(effect)
        answer: np.ndarray = usual[:, :, None] * self.ratios
        return answer

    def as_json(self) -> dict[str, Any]:
        levels = {str(code): level for code, level in self.levels.items()}
        return {"group": self.group, "levels": levels, "overall": self.overall, "ratios": self.ratios.tolist()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        levels = {int(code): float(level) for code, level in value["levels"].items()}
        return cls(value["group"], levels, float(value["overall"]), np.array(value["ratios"], np.float64))


def _codes(panel: Panel, group: str) -> np.ndarray:
    return panel.static[:, panel.static_names.index(group)] if group else np.full(len(panel), -1)
