"""What the past and the plan say about one period: features of series at any origin, by numpy.

Everything is relative: sales are divided by the series' scale at the origin, so that series of any size, in any
unit, look alike. A feature at an origin reads sales and past covariates before the origin only; of what is known in
advance it may read the period to be forecast.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from components.demand.features.panel import Panel, series_scale
from components.demand.response import Response

Features = dict[str, np.ndarray]

WINDOWS = (4, 8, 13, 26)
LAGS = (1, 2, 3, 4, 5, 6)
NEVER = 99.0  # periods since the last sale, where there was none
SEASONS = {7: (52,), 1: (7, 364)}  # periods, by the days of a period
MATCH_WIDTHS = (0.15, 0.4)  # how like a past period's plan must be, in shares of stores
MATCH_MEMORY = 0.97  # weight of a period beside the next one
ROUNDED = 5  # decimals; float noise of a change of unit must not move a value over a threshold


@dataclass(frozen=True)
class Past:
    """Series before an origin: z (n, T) units over scale, NaN = unknown; plan (n, T, n_known) in the response's
    units; effect (n, T), what the plan adds to log sales; other (n, T, n_past)."""

    z: np.ndarray
    plan: np.ndarray
    effect: np.ndarray
    other: np.ndarray

    @property
    def base(self) -> np.ndarray:
        """Sales as they would be with nothing planned, over scale."""
        return self.z / np.exp(self.effect)


@contextmanager
def _unknown_allowed() -> Iterator[None]:
    """Windows without one known value are NaN, silently."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        yield


def features(panel: Panel, origin: int, steps: Sequence[int], response: Response, scale: np.ndarray) -> list[Features]:
    """Per step (1 = the first period) the features of every series, (n,) each, as of period number `origin`.

    `scale` (n,) is that of the series at the origin. A step may lie in the panel's future or, in training, before it.
    """
    plan = response.plan(panel)
    effect = response.effect(plan)
    past = Past(panel.y[:, :origin] / scale[:, None], plan[:, :origin], effect[:, :origin], panel.past[:, :origin])
    known = np.concatenate([panel.known, panel.future], axis=1)
    with _unknown_allowed():
        shared = {**of_levels(past), **of_plans_past(past), **of_others(past, panel.past_names)}
        found = []
        for step in steps:
            target = origin + step - 1
            found.append(
                shared
                | {f"known_{name}": known[:, target, number] for number, name in enumerate(panel.known_names)}
                | of_plan(past, shared, plan[:, target], effect[:, target], panel.known_names)
                | of_season(past.z, step, panel.period_days)
                | of_calendar(panel, target, origin)
                | {"step": np.full(len(panel), float(step))}
            )
    return found


def of_levels(past: Past) -> Features:
    """How much was sold lately, how evenly, and where it is heading."""
    z = past.z
    found = {f"lag_{k}": _at(z, -k) for k in LAGS}
    for k in WINDOWS:
        recent = z[:, -k:]
        found |= {f"mean_{k}": _mean(recent), f"median_{k}": np.nanmedian(recent, 1), f"max_{k}": np.nanmax(recent, 1)}
    found |= {f"min_{k}": np.nanmin(z[:, -k:], 1) for k in (4, 13)}
    found |= {f"spread_{k}": np.nanstd(z[:, -k:], 1) for k in (13, 26)}
    found["steps_13"] = _mean(np.abs(np.diff(z[:, -14:], axis=1)))
    found["trend_4_13"] = found["mean_4"] / np.maximum(found["mean_13"], 0.01)
    found["trend_13_26"] = found["mean_13"] / np.maximum(found["mean_26"], 0.01)
    return found | _of_gaps(z)


def _of_gaps(z: np.ndarray) -> Features:
    """How intermittent a series is: zeros, the wait since the last sale, the smallest sale, and its age."""
    sold = z > 0
    found = {f"zeros_{k}": _mean(np.where(np.isfinite(z[:, -k:]), z[:, -k:] == 0, np.nan)) for k in (8, 26)}
    found["since_sale"] = np.where(sold.any(1), np.argmax(sold[:, ::-1], axis=1), NEVER)
    found["smallest"] = np.nanmin(np.where(sold, z, np.nan), axis=1)
    found["age"] = np.isfinite(z).sum(1).astype(float)
    return found


def of_plans_past(past: Past) -> Features:
    """What was planned lately, and what was sold beside its effect."""
    base = past.base
    found = {f"base_{k}": _mean(base[:, -k:]) for k in WINDOWS}
    found |= {f"effect_{k}": _mean(past.effect[:, -k:]) for k in WINDOWS}
    weights = 0.8 ** np.arange(base.shape[1])[::-1]
    known = np.isfinite(base)
    found["base_decayed"] = np.where(known, base, 0) @ weights / np.maximum(known @ weights, 1e-9)
    found["base_median_8"] = np.nanmedian(base[:, -8:], axis=1)
    found["effect_1"] = past.effect[:, -1]
    return found


