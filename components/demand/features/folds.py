"""Featurise: from sales, placements and campaigns to folds of series.

Per fold, whose window is `horizon` times `origins` periods long and starts at its cut-off:
    train    one row per series, its history up to the cut-off (components.demand.features.panel)
    queries  every series asked at each origin, `horizon` periods ahead, with its history up to the origin
    pool     query, week, quantile, features                 what every member scores
    truth    query, week, quantile, label (units) [, weight: what an error counts for; models never see it]

A query knows of the future what the shop planned: placements, campaigns, planned prices. The price paid
and whatever else was observed ends at the origin.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from components.core.artifacts import write_json
from components.core.errors import DataError, MissingTable
from components.core.params import Params, parse
from components.core.splits import Fold, Role, write_folds
from components.demand.features.categories import category_means, category_units
from components.demand.features.panel import Panel
from components.demand.features.placements import with_placements
from components.demand.features.series import (
    STATICS,
    Grid,
    Level,
    Series,
    first_day,
    from_sales,
    grid_of,
    stacked,
)
from components.demand.features.transactions import from_transactions

log = logging.getLogger(__name__)

CLASSES = ("slow", "medium", "fast")


class SplitParams(Params):
    horizon: int = Field(4, ge=1, description="Periods ahead.")
    origins: int = Field(
        2, ge=1, description="Origins per window, `horizon` apart; models are not fitted again between."
    )
    oof_folds: int = Field(2, ge=1, description="Windows on which ensembles learn.")
    min_history: int = Field(12, ge=1, description="Periods before the first cut-off.")


class FeatureParams(Params):
    period: Literal["week", "day"] = "week"
    levels: tuple[Level, ...] = Field(("product",), min_length=1, description="What a series is of.")
    n_series: int = Field(1000, ge=1, description="Best-selling products, by what was sold before validation.")
    quantiles: tuple[float, ...] = Field((0.1, 0.5, 0.9), min_length=1)
    known: tuple[str, ...] = Field((), description="Columns of a `sales` table that are known in advance.")
    leave_out: tuple[str, ...] = Field((), description="Placements not used, such as a display that nobody plans.")
    min_code_share: float = Field(0.005, gt=0, le=1, description="Rarer codes of a placement get no column.")

    @model_validator(mode="after")
    def _ordered(self) -> FeatureParams:
        if list(self.quantiles) != sorted(set(self.quantiles)) or not all(0 < q < 1 for q in self.quantiles):
            raise ValueError("quantiles must ascend between 0 and 1")
        return self


def featurise(tables: Mapping[str, pl.LazyFrame], as_of: str, params: Mapping[str, Any], out: Path) -> None:
    """Write folds, each fold's tables, and what serving starts from, below `out`.

    Raises MissingTable where neither sales nor transactions are known, DataError where history is too short.
    """
    split = parse(SplitParams, params.get("split") or {}, "demand.split")
    chosen = parse(FeatureParams, params.get("features") or {}, "demand.features")
    series, cutoffs = load_series(tables, as_of, split, chosen, str(params.get("timezone", "UTC")))
    log.info("%d series of %d periods, covariates: %s", len(series.y), series.grid.length, ", ".join(series.known))
    write_windows(series, cutoffs, split, chosen.quantiles, out)
    if "products" in tables:
        _write_catalogue(tables["products"], out / "now")
    _write_now(series, split.horizon, chosen.quantiles, cutoffs[-2], out / "now")


def load_series(
    tables: Mapping[str, pl.LazyFrame], as_of: str, split: SplitParams, params: FeatureParams, timezone: str
) -> tuple[Series, list[int]]:
    """All series over the whole time, and the windows' cut-offs as period numbers, oldest first.

    Which products are series, which codes are frequent and which rivals large is decided by what lies before the
    validation window. A sales table goes before transactions; its series find their plans by product_id, store_id
    and category.
    """
    source = next((tables[name] for name in ("sales", "transactions") if name in tables), None)
    if source is None:
        raise MissingTable("demand needs the table sales or transactions, and sources has neither; see docs/data.md")
    zone = ZoneInfo(timezone)
    first = source.select(pl.col("at").min()).collect().item()
    if first is None:
        raise DataError("expected sales, got none; check data/quality for what was refused")
    begin, end = (_on_the_clock(moment, zone) for moment in (first, datetime.fromisoformat(as_of)))
    if "sales" in tables:
        begin = datetime.combine(first_day(tables["sales"], begin.date(), params.period), time())
    grid = grid_of(begin, end, params.period)
    cutoffs = cut(grid.length, split)
    until = cutoffs[-2]
    parts = [
        with_placements(part, tables, split.horizon, params.min_code_share, grid.day(until))
        for part in _levels(tables, grid, split.horizon, until, params, timezone)
    ]
    series = without(stacked(parts), params.leave_out, own=params.known if "sales" in tables else ())
    if not np.isfinite(series.y[:, : cutoffs[0]]).any():
        raise DataError(
            f"expected series that sold before the first cut-off, {grid.day(cutoffs[0])}, got none; give earlier "
            "sales, or lower demand.split.oof_folds or origins"
        )
    return series, cutoffs


def _levels(
    tables: Mapping[str, pl.LazyFrame], grid: Grid, horizon: int, until: int, params: FeatureParams, timezone: str
) -> Iterator[Series]:
    """The series of a sales table, else those of every level of the transactions."""
    if "sales" in tables:
        yield from_sales(tables["sales"], grid, params.known, horizon)
        return
    for level in params.levels:
        part = from_transactions(tables, grid, level, timezone, until, params.n_series)
        yield replace(part, past=part.past | {"category": category_units(part)})


def _on_the_clock(moment: date, zone: ZoneInfo) -> datetime:
    """An instant, or the beginning of a date, as the shop's own clock shows it."""
    if isinstance(moment, datetime):
        return moment.astimezone(zone).replace(tzinfo=None)
    return datetime.combine(moment, time())


