"""Facts of a whole table: volumes, freshness, shares, and how far it has moved from released data.

Everything is computed lazily and part by part, so memory grows with a month of rows, not with history.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.core.tables import DATE, Table
from components.quality.conditions import instant

RECENT_DAYS = 28  # long enough to level out weekdays, short enough to show a change within the month
QUIET = 0.1  # a day with fewer rows than this share of the median day counts as quiet
COMPARED: Mapping[str, tuple[str, ...]] = {  # columns whose distribution is compared with released data
    "transactions": ("amount", "quantity", "hour"),
    "products": ("category",),
    "behaviour": ("kind", "hour"),
    "stock": ("on_hand",),
    "promotions": ("display", "mailer"),
    "campaigns": ("reach",),
    "sales": ("y",),
    "intents": (),
    "examples": ("intent", "language"),
    "messages": ("intent", "language", "hour"),
    "feedback": ("application", "kind", "hour"),
    "impressions": ("application", "hour"),
}
SHARES: Mapping[str, Mapping[str, pl.Expr]] = {
    "transactions": {
        "anonymous_share": pl.col("customer_id").is_null(),
        "zero_amount_share": pl.col("amount") == 0,
    },
    "products": {
        "untitled_share": pl.col("title").is_null(),
        "uncategorised_share": pl.col("category").is_null(),
        "inactive_share": ~pl.col("active"),
    },
    "behaviour": {"anonymous_share": pl.col("customer_id").is_null()},
    "stock": {"out_of_stock_share": pl.col("on_hand") <= 0},
    "promotions": {"unplaced_share": pl.all_horizontal(pl.col("display", "mailer", "price").is_null())},
    "campaigns": {"unreached_share": pl.col("reach") == 0},
    "sales": {
        "unknown_share": pl.col("y").is_null(),
        "negative_share": pl.col("y") < 0,
        "zero_share": pl.col("y") == 0,
    },
    "intents": {"protected_share": pl.col("definition").str.json_path_match("$.protected") == "true"},
    "examples": {"out_of_scope_share": pl.col("intent") == "out_of_scope"},
    "messages": {
        "unlabelled_share": pl.col("intent").is_null(),
        "out_of_scope_share": pl.col("intent") == "out_of_scope",
    },
    "feedback": {"anonymous_share": pl.col("customer_id").is_null(), "unlinked_share": pl.col("request_id").is_null()},
    "impressions": {"anonymous_share": pl.col("customer_id").is_null()},
}


def recent_sample(parts: list[Path], table: Table, as_of: str | None, timezone: str) -> pl.DataFrame:
    """The compared columns of the newest four weeks (of all rows where a table has no times).

    Plans have no end of the data; theirs are the four weeks up to the last one planned.
    """
    rows = _past(pl.scan_parquet(parts), table)
    if table.time is not None and table.ahead:
        newest = rows.select(pl.col(table.time).max()).collect().item()
        rows = rows.filter(pl.col(table.time) > newest - timedelta(days=RECENT_DAYS)) if newest else rows
    elif table.time is not None and as_of is not None:
        start = datetime.fromisoformat(as_of) - timedelta(days=RECENT_DAYS)
        rows = rows.filter(instant(table.time, table.schema[table.time], timezone) >= start)
    return rows.select(_column(name, timezone).alias(name) for name in COMPARED[table.name]).collect()


def profile(parts: list[Path], table: Table, as_of: str | None, sample: pl.DataFrame) -> dict[str, Any]:
    """What later data of this table is compared with: rows, recent rows a day, distributions (JSON values)."""
    return {
        "table": table.name,
        "as_of": as_of,
        "rows": pl.scan_parquet(parts).select(pl.len()).collect().item(),
        "recent_rows_per_day": sample.height / RECENT_DAYS if table.time else None,
        "distributions": {name: _distribution(sample[name].drop_nulls()) for name in sample.columns},
    }


def facts(parts: list[Path], table: Table, as_of: str | None, timezone: str) -> dict[str, Any]:
    """One value per fact, by the names that suites use; None where a fact cannot be known."""
    rows = pl.scan_parquet(parts)
    shares = rows.select(expression.mean().alias(name) for name, expression in SHARES[table.name].items())
    found = shares.collect(engine="streaming").row(0, named=True)
    found |= {"repeated_key_share": _repeated_keys(parts, table)}
    return found | (_times(_past(rows, table), table, as_of, timezone) if table.time is not None else {})


def moved(now: Mapping[str, Any], sample: pl.DataFrame, reference: Mapping[str, Any] | None) -> dict[str, Any]:
    """Ratios and stability indices of the profile `now` and its sample against `reference`; None without one."""
    if reference is None:
        return {"rows_ratio": None, "recent_rows_ratio": None} | {f"{name}_psi": None for name in sample.columns}
    before = reference["distributions"]
    return {
        "rows_ratio": _ratio(now["rows"], reference["rows"]),
        "recent_rows_ratio": _ratio(now["recent_rows_per_day"], reference["recent_rows_per_day"]),
    } | {f"{name}_psi": _psi(before.get(name), sample[name].drop_nulls()) for name in sample.columns}


def weeks(parts: list[Path], table: Table, timezone: str) -> list[dict[str, Any]]:
    """Rows by week of the shop's time, oldest first; empty for tables without times."""
    if table.time is None or not parts:
        return []
    week = _day(table, timezone).dt.truncate("1w")
    counted = pl.scan_parquet(parts).group_by(week.alias("week")).agg(rows=pl.len()).drop_nulls().sort("week").collect()
    return [{"week": str(row["week"]), "rows": row["rows"]} for row in counted.iter_rows(named=True)]


