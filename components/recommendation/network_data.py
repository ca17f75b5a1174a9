"""Sequences for the networks: from histories to padded batches, in numpy; nothing here needs torch.

A step is what a network reads at once. Where the target is the next item, a step is one event;
where it is the next basket, a step is a whole basket (the order within a basket means nothing),
and every item of the following basket is a target.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl

from components.recommendation.features.histories import Histories

N_GAPS = 24  # buckets of days between steps: two per doubling, the last from 2,900 days
POOLED = 32  # batches whose windows are sorted by length together, so that little is padding


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of many sequences, oldest first, in compressed sparse rows.

    sequences (n_sequences + 1,) int64   sequence s owns steps sequences[s]:sequences[s + 1]
    offsets   (n_steps + 1,) int64       step t owns items offsets[t]:offsets[t + 1]
    items     (n_events,) int64          codes of the network's own catalogue
    weights   (n_events,) float32        what an event counts as a target
    gaps      (n_steps,) int64           bucket of the days since the step before
    days      (n_steps,) float32         days before the moment of asking
    """

    sequences: np.ndarray
    offsets: np.ndarray
    items: np.ndarray
    weights: np.ndarray
    gaps: np.ndarray
    days: np.ndarray

    @classmethod
    def of(cls, histories: Histories, codes: np.ndarray, by_basket: bool) -> Self:
        """Steps of every query; items whose code is negative (or unheard of) are left out."""
        known = histories.items < len(codes)
        known[known] = codes[histories.items[known]] >= 0
        rows, baskets, days = histories.rows()[known], histories.baskets[known], histories.days_ago[known]
        first = np.ones(len(rows), bool)
        if by_basket:
            first[1:] = (rows[1:] != rows[:-1]) | (baskets[1:] != baskets[:-1])
        starts = np.flatnonzero(first)
        counts = np.bincount(rows[starts], minlength=len(histories))
        return cls(
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.append(starts, len(rows)).astype(np.int64),
            codes[histories.items[known]].astype(np.int64),
            histories.weights[known],
            _gap_buckets(days[starts], rows[starts]),
            days[starts],
        )

    def only_new(self) -> Steps:
        """The same steps, where an item that the sequence held before is no target."""
        sequence = np.repeat(np.arange(len(self.sequences) - 1), np.diff(self.offsets[self.sequences]))
        _, firsts = np.unique(sequence * (self.items.max(initial=0) + 1) + self.items, return_index=True)
        weights = np.zeros_like(self.weights)
        weights[firsts] = self.weights[firsts]
        return replace(self, weights=weights)

    def fingerprint(self) -> str:
        """Changes with any of the data; a checkpoint of other data must not be resumed."""
        digest = hashlib.sha256()
        for array in (self.sequences, self.offsets, self.items, self.weights, self.gaps, self.days):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _gap_buckets(days_ago: np.ndarray, rows: np.ndarray) -> np.ndarray:
    since = np.zeros(len(days_ago))
    since[1:] = np.where(rows[1:] == rows[:-1], np.maximum(days_ago[:-1] - days_ago[1:], 0), 0)
    buckets: np.ndarray = np.minimum(2 * np.log2(1 + since), N_GAPS - 1).astype(np.int64)
    return buckets


@dataclass(frozen=True, slots=True)
class Windows:
    """Input steps starts[i]:stops[i] of one sequence each."""

    starts: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, chosen: np.ndarray) -> Windows:
        """The windows at these positions."""
        return Windows(self.starts[chosen], self.stops[chosen])


def last_windows(steps: Steps, length: int) -> Windows:
    """The last `length` steps of every sequence; an empty sequence gives an empty window."""
    return Windows(np.maximum(steps.sequences[:-1], steps.sequences[1:] - length), steps.sequences[1:])