def cut(length: int, split: SplitParams) -> list[int]:
    """First period of each window, oldest first, the last being the test; raises DataError where time is too short."""
    window, n_windows = split.horizon * split.origins, split.oof_folds + 2
    first = length - window * n_windows
    if first < split.min_history:
        raise DataError(
            f"expected at least {window * n_windows + split.min_history} periods for {n_windows} windows of {window} "
            f"after {split.min_history} periods of history, got {length}; lower demand.split.oof_folds or origins"
        )
    return [first + window * number for number in range(n_windows)]


def without(series: Series, kinds: tuple[str, ...], own: tuple[str, ...] = ()) -> Series:
    """`series` less the covariates known in advance of these kinds, with all their codes.

    The shop's `own` covariates go only by their whole name, for their words say nothing of a kind.
    """
    kept = {
        name: values
        for name, values in series.known.items()
        if name not in kinds and (name in own or name.split("_")[0] not in kinds)
    }
    return replace(series, known=kept)


def write_windows(
    series: Series, cutoffs: list[int], split: SplitParams, quantiles: tuple[float, ...], out: Path
) -> list[Fold]:
    """folds.json and every fold's train, queries, pool and truth."""
    out.mkdir(parents=True, exist_ok=True)
    classes = volume_classes(series.y[:, : cutoffs[-2]])
    names: list[tuple[str, Role]] = [(f"oof_{number + 1}", "oof") for number in range(len(cutoffs) - 2)]
    names += [("validation", "validation"), ("test", "test")]
    folds = []
    for (name, role), start in zip(names, cutoffs, strict=True):
        folder = out / name
        folder.mkdir(exist_ok=True)
        frame(series, start, split.horizon, quantiles, classes, future=False).write_parquet(folder / "train.parquet")
        asked = [start + split.horizon * number for number in range(split.origins)]
        parts = [frame(series, origin, split.horizon, quantiles, classes) for origin in asked]
        queries = pl.concat(parts).with_columns(query=pl.int_range(pl.len(), dtype=pl.Int32))
        truth = truth_of(series, queries, quantiles)
        keys = ["query", "week", "quantile"]
        pool = pool_of(queries).join(truth.select(keys), on=keys, how="semi", maintain_order="left")
        for table, content in {"queries": queries, "pool": pool, "truth": truth}.items():
            content.write_parquet(folder / f"{table}.parquet")
        folds.append(Fold(name, role, datetime.combine(series.grid.day(start), time(), UTC)))
    write_folds(out, folds)
    write_json(out / "report.json", {"n_series": len(series.y), "known": list(series.known), "past": list(series.past)})
    return folds


