"""Whether what comes in looks like what came before: an effect size and a test, and both must speak.

The population stability index says how far a distribution moved, a chi-square test on the same classes whether
chance moves it so far, and Benjamini and Hochberg's (1995) procedure that many features are asked at once. With
many rows any trifle is significant and with few rows chance moves the index, so neither alarms alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from components.quality.facts import population_stability

COMMON = 0.02  # a word has a class of its own from this share on; the rest is one class
MANY = 0.1  # share of the exposures in one band of keys
EXPECTED = 5.0  # rows that a class needs in both samples for the chi-square approximation (Cochran 1954)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Rows by class: between `edges`, or by word; what has no class of its own counts in the last one.

    edges    ascending; a value equal to one belongs below it
    classes  word -> number of its class
    counts   rows, or weights, of each class
    """

    counts: tuple[float, ...]
    edges: tuple[float, ...] | None = None
    classes: Mapping[str, int] | None = None

    @property
    def n(self) -> float:
        return sum(self.counts)

    def count(self, words: Mapping[Any, float]) -> np.ndarray:
        """Other rows, {value: rows}, by these classes."""
        if self.edges is not None:
            where = np.searchsorted(np.array(self.edges), np.array(list(words), np.float64), side="left")
        else:
            last = len(self.counts) - 1
            where = np.array([(self.classes or {}).get(word, last) for word in words], np.int64)
        return np.bincount(where, np.array(list(words.values()), np.float64), len(self.counts))

    def as_json(self) -> dict[str, Any]:
        return {"counts": self.counts, "edges": self.edges, "classes": self.classes}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Distribution:
        edges = values.get("edges")
        return cls(tuple(values["counts"]), None if edges is None else tuple(edges), values.get("classes"))


@dataclass(frozen=True, slots=True)
class Drift:
    """How one feature moved. `q` is the p-value corrected for how many were asked; None where nothing is said."""

    feature: str
    rows: float
    before: float
    psi: float | None
    q: float | None
    alarm: bool


def counted(values: pl.Series) -> dict[Any, float]:
    """{value: rows} of a column, without nulls."""
    tally = values.drop_nulls().rename("value").value_counts(sort=True, name="n")
    return dict(zip(tally["value"].to_list(), tally["n"].cast(pl.Float64).to_list(), strict=True))


def of_numbers(values: Mapping[float, float]) -> Distribution:
    """Numbers, {value: rows}, by their own deciles."""
    keys = np.array(sorted(values), np.float64)
    edges: tuple[float, ...] = ()
    if len(keys):
        reached = np.cumsum([values[key] for key in keys.tolist()])
        places = np.searchsorted(reached, np.linspace(0.1, 0.9, 9) * reached[-1] - 1e-9)
        edges = tuple(np.unique(keys[places]).tolist())
    return _filled(Distribution((0.0,) * (len(edges) + 1), edges=edges), values)


def of_words(values: Mapping[str, float]) -> Distribution:
    """Words, {word: rows}: a class for each that is common, and one for the rest."""
    total = sum(values.values())
    common = sorted(word for word, n in values.items() if n >= COMMON * total)
    classes = {word: number for number, word in enumerate(common)}
    return _filled(Distribution((0.0,) * (len(common) + 1), classes=classes), values)


def of_keys(earlier: Mapping[str, float], values: Mapping[str, float]) -> Distribution:
    """Very many words, {word: weight}: cut into bands of a tenth of the weight of `earlier`, the heaviest first.

    When the head of the list takes more, or another head takes its place, the bands fill differently. `earlier` are
    other rows than `values`: ordered by themselves, words that chance showed once would seem to be words that are
    shown, and the next rows, with others of the long tail, would seem to have moved.
    """
    ordered = sorted(earlier, key=lambda word: (-earlier[word], word))
    weights = np.array([earlier[word] for word in ordered], np.float64)
    reached = np.cumsum(weights) - weights
    bands = np.minimum(reached / max(weights.sum(), 1e-12) / MANY + 1e-9, 1 / MANY - 1).astype(int).tolist()
    last = int(1 / MANY) - 1
    classes = {word: band for word, band in zip(ordered, bands, strict=True) if band < last}
    return _filled(Distribution((0.0,) * (last + 1), classes=classes), values)


def drifts(
    before: Mapping[str, Distribution],
    now: Mapping[str, Mapping[Any, float]],
    alpha: float,
    psi: float,
    min_rows: float,
) -> list[Drift]:
    """Every feature of `before`, in its order; one with fewer than `min_rows` on either side says nothing.

    Args:
        before: distributions of the reference.
        now: {value: rows} by feature.
        alpha: false discoveries allowed among the features called moved.
        psi: stability index from which a move matters.
        min_rows: on each side.
    """
    found = [(name, base, base.count(now.get(name) or {})) for name, base in before.items()]
    known = [min(base.n, counts.sum()) >= max(min_rows, 1) for _, base, counts in found]
    p_values = [_p_value(base, counts) for (_, base, counts), asked in zip(found, known, strict=True) if asked]
    corrected = iter(_corrected(p_values))
    return [
        _drift(name, base, counts, next(corrected) if asked else None, alpha, psi)
        for (name, base, counts), asked in zip(found, known, strict=True)
    ]


def _filled(empty: Distribution, values: Mapping[Any, float]) -> Distribution:
    return Distribution(tuple(empty.count(values).tolist()), empty.edges, empty.classes)


def _drift(name: str, base: Distribution, counts: np.ndarray, q: float | None, alpha: float, psi: float) -> Drift:
    rows = float(counts.sum())
    if q is None:
        return Drift(name, rows, base.n, None, None, False)
    moved = population_stability(np.array(base.counts) / base.n, counts / rows)
    return Drift(name, rows, base.n, moved, q, q < alpha and moved > psi)


def _p_value(base: Distribution, counts: np.ndarray) -> float:
    """That both are draws from one distribution; classes too rare for the approximation are taken together."""
    table = np.array([base.counts, counts], np.float64)
    expected = table.sum(0) * (table.sum(1) / table.sum()).min()
    rare = expected < EXPECTED
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(1)])
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2:
        return 1.0
    from scipy.stats import chi2_contingency

    return float(chi2_contingency(table, correction=False).pvalue)


def _corrected(p_values: Sequence[float]) -> list[float]:
    if not p_values:
        return []
    from scipy.stats import false_discovery_control

    return [float(q) for q in false_discovery_control(p_values, method="bh")]