def of_others(past: Past, names: Sequence[str]) -> Features:
    """Covariates known only afterwards, such as the price paid: the last one, lately, usually, at least."""
    found: Features = {}
    for number, name in enumerate(names):
        value = past.other[:, :, number]
        found |= {f"past_{name}_1": _at(value, -1), f"past_{name}_min_13": np.nanmin(value[:, -13:], axis=1)}
        found |= {f"past_{name}_{k}": _mean(value[:, -k:]) for k in (4, 26)}
    return found


def of_plan(past: Past, shared: Features, plan: np.ndarray, effect: np.ndarray, names: Sequence[str]) -> Features:
    """What is planned for the target period (n, n_known), beside what was, and what sold under a plan like it."""
    found = {"effect": effect, "effect_over_1": effect - shared["effect_1"]}
    found |= {f"effect_over_{k}": effect - shared[f"effect_{k}"] for k in (8, 26)}
    found["base_planned"] = shared["base_8"] * np.exp(effect)
    found["plan_rank"] = _mean((past.effect[:, -26:] < effect[:, None] - 0.02).astype(float))
    for number in _kinds(names):
        before = past.plan[:, :, number]
        for k in (1, 8, 26):
            found[f"known_{names[number]}_over_{k}"] = plan[:, number] - _mean(before[:, -k:])
    return found | _of_matches(past, plan, shared["mean_26"])


def _kinds(names: Sequence[str]) -> list[int]:
    """Covariates that are not one code of another one: mailer, but not mailer_A."""
    return [number for number, name in enumerate(names) if name.rpartition("_")[0] not in names]


def _of_matches(past: Past, plan: np.ndarray, usual: np.ndarray) -> Features:
    """Mean sales of earlier periods, weighted by how like the target's plan theirs was and how recent they are."""
    distance = ((past.plan - plan[:, None, :]) ** 2).sum(axis=2)
    known = np.isfinite(past.z)
    z = np.where(known, past.z, 0.0)
    usual = np.nan_to_num(usual)
    memory = MATCH_MEMORY ** np.arange(z.shape[1])[::-1] * known
    found: Features = {}
    for number, width in enumerate(MATCH_WIDTHS):
        weights = np.exp(-distance / (2 * width**2)) * memory
        total = weights.sum(1) + 0.05  # a little of the usual level, where nothing is like it
        found[f"match_{number}"] = mean = ((weights * z).sum(1) + 0.05 * usual) / total
        found[f"match_weight_{number}"] = total
        if number == 0:
            found["match_spread"] = np.sqrt((weights * (z - mean[:, None]) ** 2).sum(1) / total)
    return found


def of_season(z: np.ndarray, step: int, period_days: int) -> Features:
    """Sales one season before the target period, and around it; nothing where the history is too short."""
    found: Features = {}
    for season in SEASONS.get(period_days, ()):
        if z.shape[1] < 1.5 * season:
            continue
        back = season * -(-step // season) - step + 1  # periods before the origin
        found[f"season_{season}"] = _at(z, -back)
        if season > 13:
            around = [_at(z, -back + shift) if shift < back else _at(z, -back) for shift in (-2, -1, 0, 1, 2)]
            found[f"season_{season}_around"] = _mean(np.stack(around, axis=1))
        else:
            found[f"season_{season}_mean"] = _mean(np.stack([_at(z, -back - season * k) for k in range(4)], axis=1))
    return found


def of_calendar(panel: Panel, target: int, origin: int) -> Features:
    """Day of week of daily series; week of year where the history has seen enough of one."""
    first = panel.origins + np.timedelta64(panel.period_days, "D") * (target - panel.y.shape[1])
    found: Features = {}
    if panel.period_days == 1:
        found["weekday"] = ((first.astype(np.int64) + 3) % 7).astype(float)  # 1970-01-01 was a Thursday
    if panel.y.shape[1] * panel.period_days > 1.5 * 365:
        of_year = (first - first.astype("datetime64[Y]")).astype(np.int64)
        found["week_of_year"] = (of_year // 7).astype(float)
    return found


def scale_at(panel: Panel, origin: int, fallback: np.ndarray) -> np.ndarray:
    """(n,) the scale as of period number `origin`; `fallback` where nothing was sold until then."""
    y = panel.y[:, :origin]
    return np.where(np.nansum(y, axis=1) > 0, series_scale(y), fallback).astype(np.float64)


def matrix(found: Sequence[Features]) -> np.ndarray:
    """(n * steps, n_features) float32, rows by series and then step; columns in the features' order."""
    blocks = [np.column_stack([one[name] for name in found[0]]) for one in found]
    stacked = np.stack(blocks, axis=1)
    return np.round(stacked.reshape(-1, stacked.shape[2]), ROUNDED).astype(np.float32)


def _at(values: np.ndarray, place: int) -> np.ndarray:
    """Column `place` (< 0) of (n, T); NaN before the beginning."""
    inside = -place <= values.shape[1]
    return values[:, place].astype(float) if inside else np.full(len(values), np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    return np.nanmean(values, axis=1)
