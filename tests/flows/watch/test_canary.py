"""Canaries settled by figures that are on record; what is held, a shadow or a rehearsal stays as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from components import releases

NAME = "recommendation"


def triggers(decision: dict[str, Any]) -> list[str]:
    return [alarm["trigger"] for alarm in decision["alarms"]]


def test_a_better_challenger_is_promoted_with_its_figures_on_record(shop: Any) -> None:
    champion, challenger = shop.begin_canary()
    shop.weeks(0, 2, champion, hit=0.3, other=(challenger, 0.6), a_day=120)
    decision = shop.look(1.9)
    assert decision["canary"]["outcome"] == "promote" and decision["canary"]["moved"]
    assert releases.live(NAME) == challenger
    (line,) = shop.audit()
    assert (line["what"], line["by"], line["from"], line["to"]) == ("promoted", "watch", champion, challenger)
    assert line["figures"]["comparisons"][0]["low"] > 0


def test_a_worse_challenger_is_rolled_back_by_itself_and_stays_withdrawn(shop: Any) -> None:
    champion, challenger = shop.begin_canary()
    shop.weeks(0, 2, champion, hit=0.6, other=(challenger, 0.3), a_day=120)
    decision = shop.look(1.9)
    assert decision["canary"]["outcome"] == "dismiss" and decision["canary"]["moved"]
    pointer = shop.pointer()
    assert (pointer.version, pointer.challenger) == (champion, None)
    assert challenger in pointer.withdrawn
    assert shop.audit()[-1]["what"] == "dismissed"
    assert shop.look(2)["canary"] is None


def test_a_challenger_that_nobody_can_tell_apart_waits_and_is_then_dismissed(shop: Any) -> None:
    champion, challenger = shop.begin_canary()
    shop.weeks(0, 3, champion, other=(challenger, 0.4))
    assert shop.look(1)["canary"]["outcome"] == "wait"
    pointer = shop.pointer()
    assert pointer.challenger is not None
    decision = shop.look(2.1)
    assert decision["canary"]["outcome"] == "undecided" and "undecided after" in decision["canary"]["words"]
    pointer = shop.pointer()
    assert (pointer.version, pointer.challenger) == (champion, None)


def test_a_challenger_that_is_as_good_may_go_live_within_the_margin(shop: Any) -> None:
    champion, challenger = shop.begin_canary()
    shop.set(margin=0.2)
    shop.weeks(0, 2, champion, other=(challenger, 0.42), a_day=120)
    assert shop.look(1.9)["canary"]["why"].startswith("not worse by 0.2 in hit")
    assert releases.live(NAME) == challenger


def test_answers_to_nobody_and_answers_before_the_challenge_do_not_count(shop: Any) -> None:
    """Neither was dealt out by chance, so they would not be comparable."""
    champion = shop.live()
    shop.weeks(0, 1, champion, hit=0.9)
    challenger = shop.place(weights="two")
    shop.turn(shop.monday + timedelta(weeks=1))
    releases.challenge(NAME, challenger, 0.5, "canary", "a test")
    shop.weeks(1, 2, champion, other=(challenger, 0.4), a_day=60)
    at = shop.monday + timedelta(weeks=1, hours=12)
    shop.send(
        [shop.impression(champion, at, shop.products[:3], f"n{n}", None, "champion", "known") for n in range(500)]
    )
    (hit,) = shop.look(2.5)["canary"]["comparisons"]
    assert hit["n_champion"] + hit["n_challenger"] == 7 * 60
    assert hit["champion"] == pytest.approx(0.4, abs=0.1)


def test_a_challenger_that_fails_on_every_request_is_dismissed_as_soon_as_that_is_clear(shop: Any) -> None:
    """The champion steps in each time, and nothing of the challenger is logged."""
    champion, challenger = shop.begin_canary()
    shop.weeks(0, 1, champion, a_day=15)
    assert shop.look(3 / 7)["canary"]["outcome"] == "wait"
    decision = shop.look(1.1)
    assert decision["canary"]["outcome"] == "dismiss" and "answered nobody" in decision["canary"]["words"]
    assert shop.pointer().challenger is None and challenger in shop.pointer().withdrawn
    assert shop.audit()[-1]["what"] == "dismissed" and releases.live(NAME) == champion


def test_a_shadow_is_only_reported(shop: Any) -> None:
    champion, challenger = shop.begin_canary("shadow")
    shop.weeks(0, 2, champion, hit=0.3)
    decision = shop.look(3)
    assert decision["canary"]["mode"] == "shadow" and not decision["canary"]["moved"]
    assert releases.live(NAME) == champion
    pointer = shop.pointer()
    assert pointer.challenger is not None and pointer.challenger.version == challenger


def test_a_held_pointer_is_watched_but_nothing_is_done(shop: Any) -> None:
    champion, challenger = shop.begin_canary()
    releases.hold(NAME, "stocktaking")
    shop.set(min_new_events=100)
    shop.weeks(0, 2, champion, hit=0.6, other=(challenger, 0.3), a_day=120)
    decision = shop.look(1.9)
    assert (decision["decision"], decision["asked"]) == ("nothing", None)
    assert triggers(decision) == ["amount"] and "stocktaking" in decision["words"]
    assert decision["canary"]["outcome"] == "dismiss" and not decision["canary"]["moved"]
    pointer = shop.pointer()
    assert pointer.challenger is not None


def test_a_dry_run_moves_and_writes_nothing(shop: Any, events: Any) -> None:
    champion, challenger = shop.begin_canary()
    shop.set(min_new_events=100)
    shop.weeks(0, 2, champion, hit=0.6, other=(challenger, 0.3), a_day=120)

    def files() -> dict[str, bytes]:
        kept = (path for path in shop.home.rglob("*") if path.is_file() and "events.sqlite" not in path.name)
        return {str(path): path.read_bytes() for path in kept if path.name != ".lock"}

    before = files()
    decision = shop.look(1.9, act=False)
    assert (decision["decision"], decision["canary"]["outcome"]) == ("retrain", "dismiss")
    assert not decision["canary"]["moved"] and not events
    assert files() == before
