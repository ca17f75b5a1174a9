"""Every alarm for its cause and only for it, whether one looks once or all the time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from components.feedback.store import Store

NAME = "recommendation"


def triggers(decision: dict[str, Any]) -> list[str]:
    return [alarm["trigger"] for alarm in decision["alarms"]]


def test_without_a_release_there_is_nothing_to_watch(shop: Any) -> None:
    decision = shop.look(0)
    assert (decision["decision"], decision["release"]) == ("nothing", None)
    assert "no release is live" in decision["words"]


def test_an_idle_shop_is_left_alone(shop: Any) -> None:
    shop.live()
    shop.set(max_age_days=7, refresh_days=7)
    shop.look(0)
    frames = sorted((shop.home / "watch" / NAME).glob("*.parquet"))
    decision = shop.look(9)
    assert decision["decision"] == "nothing" and decision["asked"] is None
    assert sorted((shop.home / "watch" / NAME).glob("*.parquet")) == frames, "nothing new, so nothing is written anew"


def test_only_what_is_new_is_read(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version, read = shop.live(), list[int]()
    rows = Store.rows

    def counted(store: Store, after: int = 0, through: int | None = None) -> Iterator[pl.DataFrame]:
        for frame in rows(store, after, through):
            read.append(frame.height)
            yield frame

    monkeypatch.setattr(Store, "rows", counted)
    for week in range(3):
        shop.weeks(week, week + 1, version)
        shop.look(week + 1)
        shop.look(week + 1.1)
    assert read == [7 * 2 * 60] * 3


def test_weeks_that_are_alike_alarm_nobody(shop: Any) -> None:
    version = shop.live()
    shop.weeks(0, 5, version)
    for week in range(1, 6):
        decision = shop.look(week)
        assert decision["decision"] == "nothing", decision["words"]
    figures = decision["figures"]
    (hit,) = figures["quality"]["measures"]
    assert hit["measure"] == "hit" and hit["baseline_of"] == "its own first answers"
    assert hit["low"] < 0.4 < hit["high"] and hit["n"] > 1000
    compared = {row["feature"] for row in figures["orders"]["features"] if row["psi"] is not None}
    assert {"amount", "category", "hour", "weekday"} <= compared
    assert {row["feature"] for row in figures["answers"]["features"]} == {"rung", "shown"}
    assert figures["amount"]["new_events"] == 5 * 7 * 60


def test_much_that_is_new_asks_for_a_retrain(shop: Any) -> None:
    version = shop.live()
    shop.set(min_new_events=800)
    shop.weeks(0, 2, version)
    decision = shop.look(2)
    assert (decision["decision"], triggers(decision)) == ("retrain", ["amount"])
    assert decision["figures"]["amount"]["new_events"] == 840  # impressions are no news


def test_old_weights_ask_for_a_retrain_and_a_refresh_does_not_make_them_younger(shop: Any) -> None:
    version = shop.live(as_of=shop.monday + timedelta(days=6), fitted=shop.monday)
    shop.set(max_age_days=10)
    shop.weeks(0, 2, version)
    decision = shop.look(2)
    assert (decision["decision"], triggers(decision)) == ("retrain", ["age"])
    assert decision["figures"]["amount"]["histories_days"] == 8


def test_old_histories_ask_for_a_refresh_only(shop: Any) -> None:
    version = shop.live()
    shop.set(refresh_days=7)
    shop.weeks(0, 1, version)
    decision = shop.look(1)
    assert (decision["decision"], triggers(decision)) == ("refresh", ["refresh"])


def test_orders_that_move_are_drift(shop: Any) -> None:
    version = shop.live()
    shop.weeks(0, 2, version)
    assert not triggers(shop.look(2))
    shop.weeks(2, 3, version, spent=40.0)
    decision = shop.look(3)
    assert (decision["decision"], triggers(decision)) == ("retrain", ["drift"])
    assert [row["feature"] for row in decision["figures"]["orders"]["features"] if row["alarm"]] == ["amount"]


def test_the_reference_is_the_end_of_the_release_s_own_data_where_feedback_goes_back(shop: Any) -> None:
    """The shift lies before the second release's data end, so that release knows it."""
    first = shop.live()
    shop.weeks(0, 2, first)
    shop.weeks(2, 4, first, spent=40.0)
    second = shop.live(as_of=shop.monday + timedelta(weeks=4), weights="two")
    shop.weeks(4, 5, second, spent=40.0)
    decision = shop.look(5)
    assert not triggers(decision)
    spans = decision["figures"]["orders"]["reference"]
    assert spans == [(shop.monday + timedelta(weeks=week)).isoformat() for week in (2, 4)]


def test_answers_that_move_are_prediction_drift(shop: Any) -> None:
    version = shop.live()
    shop.weeks(0, 2, version)
    shop.weeks(2, 3, version, rung="popular")
    decision = shop.look(3)
    assert (decision["decision"], triggers(decision)) == ("retrain", ["predictions"])
    assert [row["feature"] for row in decision["figures"]["answers"]["features"] if row["alarm"]] == ["rung"]


def test_customers_who_no_longer_take_what_is_shown_are_a_matter_of_quality(shop: Any) -> None:
    version = shop.live()
    shop.weeks(0, 2, version)
    assert not triggers(shop.look(2))
    shop.weeks(2, 5, version, hit=0.2)
    decision = shop.look(5)
    assert (decision["decision"], triggers(decision)) == ("retrain", ["quality"])
    (hit,) = decision["figures"]["quality"]["measures"]
    assert hit["high"] < hit["baseline"] - 0.02


