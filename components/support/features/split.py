"""Who learns from which message, and who is asked it: families whole, the shop's own messages by time.

Messages of one family, or whose texts are alike (`normal_form`), are one group, and a group stays on one
side. A group with a written example is placed by a hash of its name within its intent, so that the same
phrasing is asked from release to release; one of tickets alone by the time at which it was first told, the
newest for the test. Corrections are learned from and never asked: some release got them wrong, and asked
them it would look worse than it is. Like written examples they have no time, so that the next retrain learns
from every one, but of a group that is asked they are learned as little as the rest of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from components.core.params import Params
from components.core.splits import Fold
from components.support.features.messages import normal_form

TICK = timedelta(microseconds=1)
LEARNED = "learned"  # the part of groups that nobody is asked


class SplitParams(Params):
    test_share: float = Field(0.2, gt=0, lt=0.5, description="Of the messages of each intent; of tickets, the newest.")
    validation_share: float = Field(0.15, gt=0, lt=0.5, description="The same, of those before.")
    oof_folds: int = Field(3, ge=2, description="Parts of the rest, each scored by who learned from the others.")
    valid_share: float = Field(0.1, gt=0, lt=0.5, description="Of what a fold learns from, for early stopping.")
    min_tickets: int = Field(200, ge=1, description="Fewer own messages are all learned from: too few to judge by.")

    @model_validator(mode="after")
    def _something_is_left(self) -> SplitParams:
        if self.test_share + self.validation_share > 0.7:
            raise ValueError("test_share + validation_share must leave .3 to learn from")
        return self


@dataclass(frozen=True)
class Placed:
    """Messages with `group`, `main` (intent of most of the group), `part` of the group and whether they are `asked`.

    A part is the name of a fold, or LEARNED. `folds` stand oldest first; the out-of-fold ones share a cut-off.
    """

    rows: pl.DataFrame
    folds: list[Fold]

    def asked(self, fold: Fold) -> pl.DataFrame:
        """The messages of a fold's window."""
        return self.rows.filter((pl.col("part") == fold.name) & pl.col("asked"))

    def learned(self, fold: Fold) -> pl.DataFrame:
        """What a fit for `fold` may know: no group of this window or a later one, no ticket from its cut-off on."""
        later = [other.name for other in self.folds if other.cutoff > fold.cutoff]
        told = (pl.col("origin") != "ticket") | (pl.col("at") < fold.cutoff)
        return self.rows.filter(~pl.col("part").is_in([fold.name, *later]) & told)


def place(rows: pl.DataFrame, as_of: datetime, split: SplitParams) -> Placed:
    """Give every message its group and part.

    Args:
        rows: as messages.labelled makes them.
        as_of: end of the data, UTC.
    """
    times = rows.filter(pl.col("origin") == "ticket")["at"].drop_nulls().sort()
    by_time = len(times) >= split.min_tickets
    folds = _folds(*(_cutoffs(times, split) if by_time else (as_of - TICK, as_of)), split.oof_folds)
    grouped = with_groups(rows).with_columns(window=_window(folds) if by_time else pl.lit(LEARNED))
    parts = pl.concat([_example_parts(grouped, split), _ticket_parts(grouped, split.oof_folds)])
    found = grouped.join(parts, on="group", how="left", maintain_order="left")
    own = (
        (pl.col("origin") == "ticket") & ~_has_example() & (pl.col("part").str.head(3) == pl.col("window").str.head(3))
    )
    asked = ((pl.col("origin") == "example") | own) & (pl.col("part") != LEARNED)
    return Placed(found.with_columns(asked=asked).drop("window"), folds)


def held_out(rows: pl.DataFrame, fold: str, share: float) -> pl.Series:
    """Which of `rows` are for early stopping: whole groups, about `share` of each intent, others in each fold."""
    sized = rows.group_by("group", "main").len().with_columns(_hash("group", fold)).sort("main", "hash", "group")
    chosen = sized.filter(_middle("len", "main") < share)["group"]
    return rows["group"].is_in(chosen.implode())