def population_stability(expected: np.ndarray, found: np.ndarray) -> float:
    """Population stability index of two lists of shares: 0 equal, above .25 by custom a real change.

    Empty classes count as one in ten thousand, or a single new class would make it infinite.
    """
    p, q = np.maximum(expected, 1e-4), np.maximum(found, 1e-4)
    return float(((q - p) * np.log(q / p)).sum())


def _column(name: str, timezone: str) -> pl.Expr:
    return pl.col("at").dt.convert_time_zone(timezone).dt.hour().cast(pl.Float64) if name == "hour" else pl.col(name)


def _distribution(known: pl.Series) -> dict[str, Any]:
    """Numbers by their own deciles, words by the commonest fifty."""
    if known.dtype == pl.String:
        counted = known.value_counts(name="n").sort(["n", known.name], descending=[True, False]).head(50)
        return {"words": counted[known.name].to_list(), "shares": (counted["n"] / max(known.len(), 1)).to_list()}
    numbers = known.to_numpy()
    edges = np.unique(np.quantile(numbers, np.linspace(0.1, 0.9, 9))) if len(numbers) else np.array([])
    return {"edges": edges.tolist(), "shares": _shares(numbers, edges).tolist()}


def _shares(numbers: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.bincount(np.searchsorted(edges, numbers, side="left"), minlength=len(edges) + 1)
    return np.asarray(counts / max(counts.sum(), 1))


def _psi(expected: Mapping[str, Any] | None, known: pl.Series) -> float | None:
    """Stability index of values against a distribution of the profile; words not in it are one class."""
    if not expected or not expected["shares"] or known.is_empty():
        return None
    before = np.array(expected["shares"])
    if "edges" in expected:
        return population_stability(before, _shares(known.to_numpy(), np.array(expected["edges"])))
    counts = dict(known.value_counts(name="n").iter_rows())
    after = np.array([counts.get(word, 0) for word in expected["words"]]) / known.len()
    return population_stability(np.append(before, 1 - before.sum()), np.append(after, 1 - after.sum()))


def _past(rows: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    return rows.drop_nulls(table.happened) if table.happened else rows


def _day(table: Table, timezone: str) -> pl.Expr:
    at = pl.col(str(table.time))
    return at if table.schema[str(table.time)] == DATE else at.dt.convert_time_zone(timezone).dt.date()


def _times(rows: pl.LazyFrame, table: Table, as_of: str | None, timezone: str) -> dict[str, Any]:
    """Facts of the days that have rows; `empty_weeks` lie between the first and the last."""
    newest = instant("newest", table.schema[str(table.time)], timezone)
    counted = rows.group_by(day=_day(table, timezone)).agg(n=pl.len(), newest=pl.col(str(table.time)).max())
    days = counted.drop_nulls().with_columns(newest=newest).sort("day").collect()
    if days.is_empty():
        return dict.fromkeys(("history_days", "empty_weeks", "days_since_newest", "quiet_days"))
    busy = days.filter(pl.col("n") >= QUIET * pl.col("n").median())
    weeks = days["day"].dt.truncate("1w").unique().sort()
    return {
        "history_days": (days["day"][-1] - days["day"][0]).days + 1,
        "empty_weeks": (weeks[-1] - weeks[0]).days // 7 + 1 - weeks.len(),
        "days_since_newest": _days_between(days["newest"][-1], as_of),
        "quiet_days": _days_between(busy["newest"][-1], as_of),
    }


def _days_between(earlier: datetime, as_of: str | None) -> float | None:
    return (datetime.fromisoformat(as_of) - earlier).total_seconds() / 86400 if as_of else None


def _repeated_keys(parts: list[Path], table: Table) -> float | None:
    """Share of rows whose key stood in an earlier row of the same part."""
    total = repeated = 0
    for part in parts:
        keys = pl.scan_parquet(part).select(n=pl.len(), unique=pl.struct(table.key).n_unique()).collect()
        total, repeated = total + keys["n"][0], repeated + keys["n"][0] - keys["unique"][0]
    return repeated / total if total else None


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None