def test_a_long_good_past_does_not_hide_what_goes_wrong_now(shop: Any) -> None:
    version = shop.live()
    shop.weeks(0, 10, version, a_day=120)
    shop.weeks(10, 11, version, a_day=120, hit=0.2)
    for week in range(1, 11):
        assert not triggers(shop.look(week))
    decision = shop.look(11)
    (hit,) = decision["figures"]["quality"]["measures"]
    assert triggers(decision) == ["quality"]
    assert hit["high"] > hit["baseline"] - 0.02 > hit["fresh"]["high"], "all its answers together look well"


def test_what_the_weights_before_reached_is_the_baseline(shop: Any) -> None:
    first = shop.live()
    shop.weeks(0, 2, first)
    shop.look(2.1)
    second = shop.live(as_of=shop.monday + timedelta(weeks=2), weights="two")
    shop.weeks(2, 4, second, hit=0.15)
    decision = shop.look(4.1)
    (hit,) = decision["figures"]["quality"]["measures"]
    assert hit["baseline_of"] == "the releases before" and hit["baseline"] == pytest.approx(0.4, abs=0.05)
    assert triggers(decision) == ["quality"]


def test_a_refresh_goes_on_with_the_figures_of_its_weights(shop: Any) -> None:
    first = shop.live()
    shop.weeks(0, 2, first)
    shop.look(1)
    before = shop.look(2.5)
    second = shop.live(as_of=shop.monday + timedelta(weeks=2), fitted=shop.monday)
    shop.weeks(2, 3, second)
    after = shop.look(3.5)
    assert before["release"] != after["release"] and before["weights"] == after["weights"]
    (old,), (new,) = (decision["figures"]["quality"]["measures"] for decision in (before, after))
    assert new["n"] > old["n"] and new["baseline"] == old["baseline"]


def test_corrections_alarm_by_themselves(shop: Any) -> None:
    version = shop.live()
    shop.weeks(0, 2, version, corrected=0.05)
    assert not triggers(shop.look(2))
    shop.weeks(2, 5, version, corrected=0.3)
    decision = shop.look(5)
    assert (decision["decision"], triggers(decision)) == ("retrain", ["corrections"])
    corrected = decision["figures"]["quality"]["measures"][-1]
    assert corrected["low"] > corrected["baseline"] + 0.02 and corrected["mean"] == pytest.approx(0.3, abs=0.05)


def test_looking_often_comes_to_the_same_as_looking_once(shop: Any) -> None:
    version = shop.live()
    shop.weeks(0, 3, version)
    once = shop.look(3, act=False)
    for day in range(1, 22):
        often = shop.look(day / 7)
    for part in ("amount", "orders", "answers"):
        assert often["figures"][part] == once["figures"][part]
    (mine,), (theirs,) = (one["figures"]["quality"]["measures"] for one in (often, once))
    assert mine["n"] < theirs["n"] + 1  # looking once, all that came in makes the baseline
    assert mine["mean"] == pytest.approx(theirs["mean"], abs=0.05)


def test_catching_up_in_pieces_comes_to_the_same(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = shop.live()
    shop.weeks(0, 3, version)
    whole = shop.look(3, act=False)
    rows = Store.rows

    def small(store: Store, after: int = 0, through: int | None = None) -> Iterator[pl.DataFrame]:
        for frame in rows(store, after, through):
            yield from frame.iter_slices(100)

    monkeypatch.setattr(Store, "rows", small)
    monkeypatch.setattr("flows.watch_notes.PIECES", 3)
    assert shop.look(3, act=False)["figures"]["orders"] == whole["figures"]["orders"]
    assert shop.look(3, act=False)["figures"]["answers"] == whole["figures"]["answers"]


def test_forecasts_are_judged_when_sales_come_in_each_once(shop: Any) -> None:
    version = shop.live()
    for week in range(4):
        at, events = shop.monday + timedelta(weeks=week, hours=1), []
        for hour in range(3):  # the same question again is nothing new
            for series in range(150):
                payload = {"release": version, "role": "champion", "unit": f"s{series}", "facets": {}, "ms": 1.0}
                keys = [f"s{series}|{(shop.monday + timedelta(weeks=week + ahead)).date()}" for ahead in range(2)]
                shown = [{"key": key, "position": n, "propensity": 1.0, "value": 10.0} for n, key in enumerate(keys, 1)]
                events.append(shop.event("impression", at + timedelta(hours=hour), payload | {"shown": shown}))
        for series in range(150):
            units = 30.0 if week == 3 else 12.0
            sold = {
                "series_id": f"s{series}",
                "period": f"{(shop.monday + timedelta(weeks=week)).date()}",
                "units": units,
            }
            events.append(shop.event("sales", at + timedelta(days=7), sold))
        shop.send(events)
    shop.set(min_answers=300)
    (first,) = shop.look(2.5)["figures"]["quality"]["measures"]
    assert (first["measure"], first["n"]) == ("error", 300)
    assert first["mean"] == pytest.approx(2 / 22)
    decision = shop.look(4.5)
    (error,) = decision["figures"]["quality"]["measures"]
    assert error["n"] == 300  # two more weeks: the first two are the baseline
    assert error["mean"] == pytest.approx((2 / 22 + 20 / 40) / 2)
    assert triggers(decision) == ["quality"] and error["low"] > error["baseline"] + 0.02
