"""What if it were promoted: a query's covariates known in advance, as a buyer plans them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl

from components.core.errors import DataError
from components.demand.answer.ask import Planned, shown
from components.demand.features.placements import PLACEMENTS

Plan = tuple[tuple[int, str, float], ...]  # of one series: step ahead, covariate, value; sorted
Changes = Mapping[int, Mapping[str, float]]  # step ahead -> covariate -> value
Mix = dict[str, float]  # column of a placement's code -> its share of that placement
Ranges = Mapping[str, tuple[float, float]]  # covariate -> least and greatest value that is known

SHARES = (*PLACEMENTS, "campaign")  # begin the names of covariates that are shares of stores or customers
BEYOND = 10  # times what the history has seen, and nobody can have meant it


def plans_of(
    promotions: Sequence[Planned],
    weeks: Mapping[str, list[date]],
    series_of: Mapping[str, Sequence[str]],
    known: Ranges,
) -> dict[str, Plan]:
    """The plan of each series in `weeks`; where two say the same thing, the later one counts.

    A plan for a product holds for all its series (`series_of`) that are asked for. Raises DataError where a
    series, a week or a covariate is not one that can be planned.
    """
    found: dict[str, dict[tuple[int, str], float]] = {series_id: {} for series_id in weeks}
    for number, plan in enumerate(promotions):
        where = f"promotions.{number}"
        meant = [name for name in (plan.series_id, *series_of.get(plan.series_id, ())) if name in weeks]
        if not meant:
            raise DataError(
                f"{where}.series_id: {shown(plan.series_id)} is not asked for; name it among the series too"
            )
        possible = weeks[meant[0]]
        if plan.week not in possible:
            raise DataError(
                f"{where}.week: expected the first day of a period that is forecast "
                f"({', '.join(map(str, possible))}), got {plan.week}; correct it"
            )
        for name, value in plan.changes:
            for each in meant:
                found[each][possible.index(plan.week), name] = _plannable(name, value, known, where)
    return {name: tuple((*key, value) for key, value in sorted(each.items())) for name, each in found.items()}


def _plannable(name: str, value: float, known: Ranges, where: str) -> float:
    if name not in known:
        names = ", ".join(known) or "none"
        raise DataError(f"{where}: no covariate {shown(name)} is known in advance; name one of these: {names}")
    low, high = _bounds(name, *known[name])
    if not low <= value <= high:  # so is NaN refused
        raise DataError(f"{where}.{name}: expected {_wanted(name, *known[name])}, got {value:g}; correct it")
    return float(value)


def _bounds(name: str, least: float, greatest: float) -> tuple[float, float]:
    """A share lies within 0 and 1; of what else may be planned, the history says how large it can be."""
    if _is_share(name, greatest):
        return 0.0, 1.0
    usual = max(greatest - least, abs(least), abs(greatest)) or 1.0
    most = float(np.finfo(np.float32).max)  # models compute in it
    return max(least - BEYOND * usual, -most), min(greatest + BEYOND * usual, most)


def _wanted(name: str, least: float, greatest: float) -> str:
    if _is_share(name, greatest):
        return "a share, 0 to 1"
    low, high = _bounds(name, least, greatest)
    return f"{low:g} to {high:g} where the history has {least:g} to {greatest:g}"


def _is_share(name: str, greatest: float) -> bool:
    """A shop's own table may give such a name to something larger."""
    return name.split("_")[0] in SHARES and greatest <= 1


def by_step(plan: Plan) -> dict[int, dict[str, float]]:
    """A plan by the step ahead."""
    found: dict[int, dict[str, float]] = {}
    for step, name, value in plan:
        found.setdefault(step, {})[name] = value
    return found


def known_names(queries: pl.DataFrame) -> list[str]:
    """Covariates that may be planned."""
    return [name.removeprefix("known_") for name in queries.columns if name.startswith("known_")]


def ranges_of(queries: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Least and greatest known value of each covariate that may be planned; 0 where nothing is known."""
    found = {}
    for name in known_names(queries):
        lists = queries[f"known_{name}"].list
        found[name] = (float(lists.min().min() or 0), float(lists.max().max() or 0))  # type: ignore[arg-type]
    return found


def code_mix(queries: pl.DataFrame) -> Mix:
    """How each placement's codes have shared in it so far, over all rows; empty where there are no codes."""
    sums = _past_sums(queries)
    return _mix(sums.sum().row(0, named=True)) if sums.width else {}


def _mix(sums: Mapping[str, float]) -> Mix:
    kinds = [kind for kind in PLACEMENTS if sums.get(kind, 0) > 0]
    return {code: sums[code] / sums[kind] for kind in kinds for code in codes_of(kind, list(sums))}


def _past_sums(queries: pl.DataFrame) -> pl.DataFrame:
    """One row per query: the sum of each placement so far, and of each of its codes."""
    names = [name for name in known_names(queries) if name.split("_")[0] in PLACEMENTS]
    until = pl.col("y").list.len()
    return queries.select(pl.col(f"known_{name}").list.slice(0, until).list.sum().alias(name) for name in names)


def codes_of(kind: str, known: Sequence[str]) -> list[str]:
    """The covariates that count the codes of one placement, and not what the series' rivals have."""
    return [name for name in known if name.startswith(f"{kind}_") and name != f"{kind}_rivals"]


def planned(queries: pl.DataFrame, changes: Sequence[Changes], mix: Mix) -> pl.DataFrame:
    """`queries` (numbered anew) with row i's future as `changes[i]` says.

    A placement planned without its code gets the codes that the series' placements usually had (else all
    series'), and a code planned alone lifts its placement: models learned from weeks in which both agree.
    """
    lists = {name: queries[f"known_{name}"].to_list() for name in known_names(queries)}
    lengths, horizon = queries["y"].list.len().to_list(), int(queries["horizon"][0])
    sums = _past_sums(queries).to_dicts() or [{}] * queries.height  # without a column there are no rows either
    for row, (length, steps) in enumerate(zip(lengths, changes, strict=True)):
        own = _mix(sums[row]) or mix
        for step, wanted in steps.items():
            now = {name: _at(lists[name][row], length + step) for name in lists}
            for name, value in _agreeing(wanted, now, own).items():
                lists[name][row] = _with(lists[name][row], length, horizon, step, value)
    columns = [pl.Series(f"known_{name}", values, pl.List(pl.Float32)) for name, values in lists.items()]
    return queries.with_columns(*columns, query=pl.int_range(queries.height, dtype=pl.Int32))


def _agreeing(wanted: Mapping[str, float], now: Mapping[str, float], mix: Mix) -> dict[str, float]:
    """What is wanted, and what must change with it."""
    found = dict(wanted)
    for kind in PLACEMENTS:
        codes = codes_of(kind, list(now))
        stated = [wanted[code] for code in codes if code in wanted]
        if kind in wanted and not stated:
            found |= {code: wanted[kind] * mix.get(code, 0.0) for code in codes}
        elif stated and kind in now and kind not in wanted:
            found[kind] = max(now[kind], *stated)
    return found


def _at(values: list[float | None], place: int) -> float:
    return (values[place] if place < len(values) else None) or 0.0


def _with(values: list[float | None], length: int, horizon: int, step: int, value: float) -> list[float | None]:
    """A covariate's list that tells the whole future, with one period of it set."""
    longer = values + [None] * (length + horizon - len(values))
    longer[length + step] = value
    return longer
