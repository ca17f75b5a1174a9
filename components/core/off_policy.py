"""What a policy would have earned, estimated from what another one showed: inverse propensities and doubly robust.

Rows are shown keys, each with the chance with which the logging policy showed it. Keys earn independently of each
other and of their place; so the value of a policy is the mean reward of a shown key.

    snips  sum(w r) / sum(w)               self-normalised (Swaminathan and Joachims 2015), w = chance / propensity
    dr     mean(m + w (r - e))             doubly robust (Dudik, Langford and Li 2011), e what a reward model expects of
                                           the shown key, m its mean over what the policy would show in that place

Errors are by cluster (a customer's rows are not independent) from the estimates' influence functions. Weights are
clipped (Ionides 2008 on why); what that cost is reported. No estimate knows more than its weights: `trustworthy` says
whether the logs overlap enough with the policy for it to mean anything, `why` says what is lacking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.core.metrics import Interval

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Logged:
    """What was shown, one element per shown key.

    cluster     (n,) codes: whose it is
    reward      (n,) in [0, 1]
    propensity  (n,) chance with which the logging policy showed the key, in (0, 1]
    expected    (n,) what a reward model that has not seen this cluster expects of the key
    """

    cluster: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy to be judged, one element per shown key.

    chance    (n,) with which this policy shows the logged key
    expected  (n,) what the reward model expects, on average, of what the policy shows in that place
    known     (n,) part of what the policy shows in that place that the logs show to anybody at all
    """

    chance: np.ndarray
    expected: np.ndarray
    known: np.ndarray


@dataclass(frozen=True, slots=True)
class Limits:
    """What overlap an estimate needs before anybody acts upon it."""

    most_weight: float = 1000.0  # larger weights are clipped to it
    clipped_share: float = 0.05
    ess: float = 200.0
    clusters: int = 30
    max_weight_share: float = 0.05
    support_share: float = 0.8
    mean_weight: tuple[float, float] = (0.8, 1.25)


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """An estimate with its intervals (95 %), in reward per shown key, and what it rests upon.

    ess               rows that as many equal weights would be worth: sum(w)^2 / sum(w^2) (Kish 1965)
    max_weight_share  the largest weight's share of all
    support_share     part of what the policy shows that the logs show to anybody
    mean_weight       1 where whatever the policy shows had a chance to be logged; of a comparison the worse of both
    clipped_share     part of the weights' sum that clipping took
    """

    snips: Interval
    dr: Interval
    ess: float
    max_weight_share: float
    support_share: float
    mean_weight: float
    clipped_share: float
    n: int
    n_clusters: int
    trustworthy: bool
    why: str


def estimate(logged: Logged, policy: Policy, limits: Limits = Limits()) -> OffPolicy:
    """What `policy` would have earned per shown key."""
    weights, lost = _weights(logged, policy, limits)
    return _judged(logged, _pulls(logged, policy, weights), weights, policy.known.mean(), weights.mean(), lost, limits)


def contrast(logged: Logged, ours: Policy, theirs: Policy, limits: Limits = Limits()) -> OffPolicy:
    """What `ours` would have earned more than `theirs`, per shown key.

    Its `ess` and `max_weight_share` are of the rows on which the two differ; it can be no more trustworthy
    than either alone.
    """
    alone = [estimate(logged, policy, limits) for policy in (ours, theirs)]
    weights = [_weights(logged, policy, limits)[0] for policy in (ours, theirs)]
    pulls = [_pulls(logged, policy, each) for policy, each in zip((ours, theirs), weights, strict=True)]
    both = [(mine[0] - other[0], mine[1] - other[1]) for mine, other in zip(*pulls, strict=True)]
    worst = max((each.mean_weight for each in alone), key=lambda mean: abs(np.log(max(mean, 1e-9))))
    return _judged(
        logged, both, np.abs(weights[0] - weights[1]), min(each.support_share for each in alone), worst,
        max(each.clipped_share for each in alone), limits,
    )  # fmt: skip


def _weights(logged: Logged, policy: Policy, limits: Limits) -> tuple[np.ndarray, float]:
    """(n,) clipped weights, and the part of their sum that clipping took."""
    raw = policy.chance / logged.propensity
    weights = np.minimum(raw, limits.most_weight)
    return weights, float(1 - weights.sum() / raw.sum()) if raw.sum() > 0 else 0.0