def frame(
    series: Series, origin: int, horizon: int, quantiles: tuple[float, ...], classes: np.ndarray, future: bool = True
) -> pl.DataFrame:
    """Every series that has a known value before `origin`, as components.demand.features.panel wants it."""
    rows = np.flatnonzero(np.isfinite(series.y[:, :origin]).any(axis=1))
    some = series.rows(rows)
    span = origin + (horizon if future else 0)
    n = len(rows)
    columns: dict[str, Any] = {
        "query": pl.Series(np.arange(n, dtype=np.int32)),
        "origin": pl.Series([series.grid.day(origin)] * n, dtype=pl.Date),
        "period_days": pl.Series(np.full(n, series.grid.period_days, np.int32)),
        "horizon": pl.Series(np.full(n, horizon, np.int32)),
        "quantiles": pl.Series([list(quantiles)] * n, dtype=pl.List(pl.Float64)),
        "series_class": pl.Series(classes[rows].tolist(), dtype=pl.String),
        "y": _lists(some.y[:, :origin]),
        **{f"known_{name}": _lists(values[:, :span]) for name, values in some.known.items()},
        **{f"past_{name}": _lists(_relative(values[:, :origin])) for name, values in some.past.items()},
        **_static_codes(series, rows),
    }
    return pl.concat([some.table, pl.DataFrame(columns)], how="horizontal")


def _lists(values: np.ndarray) -> pl.Series:
    offsets = values.shape[1]
    flat = pl.Series(values.astype(np.float32).ravel()).fill_nan(None)
    return flat.reshape((len(values), offsets)).cast(pl.List(pl.Float32))