def with_groups(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `group`, the first family (or text) of those that hang together, and `main`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    told = rows.with_columns(form=pl.col("text").map_elements(normal_form, pl.String))
    named = told.with_columns(family=pl.coalesce("family", pl.concat_str(pl.lit("~"), "form")))  # ~ sorts last
    family, form = (named[column].rank("dense").to_numpy() - 1 for column in ("family", "form"))
    n_families, n = int(family.max()) + 1, int(family.max()) + int(form.max()) + 2
    edges = coo_array((np.ones(len(family), np.int8), (family, form + n_families)), shape=(n, n))
    _, component = connected_components(edges, directed=False)
    member = named.with_columns(component=pl.Series(component[family]))
    most = pl.col("intent").mode().min()
    both = member.group_by("component").agg(group=pl.col("family").min(), main=most)
    return member.join(both, on="component", how="left", maintain_order="left").drop("component", "form")


def _cutoffs(times: pl.Series, split: SplitParams) -> tuple[datetime, datetime]:
    """Of validation and test, so that the newest shares lie behind them."""
    n = len(times)
    test: datetime = times[min(round(n * (1 - split.test_share)), n - 1)]
    validation: datetime = times[round(n * (1 - split.test_share - split.validation_share))]
    return min(validation, test - TICK), test


def _folds(validation: datetime, test: datetime, n_oof: int) -> list[Fold]:
    oof = [Fold(f"oof_{number + 1}", "oof", validation - TICK) for number in range(n_oof)]
    return [*oof, Fold("validation", "validation", validation), Fold("test", "test", test)]


def _window(folds: Sequence[Fold]) -> pl.Expr:
    """Into which window a time falls: "oof", "validation" or "test"; LEARNED where there is no time."""
    at, oof, test = pl.col("at"), folds[0].cutoff, folds[-1].cutoff
    early = pl.when(at.is_null()).then(pl.lit(LEARNED)).when(at < oof).then(pl.lit("oof"))
    return early.when(at < test).then(pl.lit("validation")).otherwise(pl.lit("test"))


def _has_example() -> pl.Expr:
    return (pl.col("origin") == "example").any().over("group")


def _example_parts(rows: pl.DataFrame, split: SplitParams) -> pl.DataFrame:
    """group and part of the groups that have a written example."""
    written = rows.filter(_has_example()).group_by("group", "main").len()
    ordered = written.with_columns(_hash("group")).sort("main", "hash", "group")
    dealt = [
        pl.DataFrame({"group": one["group"], "part": parts_of(one["len"].to_numpy(), one["main"][0], split)})
        for one in ordered.partition_by("main", maintain_order=True)
    ]
    return pl.concat(dealt) if dealt else pl.DataFrame(schema={"group": pl.String, "part": pl.String})


def parts_of(sizes: np.ndarray, intent: str, split: SplitParams) -> list[str]:
    """The part of each group of one intent, in the order of their hashes.

    Test and validation get at least a group each where that leaves one to learn from; the last one that is left is
    learned from in every fold.
    """
    n, middle = len(sizes), (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    n_test = int(np.clip((middle < split.test_share).sum(), 1, n - 1)) if n > 1 else 0
    rest, until = n - n_test, split.test_share + split.validation_share
    n_validation = int(np.clip((middle < until).sum() - n_test, 1, rest - 1)) if rest > 1 else 0
    rest -= n_validation
    turn = _number(intent) % split.oof_folds  # or the first window would be the largest for every intent
    oof = [f"oof_{(turn + place) % split.oof_folds + 1}" for place in range(rest)] if rest > 1 else [LEARNED]
    return ["test"] * n_test + ["validation"] * n_validation + oof


def _ticket_parts(rows: pl.DataFrame, n_oof: int) -> pl.DataFrame:
    """group and part of the others: by when they were first told, LEARNED where no ticket is among them."""
    others = rows.filter(~_has_example())
    tickets = others.filter(pl.col("origin") == "ticket").sort("at", nulls_last=True)
    first = tickets.group_by("group", maintain_order=True).agg(pl.col("window", "main").first())
    alone = pl.len().over("main", "window") == 1
    oof = pl.concat_str(pl.lit("oof_"), _hash("group") % n_oof + 1)
    early = pl.when(alone).then(pl.lit(LEARNED)).otherwise(oof)
    placed = first.select("group", part=pl.when(pl.col("window") == "oof").then(early).otherwise("window"))
    silent = others.select(pl.col("group").unique()).join(placed, on="group", how="anti")
    return pl.concat([placed, silent.with_columns(part=pl.lit(LEARNED))])


def _middle(size: str, within: str) -> pl.Expr:
    """Where the middle of each group lies among the messages of `within`, from 0 to 1."""
    return (pl.col(size).cum_sum().over(within) - pl.col(size) / 2) / pl.col(size).sum().over(within)


def _hash(column: str, salt: str = "") -> pl.Expr:
    return pl.col(column).map_elements(lambda name: _number(f"{salt}\0{name}"), pl.UInt64).alias("hash")


def _number(name: str) -> int:
    """The same on every machine and in every run; polars' own hash may change between versions."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest())
