"""The detector: what it reads, what it learns from it, and where it draws the line."""

from pathlib import Path

import numpy as np
import pytest

from components.core.calibration import log_softmax
from components.core.classification import area_under_roc
from components.core.rejection import Detector, evidence, evidence_names, logistic


def rows(n: int = 800, seed: int = 0, outside_share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Two columns: one that tells what is outside, with noise, and one that tells nothing."""
    random = np.random.default_rng(seed)
    outside = random.random(n) < outside_share
    return np.column_stack([2.0 * outside + random.normal(size=n), 100 * random.normal(size=n)]), outside


def test_logistic_regression_finds_known_weights() -> None:
    random = np.random.default_rng(0)
    inputs = np.column_stack([random.normal(size=(20_000, 2)), np.ones(20_000)])
    known = np.array([1.5, -0.5, 0.3])
    positive = random.random(20_000) < 1 / (1 + np.exp(-inputs @ known))
    np.testing.assert_allclose(logistic(inputs, positive, np.full(20_000, 1 / 20_000), 1e-9), known, atol=0.06)
    split = np.array([[-1.0, 1.0], [1.0, 1.0]])  # separable: only the penalty keeps the weights small
    assert np.abs(logistic(split, np.array([False, True]), np.array([0.5, 0.5]), 1e-2)).max() < 10


def test_the_line_is_where_most_decisions_are_right() -> None:
    found, outside = rows(4000)
    right = np.ones(len(outside), bool)
    new, strange = rows(4000, seed=1)
    detector = Detector().fit(found, outside, right, expected_share=0.2)
    decisions = (detector.score(new) >= 0.5) == strange
    others = [(detector.score(new) >= edge) == strange for edge in (0.05, 0.2, 0.8, 0.95)]
    assert decisions.mean() >= max(other.mean() for other in others) - 0.005
    assert area_under_roc(detector.score(new), strange) > 0.9


def test_rejecting_what_would_be_wrong_anyway_costs_nothing() -> None:
    found, outside = rows(2000)
    wrong = Detector().fit(found, outside, np.zeros(len(outside), bool), expected_share=0.2)
    right = Detector().fit(found, outside, np.ones(len(outside), bool), expected_share=0.2)
    assert (wrong.score(found)[outside] >= 0.5).mean() > 0.97, "nothing is lost by rejecting"
    assert (right.score(found)[outside] >= 0.5).mean() < 0.9


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_stated_precision_is_that_of_the_expected_share(share: float) -> None:
    found, outside = rows(6000)
    detector = Detector().fit(found, outside, np.ones(len(outside), bool), share, precision=0.8)
    new, strange = rows(20_000, seed=1)
    rejected = detector.score(new) >= 0.5
    caught, spoilt = share * rejected[strange].mean(), (1 - share) * rejected[~strange].mean()
    assert caught / (caught + spoilt) == pytest.approx(0.8, abs=0.08)


def test_a_precision_out_of_reach_rejects_next_to_nothing() -> None:
    random = np.random.default_rng(0)
    found, outside = random.normal(size=(500, 1)), random.random(500) < 0.3
    detector = Detector().fit(found, outside, ~outside, 0.01, precision=1.0)
    assert (detector.score(found) >= 0.5).mean() < 0.02


def test_few_examples_teach_nothing(tmp_path: Path) -> None:
    found, outside = rows(400, outside_share=0.0)
    outside[:9] = True
    detector = Detector().fit(found, outside, ~outside, 0.2)
    assert not detector.learned and (detector.score(found) == 0).all()
    detector.save(tmp_path)
    assert (Detector.load(tmp_path).score(found) == 0).all()


def test_loading_changes_no_score_and_what_is_unknown_says_nothing(tmp_path: Path) -> None:
    found, outside = rows()
    found[::5, 1] = np.nan
    detector = Detector().fit(np.column_stack([found, np.ones(len(found))]), outside, ~outside, 0.2)
    scores = detector.score(np.column_stack([found, np.full(len(found), 7.0)]))
    assert np.isfinite(scores).all() and ((scores >= 0) & (scores <= 1)).all()
    detector.save(tmp_path)
    again = Detector.load(tmp_path).score(np.column_stack([found, np.full(len(found), 7.0)]))
    np.testing.assert_array_equal(again, scores)


def test_evidence_has_a_name_for_each_column_and_reads_what_it_says() -> None:
    raw = np.array([[[9.0, 0.2], [1.0, 0.3]], [[2.0, np.nan], [3.0, np.nan]]])  # (2 groups, 2 labels, 2 members)
    rejects = np.array([[8.0, np.nan], [np.nan, np.nan]])
    logs = log_softmax(raw)
    mixed = log_softmax(logs.mean(axis=2))
    names, found = evidence_names(("one", "two")), evidence(raw, rejects, logs, mixed)
    assert found.shape == (2, len(names)) == (2, 6 * 2 + 6)
    of = {name: found[:, column] for column, name in enumerate(names)}
    assert of["best score of one"].tolist() == [9.0, 3.0]
    assert of["best score of two"][0] == 0.3 and np.isnan(of["best score of two"][1]), "it said nothing"
    assert of["reject odds of one"][0] == pytest.approx(8 - np.logaddexp(9, 1)) and np.isnan(
        of["reject odds of one"][1]
    )
    assert of["margin of one"].tolist() == pytest.approx([8.0, 1.0])
    assert of["log odds of one"].tolist() == pytest.approx([8.0, 1.0])
    assert of["entropy of two"][1] == pytest.approx(np.log(2))
    assert of["agreement"][0] == 0.5, "two prefers the other label"
    alike = np.repeat(logs[:, :, :1], 2, axis=2)
    assert np.abs(evidence(raw, rejects, alike, logs[:, :, 0])[:, names.index("disagreement")]).max() < 1e-9