def _relative(values: np.ndarray) -> np.ndarray:
    """Each row over its own median so far, last known value carried on: what it costs beside what it usually does."""
    places = np.where(np.isfinite(values), np.arange(values.shape[1]), 0)
    carried = np.take_along_axis(values, np.maximum.accumulate(places, axis=1), axis=1)
    ranked = np.sort(values, axis=1)  # NaN last
    counts = np.isfinite(values).sum(axis=1)
    middle = np.take_along_axis(ranked, np.maximum(counts - 1, 0)[:, None] // 2, axis=1)
    usable = np.isfinite(middle) & (middle != 0)
    return np.divide(carried, middle, out=np.full_like(values, np.nan), where=usable)


def _static_codes(series: Series, rows: np.ndarray) -> dict[str, pl.Series]:
    """Codes of the series' statics; unknown is -1."""
    return {f"static_{name}": series.codes[name][rows] for name in STATICS}


def volume_classes(y: np.ndarray) -> np.ndarray:
    """slow, medium or fast: thirds of the series by mean units per known period, (n,).

    A series that has not begun is slow, and moves no third: it must not be known of before it begins.
    """
    counted = np.isfinite(y).sum(axis=1)
    mean = np.nansum(y, axis=1) / np.maximum(counted, 1)
    if not counted.any():
        return np.full(len(mean), CLASSES[0], dtype="<U6")
    edges = np.quantile(mean[counted > 0], [1 / 3, 2 / 3])
    return np.array(CLASSES)[np.searchsorted(edges, mean, side="right")]


def truth_of(series: Series, queries: pl.DataFrame, quantiles: tuple[float, ...]) -> pl.DataFrame:
    """query, week, quantile, label and, where the shop weighs, weight: known periods only."""
    grid = series.grid
    rows = pl.DataFrame({"series_id": series.table["series_id"], "row": np.arange(len(series.y))})
    asked = queries.select("query", "series_id", "horizon", start=grid.place(pl.col("origin"))).join(
        rows, on="series_id", maintain_order="left"
    )
    steps = asked.with_columns(step=pl.int_ranges(0, "horizon")).explode("step")
    place, row = (steps["start"] + steps["step"]).to_numpy(), steps["row"].to_numpy()
    day = pl.lit(grid.start) + pl.duration(days=pl.lit(place) * grid.period_days)
    found = steps.select("query", week=day.cast(pl.Date), label=pl.Series(series.y[row, place].astype(np.float64)))
    if series.weight is not None:
        found = found.with_columns(weight=pl.Series(series.weight[row, place].astype(np.float64)))
    known = found.filter(pl.col("label").is_not_nan())
    levels = pl.DataFrame({"quantile": list(quantiles)})
    ordered = ["query", "week", "quantile", "label", *[name for name in ("weight",) if name in known.columns]]
    return known.join(levels, how="cross").sort("query", "week", "quantile").select(ordered)


def pool_of(queries: pl.DataFrame) -> pl.DataFrame:
    """The rows that members score, sorted, with what a stacker may look at beside their forecasts."""
    panel = Panel.of(queries)
    n, horizon, levels = len(panel), panel.horizon, len(panel.quantiles)
    recent = panel.y[:, -13:]
    counted = np.maximum(np.isfinite(recent).sum(axis=1), 1)
    mean = np.nansum(recent, axis=1) / counted
    spread = np.sqrt(np.nansum((recent - mean[:, None]) ** 2, axis=1) / counted)
    per_series = {
        "scale": panel.scale,
        "series_class": np.searchsorted(np.array(sorted(CLASSES)), panel.classes),
        "zero_share": (recent == 0).sum(axis=1) / counted,
        "variation": spread / panel.scale,
        "momentum": np.nansum(recent[:, -4:], axis=1) / 4 / panel.scale,
        "n_known": np.isfinite(panel.y).sum(axis=1),
    }
    keys = panel.answer(np.zeros((n, horizon, levels))).drop("score")
    columns = {name: np.repeat(values, horizon * levels) for name, values in per_series.items()}
    columns["step"] = np.tile(np.repeat(np.arange(1, horizon + 1), levels), n)
    columns["level"] = np.tile(panel.quantiles, n * horizon)
    for number, name in enumerate(panel.known_names):
        columns[f"known_{name}"] = np.repeat(panel.future[:, :, number].ravel(), levels)
    features = pl.DataFrame({name: values.astype(np.float32) for name, values in columns.items()})
    return keys.hstack(features.fill_nan(None))


def _write_catalogue(products: pl.LazyFrame, out: Path) -> None:
    """Titles and categories of all products, so that one without a series is known by its category."""
    out.mkdir(parents=True, exist_ok=True)
    known = products.collect_schema().names()
    if "category" not in known:
        return
    titled = products if "title" in known else products.with_columns(title=pl.col("product_id"))
    named = titled.drop_nulls("category").unique("product_id", keep="first").select("product_id", "title", "category")
    named.sort("product_id").collect().write_parquet(out / "catalogue.parquet")


def _write_now(series: Series, horizon: int, quantiles: tuple[float, ...], until: int, out: Path) -> None:
    """What the service starts from: every series up to the end of the data, and every category's mean series."""
    out.mkdir(parents=True, exist_ok=True)
    length = series.grid.length
    now = frame(series, length, horizon, quantiles, volume_classes(series.y[:, :until]))
    now.write_parquet(out / "queries.parquet")
    means = category_means(series)
    frame(means, length, horizon, quantiles, volume_classes(means.y[:, :until])).write_parquet(
        out / "categories.parquet"
    )
