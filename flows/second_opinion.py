"""What logged answers say of a candidate: a second opinion on the duel, which may veto and never promotes.

The duel asks what customers bought next, whatever they were shown. The logs say what became of what they were shown,
and with which chance it was: so they can say what the candidate's lists would have earned, as far as its products had
a chance to be shown (components.core.off_policy). Contexts are the test rows of customers who were answered within the
test window; the lists are those of the test's cut-off, best first, as long as the answer was. Both sides' lists are
taken without exploring, which would shrink the difference and move neither ahead.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components import releases
from components.core.application import Application
from components.core.artifacts import read_json
from components.core.errors import ShopError
from components.core.gate import Verdict
from components.core.off_policy import FOLDS, Logged, OffPolicy, Policy, contrast, estimate, expectations
from components.core.splits import read_folds
from components.feedback.rewards import shown_rows

log = logging.getLogger(__name__)

METRIC = "off_policy"
ANSWERED = ("champion", "challenger")  # what customers saw; a shadow's answers nobody did
UNRANKED = 1000  # the place, in the reward model, of what a side does not rank


@dataclass(frozen=True, slots=True)
class Opinion:
    """What it says, and the figures: candidate, champion, and candidate minus champion, in hits per shown product."""

    vetoes: bool
    words: str
    difference: OffPolicy | None = None
    candidate: OffPolicy | None = None
    champion: OffPolicy | None = None

    @property
    def verdict(self) -> Verdict:
        return Verdict(not self.vetoes, METRIC, f"{METRIC}: {self.words}")


@dataclass(frozen=True, slots=True)
class Sides:
    """The candidate's test queries, one per customer, and what both sides score, all in the candidate's codes."""

    queries: pl.DataFrame
    candidate: pl.DataFrame
    champion: pl.DataFrame


def second_opinion(
    application: Application, sides: Sides, features: Path, bundle: Path, slack: float | None
) -> Opinion:
    """What the logs say against the candidate, if anything; where they are too thin, that.

    Args:
        application: whose duel it is.
        sides: what both rank.
        features: data/<application>/features of the candidate, for the beginning of the test window; what was logged
            is in data/accepted.
        bundle: the candidate's, for its codes and the end of its data.
        slack: hits per shown product that may be lost; None asks for no opinion.
    """
    if application.logged_keys is None:
        return silent("no logged propensities")
    if slack is None:
        return Opinion(False, "not asked for (gates: off_policy_slack)")
    try:
        rows = _logged(application, sides.queries, features, bundle)
    except (ShopError, pl.exceptions.PolarsError) as error:
        log.warning("%s: the logged answers cannot be read (%s)", application.name, error)
        return silent(f"the logged answers cannot be read ({error})")
    if rows.is_empty():
        return silent("within the test window nothing was shown to customers of the test rows, or nothing came of it")
    return _judged(application, sides, rows, slack)


def silent(why: str) -> Opinion:
    """No opinion, and the reason."""
    return Opinion(False, f"says nothing: {why}")


def _logged(application: Application, queries: pl.DataFrame, features: Path, bundle: Path) -> pl.DataFrame:
    """One row per product shown to a customer of the queries within the test window.

    Columns: group, key column, chance, reward, cluster (the customer's code), n (products in that answer).
    """
    assert application.logged_keys is not None  # noqa: S101 - asked before
    (cutoff,) = [fold.cutoff for fold in read_folds(features) if fold.role == "test"]
    until = datetime.fromisoformat(read_json(bundle / "manifest.json")["as_of"])
    accepted = features.parent.parent / "accepted"
    tables = [_within(accepted / table, cutoff, until) for table in ("impressions", "feedback")]
    if any(table is None or table.is_empty() for table in tables):
        return pl.DataFrame()
    shown = shown_rows(*tables).filter(pl.col("role").is_in(ANSWERED))  # type: ignore[arg-type]
    shown = shown.filter(pl.col("application") == application.name).with_columns(n=pl.len().over("event_id"))
    keyed = application.logged_keys(shown, bundle, _manifests(application.name, shown))
    asked = queries.select(application.group, pl.col("customer_id").cast(pl.String)).drop_nulls()
    joined = keyed.join(asked, on="customer_id", how="inner", maintain_order="left")
    cluster = pl.col("customer_id").rank("dense").cast(pl.Int64) - 1
    return joined.select(*application.keys[:2], "chance", "reward", "n", cluster=cluster)


def _within(folder: Path, start: datetime, end: datetime) -> pl.DataFrame | None:
    if not any(folder.glob("part-*.parquet")):
        return None
    return pl.scan_parquet(folder / "part-*.parquet").filter(pl.col("at").is_between(start, end)).collect()


def _manifests(application: str, shown: pl.DataFrame) -> dict[str, Mapping[str, Any]]:
    """Of the releases that answered, those that are still on the shelf."""
    found = {}
    for version in shown["release"].drop_nulls().unique().sort().to_list():
        try:
            found[version] = read_json(releases.release_path(application, version) / "manifest.json")
        except ShopError:
            log.info("%s: release %s is no longer on the shelf; its answers are left out", application, version)
    return found


def _judged(application: Application, sides: Sides, rows: pl.DataFrame, slack: float) -> Opinion:
    logged, ours, theirs = compared(application, sides, rows)
    difference = contrast(logged, ours, theirs)
    vetoes = difference.trustworthy and max(difference.snips.high, difference.dr.high) < -slack
    found = [difference, estimate(logged, ours), estimate(logged, theirs)]
    if not difference.trustworthy:
        return Opinion(False, f"says nothing: {difference.why}", *found)
    words = [
        f"{name} {interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
        for name, interval in (("doubly robust", difference.dr), ("self-normalised", difference.snips))
    ]
    said = "loses" if vetoes else "does not lose"
    told = f"{said} more than {slack:g} hits per shown product against the live: {', '.join(words)}; {difference.why}"
    return Opinion(vetoes, told, *found)


def compared(application: Application, sides: Sides, rows: pl.DataFrame) -> tuple[Logged, Policy, Policy]:
    """The logged rows, and both sides' lists as policies on them, with a reward model fitted across customers.

    What it knows of a product: where either side ranks it, and how many of the champion's lists hold it.
    """
    keys = list(application.keys[:2])
    customers = rows.select(keys[0], "cluster").unique()
    ranks = _ranks(sides, keys).join(customers, on=keys[0])
    popular = ranks.filter(pl.col("champion") <= int(rows["n"].max())).group_by(keys[1]).agg(popularity=pl.len())  # type: ignore[arg-type]
    ranks = ranks.join(popular, on=keys[1], how="left").with_columns(
        shown=pl.col(keys[1]).is_in(rows[keys[1]].implode())
    )
    here = rows.join(ranks.drop("cluster"), on=keys, how="left", maintain_order="left")
    fold = (here["cluster"] % FOLDS).to_numpy()
    asked = [(_features(table), (table["cluster"] % FOLDS).to_numpy()) for table in (here, ranks)]
    of_rows, of_ranks = expectations(asked[0][0], here["reward"].to_numpy(), fold, asked)
    logged = Logged(here["cluster"].to_numpy(), here["reward"].to_numpy(), here["chance"].to_numpy(), of_rows)
    expected = ranks.with_columns(expected=pl.Series(of_ranks, dtype=pl.Float64))
    ours, theirs = (_policy(side, expected, here, keys[0]) for side in ("candidate", "champion"))
    return logged, ours, theirs


def _ranks(sides: Sides, keys: list[str]) -> pl.DataFrame:
    """Each pair that either side scores, with its rank (1 = best) by `candidate` and by `champion`, or null."""
    ranked = [
        scores.filter(pl.col("score").is_finite())
        .sort(*keys[:1], "score", keys[1], descending=[False, True, False])
        .select(*keys, (pl.int_range(pl.len()).over(keys[0]) + 1).alias(name))
        for name, scores in (("candidate", sides.candidate), ("champion", sides.champion))
    ]
    return ranked[0].join(ranked[1], on=keys, how="full", coalesce=True).sort(keys)


def _features(table: pl.DataFrame) -> np.ndarray:
    """(n, 3) for the reward model."""
    places = [pl.col(name).fill_null(UNRANKED).cast(pl.Float64).log1p() for name in ("champion", "candidate")]
    return table.select(*places, pl.col("popularity").fill_null(0).cast(pl.Float64).log1p()).to_numpy()


def _policy(side: str, expected: pl.DataFrame, rows: pl.DataFrame, group: str) -> Policy:
    """The first n of each list as a policy on the logged rows, n as long as the logged answer was."""
    lists = expected.filter(pl.col(side).is_not_null()).sort(group, side)
    sums = lists.select(
        group, pl.col(side).alias("rank").cast(pl.Int64),
        expected=pl.col("expected").cum_sum().over(group), known=pl.col("shown").cast(pl.Float64).cum_sum().over(group),
    )  # fmt: skip
    asked = rows.select(group, rank=pl.col("n").cast(pl.Int64)).with_row_index("row").sort("rank")
    # of a list that is shorter than the answer, all there is
    found = asked.join_asof(sums.sort("rank"), on="rank", by=group, strategy="backward", check_sortedness=False)
    means = found.sort("row").select((pl.col(name) / pl.col("rank")).fill_null(0.0) for name in ("expected", "known"))
    listed = (rows[side] <= rows["n"]).fill_null(False).cast(pl.Float64)
    return Policy(listed.to_numpy(), means["expected"].to_numpy(), means["known"].to_numpy())
