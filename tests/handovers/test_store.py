"""Handovers on disk, in both databases: kept once, listed in order, taken by one, delivered by one at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.core.errors import FeedbackError
from components.handovers import store as store_module
from components.handovers.record import Handover
from components.handovers.store import HandoverStore, open_handovers

Make = Callable[..., Handover]


def test_what_was_kept_is_found_again_by_another_process(store: HandoverStore, handover: Make) -> None:
    kept = store.add(handover(), is_to_be_told=False)
    assert (kept.number, kept.state, kept.delivery) == (1, "open", None)
    again = open_handovers()
    assert again.find("h1") == kept
    assert (kept.at, kept.summary, kept.conversation_id) == (handover().at, handover().summary, "c1")
    assert again.find("h2") is None
    again.close()


def test_the_same_id_is_one_handover_and_one_delivery(store: HandoverStore, handover: Make) -> None:
    first = store.add(handover(), is_to_be_told=True)
    store.claim_due()
    store.delivered("h1")
    second = store.add(handover(summary={"intent": "other"}), is_to_be_told=True)
    assert second.number == first.number and second.summary == first.summary, "the first one stands"
    assert [each.handover_id for each in store.listed()] == ["h1"]
    assert store.claim_due() is None and store.undelivered() == 0


def test_a_list_goes_on_after_a_number_and_by_state(store: HandoverStore, handover: Make) -> None:
    for name in "abcd":
        store.add(handover(name), is_to_be_told=False)
    assert store.take("b", "anna") is not None
    assert [each.handover_id for each in store.listed(most=2)] == ["a", "b"]
    assert [each.handover_id for each in store.listed("open")] == ["a", "c", "d"]
    assert [each.handover_id for each in store.listed("open", after=store.listed()[2].number)] == ["d"]
    assert [each.handover_id for each in store.listed("taken")] == ["b"]


def test_who_takes_first_has_it(store: HandoverStore, handover: Make) -> None:
    store.add(handover(), is_to_be_told=False)
    assert store.take("unknown", "anna") is None
    with ThreadPoolExecutor(8) as threads:
        takers = list(threads.map(lambda number: store.take("h1", f"agent {number}"), range(8)))
    found = store.find("h1")
    assert found is not None and found.state == "taken" and found.taken_at is not None
    assert {taken.taken_by for taken in takers if taken} == {found.taken_by}


def test_only_what_the_webhook_is_to_hear_is_due(store: HandoverStore, handover: Make) -> None:
    store.add(handover("quiet"), is_to_be_told=False)
    assert not store.has_due()
    store.add(handover("told"), is_to_be_told=True)
    assert store.has_due() and store.undelivered() == 1
    due = store.claim_due()
    assert due is not None and (due.handover.handover_id, due.attempt) == ("told", 1)
    assert store.claim_due() is None and not store.has_due(), "it is one worker's for a while"


def test_many_workers_are_never_given_the_same(store: HandoverStore, handover: Make) -> None:
    for number in range(20):
        store.add(handover(f"h{number}"), is_to_be_told=True)
    with ThreadPoolExecutor(5) as threads:
        claimed = [due.handover.handover_id for due in threads.map(lambda _: store.claim_due(), range(25)) if due]
    assert sorted(claimed) == sorted(f"h{number}" for number in range(20))


def test_a_lease_ends_and_the_next_attempt_counts(
    store: HandoverStore, handover: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(handover(), is_to_be_told=True)
    monkeypatch.setattr(store_module, "LEASE_SECONDS", -1.0)  # as if its worker had died long ago
    attempts = [due.attempt for due in (store.claim_due(), store.claim_due()) if due]
    assert attempts == [1, 2]


def test_what_was_refused_comes_later_and_after_what_is_due_longer(store: HandoverStore, handover: Make) -> None:
    store.add(handover("a"), is_to_be_told=True)
    store.add(handover("b"), is_to_be_told=True)
    store.claim_due()
    store.postpone("a", -0.001, "x" * 1000)
    due = store.claim_due()
    assert due is not None and due.handover.handover_id == "b", "one that is refused holds up no other"
    again = store.claim_due()
    assert again is not None and (again.handover.handover_id, again.attempt) == ("a", 2)
    assert again.handover.delivery is not None and len(again.handover.delivery.trouble or "") == 300
    store.postpone("a", 3600, "later")
    assert store.claim_due() is None and store.undelivered() == 2


def test_a_late_refusal_does_not_undo_a_delivery(store: HandoverStore, handover: Make) -> None:
    store.add(handover(), is_to_be_told=True)
    store.claim_due()
    store.delivered("h1")
    store.postpone("h1", 0, "of a worker that was slower")
    found = store.find("h1")
    assert found is not None and found.delivery is not None
    assert found.delivery.delivered_at is not None and found.delivery.trouble is None
    assert store.claim_due() is None


@pytest.mark.parametrize("text", ["a\0b", "😀 表情", "\ud800 half a pair", "'; DROP TABLE handovers; --", ""])
def test_any_text_is_kept_as_it_is(store: HandoverStore, handover: Make, text: str) -> None:
    store.add(handover(summary={"turns": [text]}), is_to_be_told=True)
    due = store.claim_due()
    assert due is not None and due.handover.summary == {"turns": [text]}


def test_a_broken_file_is_told_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path))
    monkeypatch.delenv("SHOP_FEEDBACK_URL", raising=False)
    (tmp_path / "handovers").mkdir()
    (tmp_path / "handovers" / "handovers.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(FeedbackError, match=r"read and write handovers, got: .*not a database; move the file away"):
        open_handovers()


def test_a_commit_is_synced_to_the_disk(embedded: HandoverStore, tmp_path: Path) -> None:
    with embedded.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert sqlite3.connect(tmp_path / "shop/handovers/handovers.sqlite").execute("PRAGMA integrity_check").fetchone()
