"""A replay that was interrupted goes on without knowing more than one that was not."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks.replay.arm import _answers
from benchmarks.replay.history import small
from benchmarks.replay.shop import ReplayShop


class Killed(Exception):
    """The replay ends here."""


class FakeShop:
    """Answers everybody alike, and notes who asked after what was bought had been told."""

    def __init__(self, dies_after: int) -> None:
        self.history, self.left = small(1), dies_after
        self.told: set[str] = set()
        self.late: list[str] = []
        self.asked = 0

    def set_clock(self, at: datetime) -> None:
        self.at = at

    def ask(self, method: str, path: str, body: Any) -> Any:
        if self.left == 0:
            raise Killed
        self.left -= 1
        if path == "/feedback":
            self.told |= {f"{event['customer_id']} {event['at']}" for event in body["events"]}
            return {}
        self.asked += 1
        self.late += [one for one in self.told if one.startswith(f"{body['customer_id']} ") and self._is_later(one)]
        return {"request_id": f"r{self.asked}", "release": "one", "items": [{"product_id": "p000"}]}

    def _is_later(self, told: str) -> bool:
        return datetime.fromisoformat(told.split()[1]) > self.at


@pytest.mark.parametrize("dies_after", [5, 30, 31, 50])
def test_no_basket_asks_again_once_it_is_known_what_was_bought(tmp_path: Path, dies_after: int) -> None:
    fake = FakeShop(dies_after)
    shop, week = cast(ReplayShop, fake), fake.history.trained + 1
    with pytest.raises(Killed):
        _answers(shop, week, tmp_path)
    fake.left = 10_000
    answers = _answers(shop, week, tmp_path)
    baskets = [basket.basket_id for _, each in fake.history.days(week) for basket in each]
    assert answers["basket_id"].to_list() == baskets
    assert fake.late == []
    assert len(fake.told) == len(baskets), "all of it came back"
