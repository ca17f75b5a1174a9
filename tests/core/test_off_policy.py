"""Estimates from logged propensities, on a shop whose truth is known because it is simulated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.off_policy import FOLDS, Limits, Logged, OffPolicy, Policy, contrast, estimate, expectations

N_ITEMS, N_CUSTOMERS, N_EACH = 12, 150, 8
SEEDS = range(60)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@dataclass(frozen=True, slots=True)
class World:
    """Customers who each like items of their own, asked several times; one item is shown each time.

    rates (n, n_items) true chance of a hit, logging and target (n, n_items) chances of two policies
    """

    customer: np.ndarray
    rates: np.ndarray
    logging: np.ndarray
    target: np.ndarray
    shown: np.ndarray
    reward: np.ndarray

    def truth(self, chances: np.ndarray) -> float:
        return float((chances * self.rates).sum(1).mean())

    def logged(self, expected: np.ndarray) -> Logged:
        rows = np.arange(len(self.shown))
        return Logged(self.customer, self.reward, self.logging[rows, self.shown], expected[rows, self.shown])

    def policy(self, chances: np.ndarray, expected: np.ndarray) -> Policy:
        rows = np.arange(len(self.shown))
        return Policy(chances[rows, self.shown], (chances * expected).sum(1), np.ones(len(self.shown)))

    def estimate(self, expected: np.ndarray) -> OffPolicy:
        return estimate(self.logged(expected), self.policy(self.target, expected))


def world(seed: int, sharpness: float = 1.0) -> World:
    random = np.random.default_rng(seed)
    taste = random.normal(size=(N_CUSTOMERS, N_ITEMS))
    customer = np.repeat(np.arange(N_CUSTOMERS), N_EACH)
    rates = 1 / (1 + np.exp(1 - 3 * taste))[customer]
    logging = softmax(sharpness * random.normal(size=(N_CUSTOMERS, N_ITEMS)))[customer]
    target = softmax(sharpness * taste)[customer]
    shown = (logging.cumsum(1) > random.random((len(customer), 1))).argmax(1)
    reward = (random.random(len(customer)) < rates[np.arange(len(customer)), shown]).astype(float)
    return World(customer, rates, logging, target, shown, reward)


NO_MODEL = 0.2  # a reward model that says the same of every item


def test_intervals_cover_the_truth_and_a_good_reward_model_makes_doubly_robust_the_better_one() -> None:
    """Nominal 95 %; the customers are drawn anew each time, so the truth is that of their whole population."""
    truth = np.mean([each.truth(each.target) for each in map(world, range(1000, 1400))])
    found = [
        (one, one.estimate(one.rates), one.estimate(np.full_like(one.rates, NO_MODEL))) for one in map(world, SEEDS)
    ]
    for name in ("snips", "dr"):
        for place in (1, 2):
            intervals = [getattr(each[place], name) for each in found]
            covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
            assert covered >= 0.88, f"{name} with model {place}: {covered:.0%}"
            assert np.mean([interval.mean for interval in intervals]) == pytest.approx(truth, abs=0.015)
    errors = {
        name: np.mean([(getattr(each, name).mean - one.truth(one.target)) ** 2 for one, each, _ in found])
        for name in ("snips", "dr")
    }
    assert errors["dr"] < 0.8 * errors["snips"]
    width = {name: np.mean([getattr(each, name).high - getattr(each, name).low for _, each, _ in found])
             for name in ("snips", "dr")}  # fmt: skip
    assert width["dr"] < width["snips"]


def test_errors_are_by_customer() -> None:
    """Each row ten times over tells nothing new of the customers, so no interval may shrink."""
    one = world(0)
    logged, policy = one.logged(one.rates), one.policy(one.target, one.rates)
    before, after = estimate(logged, policy), estimate(_repeated(logged, 10), _repeated(policy, 10))
    for name in ("snips", "dr"):
        wide, narrow = getattr(before, name), getattr(after, name)
        assert narrow.mean == pytest.approx(wide.mean) and narrow.low == pytest.approx(wide.low)


def _repeated(rows: Logged | Policy, times: int) -> Logged | Policy:
    return replace(rows, **{name: np.repeat(getattr(rows, name), times) for name in rows.__slots__})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0.01, 1), st.floats(0, 1)), min_size=1))
def test_the_policy_that_logged_earned_what_was_logged(rows: list[tuple[int, bool, float, float]]) -> None:
    cluster, reward, propensity, expected = (np.array(column, float) for column in zip(*rows, strict=True))
    logged = Logged(cluster, reward, propensity, expected)
    found = estimate(logged, Policy(propensity, expected, np.ones(len(rows))))
    assert found.snips.mean == pytest.approx(reward.mean()) and found.dr.mean == pytest.approx(reward.mean())
    assert found.ess == pytest.approx(len(rows)) and found.mean_weight == pytest.approx(1)
    assert found.max_weight_share == pytest.approx(1 / len(rows)) and found.clipped_share == pytest.approx(0)
    assert found.snips.low <= found.snips.mean <= found.snips.high


def test_enough_overlap_is_trusted_and_says_how_much_there_was() -> None:
    found = world(3).estimate(world(3).rates)
    assert found.trustworthy and f"of {N_CUSTOMERS * N_EACH} rows, {N_CUSTOMERS} customers" in found.why


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("disjoint", "mean weight 0.00"),
        ("peaked", "effective rows"),
        ("one row", "of the weight"),
        ("never shown", "30% of its list was ever shown"),
        ("few customers", "3 customers, 30 are needed"),
    ],
)
def test_bad_overlap_is_flagged(what: str, words: str) -> None:
    n = 1200
    logged = Logged(np.arange(n) % 60, np.zeros(n), np.full(n, 0.5), np.zeros(n))
    policy = Policy(np.full(n, 0.5), np.zeros(n), np.ones(n))
    if what == "disjoint":
        policy = replace(policy, chance=np.zeros(n))
    if what == "peaked":
        policy = replace(policy, chance=np.where(np.arange(n) % 100 == 0, 1.0, 0.0))
    if what == "one row":
        logged = replace(logged, propensity=np.where(np.arange(n) == 0, 0.001, 0.5))
    if what == "never shown":
        policy = replace(policy, known=np.full(n, 0.3))
    if what == "few customers":
        logged = replace(logged, cluster=np.arange(n) % 3)
    found = estimate(logged, policy)
    assert not found.trustworthy and words in found.why


def test_clipping_is_reported() -> None:
    n = 2000
    logged = Logged(np.arange(n) % 50, np.ones(n), np.where(np.arange(n) < 20, 0.01, 1.0), np.ones(n))
    policy = Policy(np.ones(n), np.ones(n), np.ones(n))
    free, clipped = estimate(logged, policy), estimate(logged, policy, Limits(most_weight=10))
    assert free.clipped_share == 0 and clipped.clipped_share == pytest.approx(20 * 90 / (20 * 100 + 1980))
    assert not clipped.trustworthy and "clipping took" in clipped.why


def test_a_comparison_is_the_difference_and_narrower_than_two_estimates_apart() -> None:
    one = world(5)
    better = softmax(2 * np.log(one.rates))
    ours, theirs = one.policy(better, one.rates), one.policy(one.target, one.rates)
    logged = one.logged(one.rates)
    found, mine, other = contrast(logged, ours, theirs), estimate(logged, ours), estimate(logged, theirs)
    for name in ("snips", "dr"):
        interval, first, second = (getattr(each, name) for each in (found, mine, other))
        assert interval.mean == pytest.approx(first.mean - second.mean)
        apart = np.hypot(first.high - first.low, second.high - second.low)
        assert interval.high - interval.low < apart, "what both show cancels out"


def test_two_policies_that_show_the_same_leave_nothing_to_compare() -> None:
    one = world(6)
    same = one.policy(one.target, one.rates)
    found = contrast(one.logged(one.rates), same, same)
    assert not found.trustworthy and found.dr.mean == 0 and "0 effective rows" in found.why


def test_a_comparison_covers_the_true_difference() -> None:
    covered = []
    for one in map(world, SEEDS):
        uniform = np.full_like(one.target, 1 / N_ITEMS)
        logged = one.logged(np.full_like(one.rates, NO_MODEL))
        policies = [one.policy(chances, np.full_like(one.rates, NO_MODEL)) for chances in (one.target, uniform)]
        truth = one.truth(one.target) - one.truth(uniform)
        found = contrast(logged, *policies)
        covered.append([interval.low <= truth <= interval.high for interval in (found.snips, found.dr)])
    assert np.mean(covered, axis=0).min() >= 0.88


def test_expectations_are_learned_from_other_folds_only() -> None:
    random = np.random.default_rng(0)
    features, fold = random.normal(size=(2000, 2)), np.arange(2000) % FOLDS
    reward = (random.random(2000) < 1 / (1 + np.exp(-2 * features[:, 0]))).astype(float)
    (found,) = expectations(features, reward, fold, [(features, fold)])
    assert np.corrcoef(found, 1 / (1 + np.exp(-2 * features[:, 0])))[0, 1] > 0.98
    turned = np.where(fold == 0, 1 - reward, reward)
    (after,) = expectations(features, turned, fold, [(features, fold)])
    assert np.array_equal(after[fold == 0], found[fold == 0]) and not np.allclose(after[fold == 1], found[fold == 1])


def test_expectations_without_any_hit_are_the_mean() -> None:
    (found,) = expectations(
        np.zeros((10, 1)), np.zeros(10), np.arange(10) % FOLDS, [(np.zeros((2, 1)), np.array([0, 1]))]
    )
    assert found.tolist() == [0.0, 0.0]