def _pulls(logged: Logged, policy: Policy, weights: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Value and influence (n,) of each row on it, for snips and dr."""
    total = max(float(weights.mean()), 1e-12)
    snips = float(np.mean(weights * logged.reward)) / total
    each = policy.expected + weights * (logged.reward - logged.expected)
    return [(snips, weights * (logged.reward - snips) / total), (float(each.mean()), each - each.mean())]


def _judged(
    logged: Logged,
    pulls: Sequence[tuple[float, np.ndarray]],
    weights: np.ndarray,
    support_share: float,
    mean_weight: float,
    clipped_share: float,
    limits: Limits,
) -> OffPolicy:
    total, squares, n_clusters = float(weights.sum()), float(np.square(weights).sum()), len(np.unique(logged.cluster))
    snips, dr = (_interval(value, influence, logged.cluster) for value, influence in pulls)
    figures = {
        "ess": total**2 / squares if squares > 0 else 0.0,
        "max_weight_share": float(weights.max()) / total if total > 0 else 1.0,
        "support_share": float(support_share),
        "mean_weight": float(mean_weight),
        "clipped_share": clipped_share,
    }
    lacking = _lacking(figures, n_clusters, limits)
    why = "; ".join(lacking) or f"{figures['ess']:.0f} effective of {len(weights)} rows, {n_clusters} customers"
    return OffPolicy(
        snips, dr, **figures, n=len(weights), n_clusters=n_clusters, trustworthy=not lacking, why=why
    )  # fmt: skip


def _lacking(figures: dict[str, float], n_clusters: int, limits: Limits) -> list[str]:
    """What is too thin, in words."""
    low, high = limits.mean_weight
    asked = [
        (n_clusters >= limits.clusters, f"{n_clusters} customers, {limits.clusters} are needed"),
        (figures["ess"] >= limits.ess, f"{figures['ess']:.0f} effective rows, {limits.ess:.0f} are needed"),
        (
            figures["max_weight_share"] <= limits.max_weight_share,
            f"one row has {figures['max_weight_share']:.0%} of the weight, {limits.max_weight_share:.0%} is the most",
        ),
        (
            figures["support_share"] >= limits.support_share,
            f"{figures['support_share']:.0%} of its list was ever shown, {limits.support_share:.0%} is needed",
        ),
        (low <= figures["mean_weight"] <= high, f"mean weight {figures['mean_weight']:.2f}, expected {low} to {high}"),
        (
            figures["clipped_share"] <= limits.clipped_share,
            f"clipping took {figures['clipped_share']:.0%} of the weights, {limits.clipped_share:.0%} is the most",
        ),
    ]
    return [words for holds, words in asked if not holds]


def _interval(value: float, influence: np.ndarray, cluster: np.ndarray) -> Interval:
    """95 %, normal, with errors that may be dependent within a cluster (Liang and Zeger 1986)."""
    _, codes = np.unique(cluster, return_inverse=True)
    sums = np.bincount(codes, influence)
    n_clusters = max(len(sums), 2)
    error = float(np.sqrt(np.square(sums).sum() * n_clusters / (n_clusters - 1))) / max(len(influence), 1)
    return Interval(value, value - 1.96 * error, value + 1.96 * error)


def expectations(
    features: np.ndarray, reward: np.ndarray, fold: np.ndarray, asked: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[np.ndarray]:
    """A logistic reward model's expectation of other rows, each by the model that has not seen its fold.

    Args:
        features: (n, n_features) of the logged rows.
        reward: (n,) in {0, 1}.
        fold: (n,) 0 to FOLDS - 1; all rows of a cluster in one.
        asked: features and folds of the rows in question.
    """
    found = [np.zeros(len(folds)) for _, folds in asked]
    for number in range(FOLDS):
        predict = _fitted(features[fold != number], reward[fold != number])
        for answer, (rows, folds) in zip(found, asked, strict=True):
            if (folds == number).any():
                answer[folds == number] = predict(rows[folds == number])
    return found


def _fitted(features: np.ndarray, reward: np.ndarray) -> Any:
    """A function from features to expectations; the mean where all rewards are the same."""
    if len(np.unique(reward)) < 2:
        mean = float(reward.mean()) if len(reward) else 0.0
        return lambda rows: np.full(len(rows), mean)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(features, reward)
    return lambda rows: model.predict_proba(rows)[:, 1]
