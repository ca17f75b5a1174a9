"""Why this forecast: what moved the median, in units and in words.

What is planned is told by asking the model again with nothing planned: the difference is what the promotion brings.
The rest are LightGBM's own contributions (`pred_contrib`, TreeSHAP of Lundberg et al. 2018) to the forecast with
nothing planned, summed by kind of feature. All groups together are the median as the booster gives it, before
quantiles are put in order and cut at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.demand.features.panel import Panel
from components.demand.features.placements import PLACEMENTS
from components.demand.models.gbm import Gbm

PROMOTIONS = (*PLACEMENTS, "campaign")  # covariates that somebody decides on, 0 = not at all
RIVALS = "_rivals"  # ends the name of a covariate that tells what others plan
NAMES = {"mailer": "in the mailer", "display": "on display", "campaign": "in a campaign"}
GROUPS = ("level", "trend", "season", "price", "promotion", "plan")  # in the order of telling
STARTS = {  # of a feature's name, the first that fits
    "trend_": "trend", "season_": "season", "week_of_year": "season", "weekday": "season", "known_holiday": "season",
    "past_price": "price", "known_price": "price", "known_": "plan",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Driver:
    """One group's part of a forecast: units that it adds (level: the units that the others start from)."""

    group: str
    units: float
    words: str


Explained = tuple[list[Driver], ...]  # of one series, by period ahead


def explain(model: Gbm, panel: Panel) -> list[Explained]:
    """What moved the median of each row in each period ahead; level first, then by size.

    All rows and periods at once, since the booster takes as long to start as to answer. Groups that move nothing are
    left out. A series without a history has its category's level and the plan's effect only.
    """
    bare = without_promotions(panel)
    medians, unpromoted = _medians(model, panel), _medians(model, bare)
    new = ~np.isfinite(panel.y).any(axis=1)
    units = _parts(model, bare) if not new.all() else {group: np.zeros_like(medians) for group in GROUPS}
    for group, each in units.items():
        each[new] = unpromoted[new] if group == "level" else 0.0
    units["promotion"] += medians - unpromoted
    planned = _planned(panel)
    return [
        tuple(_told({group: float(each[row, step]) for group, each in units.items()}, names, panel.period_days)
              for step, names in enumerate(planned[row]))
        for row in range(len(panel))
    ]  # fmt: skip


def without_promotions(panel: Panel) -> Panel:
    """The same with nothing promoted in the periods to be forecast."""
    future = panel.future.copy()
    future[:, :, [panel.known_names.index(name) for name in _all_promotions(panel)]] = 0.0
    return replace(panel, future=future)


def _all_promotions(panel: Panel) -> list[str]:
    return [name for name in panel.known_names if _is_promotion(name)]


def _is_promotion(name: str) -> bool:
    """The series' own: what its rivals plan is not."""
    return name.split("_")[0] in PROMOTIONS and not name.endswith(RIVALS)


def _planned(panel: Panel) -> list[list[list[str]]]:
    """Of each row and period ahead, the kinds of promotion (without their codes) that are planned."""
    kinds = [(name, panel.known_names.index(name)) for name in PROMOTIONS if name in panel.known_names]
    return [[[name for name, place in kinds if step[place] > 0] for step in row] for row in panel.future]


def _told(units: Mapping[str, float], planned: Sequence[str], period_days: int) -> list[Driver]:
    words = _words(planned, period_days)
    drivers = [Driver(name, units[name], words[name](units[name])) for name in GROUPS if abs(units[name]) > 0]
    return sorted(drivers, key=lambda driver: (driver.group != "level", -abs(driver.units)))


def _middle(model: Gbm) -> int:
    return int(np.abs(model.quantiles - 0.5).argmin())


def _medians(model: Gbm, panel: Panel) -> np.ndarray:
    """(n, horizon)."""
    answer: np.ndarray = model.forecast(panel)[:, :, _middle(model)]
    return answer


def _parts(model: Gbm, panel: Panel) -> dict[str, np.ndarray]:
    """Units (n, horizon) by group; the first guess and the booster's expected value are part of the level."""
    x, scale = model.rows(panel)
    parts = model.contributions(x, _middle(model)).reshape(len(panel), panel.horizon, -1) * scale[:, None, None]
    found = {group: np.zeros(parts.shape[:2]) for group in GROUPS}
    found["level"] += parts[:, :, -1]
    for number, name in enumerate(model.names):
        found[group_of(name)] += parts[:, :, number]
    return found


def group_of(feature: str) -> str:
    """The group that a feature speaks for, nothing being promoted: most say at which level a series sells."""
    if feature.startswith("known_") and _is_promotion(feature.removeprefix("known_")):
        return "level"
    return next((group for start, group in STARTS.items() if feature.startswith(start)), "level")


def _words(planned: Sequence[str], period_days: int) -> dict[str, Callable[[float], str]]:
    period = "day" if period_days == 1 else "week"
    told = " and ".join(NAMES[name] for name in planned) or "nothing promoted"
    return {
        "level": lambda units: f"usually sells about {units:.0f} a {period} when not promoted",
        "trend": lambda units: f"sales lately {'rising' if units > 0 else 'falling'}: {units:+.0f} units",
        "season": lambda units: f"time of year or week: {units:+.0f} units",
        "price": lambda units: f"price lately paid: {units:+.0f} units",
        "promotion": lambda units: f"{told} that {period}: {units:+.0f} units",
        "plan": lambda units: f"other plans (rivals, events) that {period}: {units:+.0f} units",
    }


__all__ = ["Driver", "Explained", "explain", "group_of"]
