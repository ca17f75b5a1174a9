"""Score tables of classifications: one of a fixed list of labels per group, or none of them ("out of scope").

Every group of a pool has the same rows: one per label, sorted by its code, and, where the application can
reject, one more whose feature column `reject` is 1. A group is a message or a photo, its key a label.

A model's scores are unnormalised log scores (log probabilities, logits, similarities): softmax over a group's
labels makes them probabilities. An ensemble's are probabilities that sum to 1 over the labels, and on the
reject row a number in [0, 1] from which on .5 means: none of these labels. Nothing marks a table as one or
the other; it is read as probabilities where every group's labels lie in [0, 1] and sum to 1 (`normalised`).
Tables of unnormalised scores never reject: their reject rows are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from components.core.calibration import TINY, calibration_error, log_softmax
from components.core.errors import DataError
from components.core.metrics import Asked, group_offsets

REJECT = "reject"  # the pool's feature column that flags the row of "none of these labels"
THRESHOLD = 0.5  # of the reject row's score, from which on a group is rejected
OFF = 1e-3  # how far rounding may take a sum of probabilities from 1


@dataclass(frozen=True, slots=True)
class Answers:
    """A score table as a cube.

    groups         (n,) in the pool's order
    codes          (n_labels,) of the labels, ascending; the reject row's is not among them
    reject         the reject row's code, or None
    probabilities  (n, n_labels), each row sums to 1
    rejection      (n,) the reject row's score, NaN where nothing may be rejected
    """

    groups: np.ndarray
    codes: np.ndarray
    reject: int | None
    probabilities: np.ndarray
    rejection: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """The likeliest label's code of each group, (n,), whether it is rejected or not."""
        chosen: np.ndarray = self.codes[self.probabilities.argmax(axis=1)]
        return chosen

    @property
    def decided(self) -> np.ndarray:
        """The code that each group is given, (n,): the reject row's or the likeliest label's."""
        if self.reject is None:
            return self.first
        return np.where(self.rejection >= THRESHOLD, self.reject, self.first)  # NaN >= .5 is False

    @property
    def confidence(self) -> np.ndarray:
        """The likeliest label's probability, (n,), given that some label is right."""
        best: np.ndarray = self.probabilities.max(axis=1)
        return best


def width_of(offsets: np.ndarray) -> int:
    """Rows per group; raises DataError where groups differ in it."""
    widths = np.unique(np.diff(offsets))
    if len(widths) > 1:
        raise DataError(
            f"expected as many rows in every group of the pool, one per label, got {widths[0]} to {widths[-1]}; "
            "write every label of every group, in the order of their codes"
        )
    return int(widths[0]) if len(widths) else 0


def reject_column(flags: np.ndarray, width: int) -> int | None:
    """Where in a group the reject row stands, of its flags (n_rows,); raises DataError where groups differ."""
    cube = flags.reshape(-1, width) > 0
    if not cube.any():
        return None
    if (cube != cube[0]).any() or cube[0].sum() != 1:
        raise DataError(f"expected one row per group with {REJECT} above 0, the same in all; sort the pool by its keys")
    return int(cube[0].argmax())


def answers(scores: pl.DataFrame, pool: pl.DataFrame) -> Answers:
    """A score table on the rows of its pool, whose first two columns are its keys."""
    group, key = pool.columns[:2]
    offsets = group_offsets(pool[group].to_numpy())
    width = width_of(offsets)
    flags = pool[REJECT].to_numpy() if REJECT in pool.columns else np.zeros(pool.height)
    rejected = reject_column(flags, width) if width else None
    joined = pool.select(group, key).join(scores, on=[group, key], how="left", maintain_order="left")
    cube = joined["score"].fill_null(float("nan")).to_numpy().astype(np.float64).reshape(-1, width)
    codes = pool[key].to_numpy()[:width].astype(np.int64)
    found = cube if rejected is None else np.delete(cube, rejected, axis=1)
    known = normalised(found)
    silent = np.full(len(cube), np.nan)
    return Answers(
        pool[group].to_numpy()[offsets[:-1]],
        codes if rejected is None else np.delete(codes, rejected),
        None if rejected is None else int(codes[rejected]),
        found if known else np.exp(log_softmax(found)),
        cube[:, rejected] if known and rejected is not None else silent,
    )


def normalised(cube: np.ndarray) -> bool:
    """Whether every row of (n, n_labels) holds probabilities that sum to 1."""
    within = np.isfinite(cube) & (cube >= 0) & (cube <= 1 + OFF)
    return bool(within.all() and (np.abs(cube.sum(axis=1) - 1) < OFF).all())


def log_likelihood(scores: np.ndarray, asked: Asked) -> float:
    """An objective: mean log probability of the true label over groups that have one; higher is better.

    `scores` (n_rows,) are probabilities where every group sums to 1, else log scores. The reject row must not
    be among the rows, since it competes with no label.
    """
    width = width_of(asked.offsets)
    cube, true = scores.reshape(-1, width), asked.labels.reshape(-1, width)
    logs = np.log(np.clip(cube, TINY, 1)) if normalised(cube) else log_softmax(cube)
    some = true.max(axis=1) > 0
    return float(logs[some, true[some].argmax(axis=1)].mean()) if some.any() else 0.0


objective = log_likelihood


