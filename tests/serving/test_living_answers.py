"""A release's answers as life goes on: purchases since its data ended, and lists that explore."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.artifacts import read_json, seal, write_json
from components.core.errors import DataError, ParamsError
from components.recommendation.answer.answerer import Answerer
from components.recommendation.answer.ask import Answer, Ask, Since
from components.recommendation.answer.exploration import Exploration
from components.recommendation.application import APPLICATION

POLICY = {"share": 0.4, "depth": 6, "shuffle_share": 0.3}


@pytest.fixture(scope="module")
def answerer(bundle: Path) -> Answerer:
    return Answerer.load(bundle)


@pytest.fixture(scope="module")
def curious(bundle: Path) -> Answerer:
    """The same release, exploring."""
    answerer = Answerer.load(bundle)
    answerer.exploration = Exploration(**POLICY)
    return answerer


def repackaged(bundle: Path, features: Path, folder: Path, **values: object) -> Path:
    """The same members and features under a manifest that says `values` too."""
    for part in ("members", "ensemble"):
        shutil.copytree(bundle / part, folder / part)
    write_json(folder / "manifest.json", read_json(bundle / "manifest.json") | values)
    APPLICATION.package(features, folder)
    seal(folder)
    return folder


def bought(answerer: Answerer, days: float, basket: str, *products: str) -> tuple[Since, ...]:
    return tuple(Since(basket, product, answerer.as_of + timedelta(days=days)) for product in products)


def ids(answer: Answer) -> list[str]:
    return [item.product_id for item in answer.items]


def at(answerer: Answerer, days: float) -> datetime:
    return answerer.as_of + timedelta(days=days)


def test_what_was_bought_since_moves_the_answer_and_may_be_answered(answerer: Answerer) -> None:
    known = answerer.answer(Ask("c5", k=60))
    other = ids(known)[40]
    since = tuple(event for days in range(1, 5) for event in bought(answerer, days, f"o{days}", other))
    answer = answerer.answer(Ask("c5", k=60, since=since, at=at(answerer, 7)))
    (item,) = [item for item in answer.items if item.product_id == other]
    assert item.reason == "bought every day, last 3 days ago"
    assert item.position < 31, "it rose by ten places at least"
    assert other not in ids(answerer.answer(Ask("c5", k=60, since=since, at=at(answerer, 7), basket=(other,))))


def test_days_are_counted_back_from_the_moment_of_asking(answerer: Answerer) -> None:
    since = bought(answerer, 0.5, "o1", "p3")
    own, _, _ = answerer.history(Ask("c5"))
    asked = Ask("c5", since=since, at=at(answerer, 10))
    longer, row, _ = answerer.history(asked)
    assert row is None, "what is prepared is out of date"
    assert longer.days_ago.tolist() == [*(own.days_ago + 10).tolist(), 9.5]
    assert longer.baskets[-1] == own.baskets[-1] + 1


def test_someone_new_becomes_known_by_buying(answerer: Answerer) -> None:
    asked = Ask("stranger", since=bought(answerer, 1, "o1", "p7", "p37"), at=at(answerer, 2))
    answer = answerer.answer(asked)
    assert answer.known_customer
    assert answer.rung == "ensemble"
    assert answer.items != answerer.answer(Ask("stranger")).items
    assert not answerer.is_prepared(asked)
    assert not answerer.answer(Ask("stranger")).known_customer


def test_purchases_that_the_release_holds_change_nothing(answerer: Answerer, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = answerer.answer(Ask("c5"))
    asked = Ask("c5", since=bought(answerer, -2, "o1", "p3") + bought(answerer, 1, "o2", "none"), at=at(answerer, 5))
    monkeypatch.setattr(Answerer, "rank", lambda *_: pytest.fail("the prepared answer should be enough"))
    assert answerer.is_prepared(asked)
    assert answerer.answer(asked) == plain


def test_answers_are_remembered_for_an_hour_and_until_the_next_purchase(bundle: Path) -> None:
    answerer = Answerer.load(bundle)
    since = bought(answerer, 1, "o1", "p3")
    asked = [Ask("c5", since=since, at=at(answerer, 2 + minutes / 1440), seed=minutes) for minutes in range(60)]
    assert len({tuple(ids(answerer.answer(ask))) for ask in asked}) == 1
    assert answerer._remembered.cache_info().misses == 1
    best = answerer.answer(asked[0]).items[0].product_id
    more = since + bought(answerer, 2, "o2", best)
    answer = answerer.answer(Ask("c5", since=more, at=at(answerer, 2 + 1 / 1440)))
    assert ["last today" in item.reason for item in answer.items if item.product_id == best] == [True]


ASKS = st.builds(
    Ask,
    customer_id=st.sampled_from([None, "c0", "c17", "stranger"]),
    basket=st.lists(st.sampled_from(["p1", "p7", "p60"]), max_size=2).map(tuple),
    k=st.sampled_from([1, 3, 10, 100, 119]),
    exclude=st.lists(st.sampled_from(["p0", "p1", "p2", "p30", "p31"]), max_size=4).map(tuple),
    categories=st.sampled_from([(), ("Category 0",)]),
    departments=st.sampled_from([(), ("Department 0",)]),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=150, deadline=None)
@given(ask=ASKS)
def test_exploring_shows_only_what_may_be_shown_and_nothing_twice(curious: Answerer, ask: Ask) -> None:
    answer = curious.answer(ask)
    shown = ids(answer)
    assert len(shown) == len(set(shown)) <= ask.k
    assert not set(shown) & {*ask.basket, *ask.exclude, "p119"}
    for item in answer.items:
        assert 0 < item.propensity <= 1
        assert not ask.categories or item.category == "Category 0"
        assert not ask.departments or int(item.product_id[1:]) % 2 == 0
    assert [item.position for item in answer.items] == list(range(1, len(shown) + 1))
    assert answer.rung == answer.items[0].rung
    near = curious.answer(Ask(ask.customer_id, (), ask.basket, ask.k + 6, ask.exclude, ask.categories, ask.departments))
    assert set(shown) <= set(ids(near)), "no deeper than it was told to"
    assert len(shown) == min(ask.k, len(near.items))


@settings(max_examples=50, deadline=None)
@given(ask=ASKS)
def test_an_answer_that_does_not_explore_is_the_ranking(answerer: Answerer, curious: Answerer, ask: Ask) -> None:
    plain = Ask(ask.customer_id, (), ask.basket, ask.k, ask.exclude, ask.categories, ask.departments)
    assert answerer.answer(ask) == answerer.answer(plain) == curious.answer(plain)
    assert {item.propensity for item in answerer.answer(ask).items} == {1.0}


def test_the_ranking_below_an_explored_list_is_remembered(bundle: Path) -> None:
    curious = Answerer.load(bundle)
    curious.exploration = Exploration(**POLICY)
    answers = [curious.answer(Ask("c5", recent=("p1",), seed=seed)) for seed in range(40)]
    assert curious._remembered.cache_info().misses == 1
    assert len({tuple(ids(answer)) for answer in answers}) > 30
    assert {item.product_id for answer in answers for item in answer.items} == set(
        ids(curious.answer(Ask("c5", recent=("p1",), k=16)))
    )


def test_an_empty_answer_is_refused_however_it_explores(curious: Answerer) -> None:
    with pytest.raises(DataError, match="loosen"):
        curious.answer(Ask(categories=("Category 1",), departments=("Department 0",), seed=1))


def test_a_release_brings_its_policy_and_the_day_its_histories_end(
    bundle: Path, features: Path, tmp_path: Path
) -> None:
    end, params = "2025-07-15T00:00:00+00:00", {"exploration": POLICY, "features": {"max_history": 7}}
    renewed = Answerer.load(repackaged(bundle, features, tmp_path / "renewed", as_of=end, params=params))
    assert renewed.exploration == Exploration(**POLICY)
    assert renewed.as_of == Answerer.load(bundle).as_of + timedelta(days=14)
    assert renewed.is_prepared(Ask("c5", k=20, seed=1)), "prepared as deep as it may draw"
    assert not renewed.is_prepared(Ask("c5", k=21, seed=1))
    history, _, _ = renewed.history(Ask("c5", since=bought(renewed, 1, "o1", "p3"), at=at(renewed, 2)))
    assert history.offsets.tolist() == [0, 7], "no longer than featurise would make it"
    with pytest.raises(ParamsError, match=r"recommendation\.exploration\.shares"):
        repackaged(bundle, features, tmp_path / "misspelt", params={"exploration": {"shares": 1}})
