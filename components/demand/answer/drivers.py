"""Why this forecast: what moved the median, in units and in words.

What is planned is told by asking the model again with nothing planned: the difference is what the promotion brings.
The rest are LightGBM's own contributions (`pred_contrib`, TreeSHAP of Lundberg et al. 2018) to the forecast with
nothing planned, summed by kind of feature. All groups together are the median as the booster gives it, before
quantiles are put in order and cut at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def explain(model: Gbm, panel: Panel, row: int, step: int) -> list[Driver]:
    """What moved the median forecast of row `row`, `step` periods ahead (1 = the first); level first, then by size.

    Groups that move nothing are left out; raises IndexError outside the panel. A series without a history has its
    category's level and the plan's effect only.
    """
    if not (0 <= row < len(panel) and 1 <= step <= panel.horizon):
        raise IndexError(f"expected a row below {len(panel)} and a step of 1 to {panel.horizon}, got {row} and {step}")
    one = single(panel, row)
    planned = [name for name in _promotions(one) if one.future[0, step - 1, one.known_names.index(name)] > 0]
    bare = without_promotions(one)
    units = _parts(model, bare, step) if np.isfinite(one.y).any() else {"level": _median(model, bare, step)}
    units["promotion"] = units.get("promotion", 0.0) + _median(model, one, step) - _median(model, bare, step)
    words = _words(planned, panel.period_days)
    drivers = [Driver(name, units[name], words[name](units[name])) for name in GROUPS if abs(units.get(name, 0)) > 0]
    return sorted(drivers, key=lambda driver: (driver.group != "level", -abs(driver.units)))


def single(panel: Panel, row: int) -> Panel:
    """The panel of one row."""
    rows = slice(row, row + 1)
    parts = {name: getattr(panel, name)[rows] for name in ("queries", "series_ids", "origins", "y", "known", "future")}
    return replace(panel, **parts, past=panel.past[rows], static=panel.static[rows], classes=panel.classes[rows])


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


def _promotions(panel: Panel) -> list[str]:
    """Kinds, without their codes."""
    return [name for name in PROMOTIONS if name in panel.known_names]


def _middle(model: Gbm) -> int:
    return int(np.abs(model.quantiles - 0.5).argmin())


def _median(model: Gbm, panel: Panel, step: int) -> float:
    return float(model.forecast(panel)[0, step - 1, _middle(model)])


def _parts(model: Gbm, panel: Panel, step: int) -> dict[str, float]:
    """Units by group; the first guess and the booster's expected value are part of the level."""
    x, scale = model.rows(panel)
    parts = model.contributions(x[step - 1 : step], _middle(model))[0] * scale[0]
    found: dict[str, float] = {"level": float(parts[-1])}
    for name, units in zip(model.names, parts[:-1], strict=True):
        group = group_of(name)
        found[group] = found.get(group, 0.0) + float(units)
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


__all__ = ["Driver", "explain", "group_of"]