def training_windows(steps: Steps, length: int, held_out: np.ndarray) -> Windows:
    """Windows that together read every step which has a next one, cut from the end.

    held_out (n_sequences,) bool: the sequence's last step is kept from training.
    """
    n_inputs = np.maximum(np.diff(steps.sequences) - 1 - held_out, 0)
    n_windows = -(-n_inputs // length)
    sequence = np.repeat(np.arange(len(n_inputs)), n_windows)
    place = np.arange(len(sequence)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    stops = steps.sequences[sequence] + n_inputs[sequence] - place * length
    return Windows(np.maximum(stops - length, steps.sequences[sequence]), stops)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a network reads: the real steps, and where each stands in the padded grid.

    items (n_events,) and offsets (n_steps,)  the bags of the steps
    gaps, places, positions (n_steps,)        time bucket, cell in the flat (n_rows * width) grid, column
    lasts (n_rows,)                           the last step of each row
    steps (n_steps,)                          the steps' numbers in the whole data
    """

    items: np.ndarray
    offsets: np.ndarray
    gaps: np.ndarray
    places: np.ndarray
    positions: np.ndarray
    lasts: np.ndarray
    steps: np.ndarray
    shape: tuple[int, int]


def make_batch(steps: Steps, windows: Windows) -> Batch:
    """One batch of non-empty windows, padded on the right to the longest of them."""
    lengths = windows.stops - windows.starts
    chosen, rows, positions = spans(windows.starts, lengths)
    sizes = steps.offsets[chosen + 1] - steps.offsets[chosen]
    events, _, _ = spans(steps.offsets[chosen], sizes)
    width = int(lengths.max())
    return Batch(
        steps.items[events],
        np.cumsum(sizes) - sizes,
        steps.gaps[chosen],
        rows * width + positions,
        positions,
        np.cumsum(lengths) - 1,
        chosen,
        (len(windows), width),
    )


def spans(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """starts[i] .. starts[i] + lengths[i] - 1 one after another: values, i, and the place within."""
    rows = np.repeat(np.arange(len(starts)), lengths)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return starts[rows] + places, rows, places


def targets_of(steps: Steps, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What follows every step of a training batch: step in the batch, item, weight (summing to 1)."""
    following = batch.steps + 1
    starts = steps.offsets[following]
    events, rows, _ = spans(starts, steps.offsets[following + 1] - starts)
    weights = steps.weights[events]
    per_step = np.bincount(rows, weights, minlength=len(following))
    share = weights / np.maximum(per_step[rows], 1e-9)  # every step counts alike, however large the basket
    return rows, steps.items[events], (share / len(following)).astype(np.float32)


def epoch_batches(windows: Windows, size: int, random: np.random.Generator) -> list[Windows]:
    """All windows once in random order, windows of like length together."""
    order = random.permutation(len(windows))
    lengths = windows.stops - windows.starts
    parts = []
    for start in range(0, len(order), size * POOLED):
        pooled = order[start : start + size * POOLED]
        pooled = pooled[np.argsort(lengths[pooled], kind="stable")]
        parts += [pooled[first : first + size] for first in range(0, len(pooled), size)]
    return [windows.take(parts[number]) for number in random.permutation(len(parts))]


@dataclass(frozen=True, slots=True)
class Negatives:
    """Shared negatives of a batch and the logarithm of the chance that each was drawn."""

    items: np.ndarray
    log_chances: np.ndarray


def draw_negatives(targets: np.ndarray, shares: np.ndarray, n: int, random: np.random.Generator) -> Negatives:
    """Half from the batch's own targets, half uniform over the catalogue; duplicates drawn once.

    shares (n_items,): how often each item is a target at all, summing to 1. The loss subtracts
    log_chances (logQ correction, Bengio and Senécal 2008; Yi et al. 2019).
    """
    in_batch = random.choice(targets, n // 2)
    uniform = random.integers(0, len(shares), n - n // 2)
    items = np.unique(np.concatenate([in_batch, uniform]))
    chance = (shares[items] + 1 / len(shares)) / 2
    return Negatives(items, np.log(-np.expm1(n * np.log1p(-chance))).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Lessons:
    """Everything a training run reads.

    Validation row i asks with the window valid[i]; its answers are truth[truth_offsets[i]:truth_offsets[i + 1]].
    """

    steps: Steps
    windows: Windows
    shares: np.ndarray
    valid: Windows
    truth: np.ndarray
    truth_offsets: np.ndarray


def lessons_of(
    train: Histories,
    customers: np.ndarray,
    codes: np.ndarray,
    valid: pl.DataFrame | None,
    by_basket: bool,
    length: int,
    max_valid: int,
    seed: int,
    only_new: bool = False,
) -> Lessons:
    """Training windows and validation questions.

    With `valid` (customer, item) its items are the answers; without it, the last step of a tenth
    of the customers is held out. only_new: items that a customer had before are neither target nor answer.
    """
    steps = Steps.of(train, codes, by_basket)
    steps = steps.only_new() if only_new else steps
    n_steps = np.diff(steps.sequences)
    held_out = np.zeros(len(customers), bool)
    if valid is None:
        able = np.flatnonzero(n_steps >= 3)
        held_out[_some(able, min(max_valid, max(1, len(able) // 10)), seed)] = len(able) > 1
        asked = np.flatnonzero(held_out)
        stops = steps.sequences[asked + 1] - 1
        events, rows, _ = spans(steps.offsets[stops], steps.offsets[stops + 1] - steps.offsets[stops])
        asked_for = steps.weights[events] > 0
        truth, rows = steps.items[events[asked_for]], rows[asked_for]
    else:
        if only_new:
            valid = _without_owned(valid, train, customers)
        asked, truth, rows = _asked(valid, customers, codes, n_steps, max_valid, seed)
        stops = steps.sequences[asked + 1]
    n_truth = np.bincount(rows, minlength=len(asked))
    windows = training_windows(steps, length, held_out)
    return Lessons(
        steps,
        windows,
        _target_shares(steps, windows, int(codes.max(initial=-1)) + 1),
        Windows(np.maximum(steps.sequences[asked], stops - length), stops),
        truth,
        np.concatenate([[0], np.cumsum(n_truth)]).astype(np.int64),
    )


def _asked(
    valid: pl.DataFrame, customers: np.ndarray, codes: np.ndarray, n_steps: np.ndarray, max_valid: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Customers with a history and an answer that the network knows: their rows, answers, and whose they are."""
    answers = valid.drop_nulls("customer").select("customer", "item").unique().sort("customer", "item")
    items = answers["item"].to_numpy()
    items = np.where(items < len(codes), codes[np.minimum(items, len(codes) - 1)], -1)
    row = np.minimum(np.searchsorted(customers, answers["customer"].to_numpy()), len(customers) - 1)
    usable = (items >= 0) & (customers[row] == answers["customer"].to_numpy()) & (n_steps[row] > 0)
    asked = np.sort(_some(np.unique(row[usable]), max_valid, seed))
    usable &= np.isin(row, asked)
    return asked, items[usable].astype(np.int64), np.searchsorted(asked, row[usable])


def _without_owned(valid: pl.DataFrame, train: Histories, customers: np.ndarray) -> pl.DataFrame:
    owned = pl.DataFrame(
        {"customer": customers[train.rows()], "item": train.items},
        schema_overrides={name: valid.schema[name] for name in ("customer", "item")},
    )
    return valid.join(owned, on=["customer", "item"], how="anti")


def _some(values: np.ndarray, n: int, seed: int) -> np.ndarray:
    return values if len(values) <= n else np.random.default_rng(seed).choice(values, n, replace=False)


def _target_shares(steps: Steps, windows: Windows, n_items: int) -> np.ndarray:
    following, _, _ = spans(windows.starts + 1, windows.stops - windows.starts)
    events, _, _ = spans(steps.offsets[following], np.diff(steps.offsets)[following])
    counts = np.bincount(steps.items[events], steps.weights[events], minlength=n_items)
    shares: np.ndarray = counts / max(counts.sum(), 1)
    return shares