def macro_f1(true: np.ndarray, decided: np.ndarray) -> float:
    """Mean F1 over the codes that are true or decided somewhere, each counted alike."""
    codes, places = np.unique(np.concatenate([true, decided]), return_inverse=True)
    ours, theirs = places[len(true) :], places[: len(true)]
    hits = np.bincount(ours[ours == theirs], minlength=len(codes))
    sizes = np.bincount(ours, minlength=len(codes)) + np.bincount(theirs, minlength=len(codes))
    return float(np.mean(2 * hits / sizes)) if len(codes) else 0.0


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann and Whitney 1947); NaN without both."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def recall_at_precision(scores: np.ndarray, positive: np.ndarray, precision: float) -> float:
    """The largest share of positives above a threshold above which at least `precision` are positive; 0 where none."""
    order = np.argsort(-scores, kind="stable")
    hits, taken = np.cumsum(positive[order]), np.arange(1, len(scores) + 1)
    ends = np.append(scores[order][1:] != scores[order][:-1], True)  # a threshold takes all that tie
    good = ends & (hits >= precision * taken)
    return float(hits[good].max(initial=0) / max(positive.sum(), 1))


def outcomes(scores: pl.DataFrame, queries: pl.DataFrame, truth: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """One row per group of the pool that has a truth, in the pool's order.

    accuracy           whether the decision is right: rejected where out of scope, else the true label
    in_scope_accuracy  whether the likeliest label is right before anything is rejected, of those in scope
    oos_recall         whether it was rejected, of those out of scope
    nll                -log P(true label | in scope); null out of scope
    confidence         the likeliest label's probability, given that it is in scope
    rejection          the reject row's score; null where the table rejects nothing
    first, decided     codes: the likeliest label, and the decision

    The true label's `name` goes by the key ("intent"); what else truth says of a group (language) is kept.
    """
    found, group, key = answers(scores, pool), *pool.columns[:2]
    true = true_codes(found, truth)
    inside = np.ones(len(true), bool) if found.reject is None else true != found.reject
    of = {"in_scope_accuracy": inside & (true >= 0), "oos_recall": ~inside}
    hits = {"in_scope_accuracy": found.first == true, "oos_recall": found.decided == true}
    columns: dict[str, np.ndarray | pl.Series] = {
        group: found.groups,
        "accuracy": (found.decided == true).astype(np.float64),
        **{name: (hits[name] & of[name]).astype(np.float64) for name in of},
        **{f"{name} of": part.astype(np.float64) for name, part in of.items()},
        "nll": pl.Series(_losses(found, np.where(inside, true, -1))).fill_nan(None),
        "confidence": found.confidence,
        "rejection": pl.Series(found.rejection).fill_nan(None),
        "first": found.first,
        "decided": found.decided,
    }
    told = truth.filter(pl.col("label") > 0).drop(key, "label").rename({"name": key}, strict=False)
    rows = pl.DataFrame(columns).with_columns(headline=pl.lit(True)).filter(pl.Series(true >= 0))
    return rows.join(
        told.with_columns(pl.col(group).cast(rows.schema[group])), on=group, how="left", maintain_order="left"
    )


def true_codes(found: Answers, truth: pl.DataFrame) -> np.ndarray:
    """The code that is true of each group, (n,) int64; -1 where truth is silent."""
    group, key = truth.columns[:2]
    true = dict(truth.filter(pl.col("label") > 0).select(group, key).iter_rows())
    return np.array([true.get(name, -1) for name in found.groups.tolist()], np.int64)


def _losses(found: Answers, true: np.ndarray) -> np.ndarray:
    """-log of the true labels' probability, (n,); NaN where `true` is -1, the most for a label that the pool lacks."""
    places = np.minimum(np.searchsorted(found.codes, true), len(found.codes) - 1)
    known = found.codes[places] == true
    chances = np.where(known, found.probabilities[np.arange(len(true)), places], 0)
    return np.where(true >= 0, -np.log(np.clip(chances, TINY, 1)), np.nan)


def summary(scores: pl.DataFrame, truth: pl.DataFrame, pool: pl.DataFrame, precision: float = 0.8) -> dict[str, float]:
    """Figures of all answers together; those without anything to count are left out.

    macro_f1                 of the decisions, "none of these" a class like others
    ece                      of the likeliest labels in scope, before anything is rejected
    oos_precision            share of the rejected that are out of scope
    oos_auroc                of the reject row's score
    oos_best_recall          of what is out of scope, at the threshold that is best for `precision` on these very rows
    """
    found = answers(scores, pool)
    true = true_codes(found, truth)
    told, outside = true >= 0, np.zeros(len(true), bool) if found.reject is None else true == found.reject
    inside, rejected = told & ~outside, told & (found.decided == found.reject)
    figures = {
        "macro_f1": macro_f1(true[told], found.decided[told]),
        "ece": calibration_error(found.confidence[inside], found.first[inside] == true[inside]),
    }
    if rejected.any():
        figures["oos_precision"] = float(outside[rejected].mean())
    judged = told & np.isfinite(found.rejection)
    if (outside & judged).any() and (inside & judged).any():
        figures["oos_auroc"] = area_under_roc(found.rejection[judged], outside[judged])
        figures["oos_best_recall"] = recall_at_precision(found.rejection[judged], outside[judged], precision)
    return figures
