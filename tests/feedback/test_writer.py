"""Acknowledged means committed; deferred events are never in the way and never lost without being counted."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path

import pytest

from components.core.errors import DataError, FeedbackError
from components.feedback import writer as writer_module
from components.feedback.counter import adopt
from components.feedback.events import Event
from components.feedback.rows import Row
from components.feedback.store import Store, open_store
from components.feedback.writer import Writer

Click = Callable[..., Event]
PATIENCE = 30  # seconds until a test that waits gives up; nothing is expected to be that slow


class Gated(Store):
    """An SQLite store whose transactions wait for `gate`, and fail while `trouble` is set."""

    def __init__(self, engine: object) -> None:
        super().__init__(engine)  # type: ignore[arg-type]
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        self.trouble: Exception | None = None
        self.transactions: list[list[int]] = []  # sizes of the groups

    def append_rows(self, groups: Sequence[Sequence[Row]]) -> list[int]:
        self.begun.set()
        assert self.gate.wait(PATIENCE)
        if self.trouble is not None:
            raise self.trouble
        self.transactions.append([len(group) for group in groups])
        return super().append_rows(groups)

    def shut(self) -> None:
        """From now on transactions begin and wait."""
        self.begun.clear()
        self.gate.clear()

    def await_begun(self) -> None:
        assert self.begun.wait(PATIENCE)


@pytest.fixture
def gated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.delenv("SHOP_FEEDBACK_URL", raising=False)
    plain = open_store()
    yield Gated(plain.engine)
    plain.close()


@pytest.fixture
def writer(gated: Gated) -> Iterator[Writer]:
    found = Writer(gated)
    yield found
    gated.gate.set()
    found.close()


def ids(store: Store) -> list[str]:
    return [name for piece in store.rows() for name in piece["event_id"].to_list()]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_each_request_is_told_how_many_of_its_own_were_new(store: Store, click: Click) -> None:
    """On both databases."""
    writer = Writer(store)
    assert writer.submit([click("a"), click("b"), click("a")]).result(PATIENCE) == 2
    assert writer.submit([click("b"), click("c")]).result(PATIENCE) == 1
    assert writer.submit([]).result(PATIENCE) == 0
    writer.log(click("d"))
    writer.close()
    assert ids(store) == ["a", "b", "c", "d"]
    assert (writer.pending, writer.written, writer.dropped) == (0, 1, 0)


def test_nobody_is_told_before_the_commit(gated: Gated, writer: Writer, click: Click) -> None:
    gated.shut()
    answer = writer.submit([click("a")])
    gated.await_begun()
    assert not answer.done() and ids(gated) == []
    gated.gate.set()
    assert answer.result(PATIENCE) == 1 and ids(gated) == ["a"]


def test_what_queues_up_during_a_commit_shares_the_next_one(gated: Gated, writer: Writer, click: Click) -> None:
    gated.shut()
    first = writer.submit([click("first")])
    gated.await_begun()
    rest = [writer.submit([click(f"{number}"), click(f"{number}'")]) for number in range(50)]
    writer.log(click("deferred"))
    gated.gate.set()
    assert first.result(PATIENCE) == 1 and [answer.result(PATIENCE) for answer in rest] == [2] * 50
    assert gated.transactions == [[1, 0], [2] * 50 + [1]]


def test_one_transaction_is_bounded(
    gated: Gated, writer: Writer, click: Click, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "GROUP", 10)
    monkeypatch.setattr(writer_module, "SHOWN_GROUP", 6)
    gated.shut()
    writer.submit([click("first")])
    gated.await_begun()
    answers = [writer.submit([click(f"{number}-{k}") for k in range(4)]) for number in range(5)]
    for number in range(4):
        writer.log(click(f"deferred {number}", payload={"shown": [{}] * 3}))
    gated.gate.set()
    assert [answer.result(PATIENCE) for answer in answers] == [4] * 5
    until(lambda: writer.pending == 0)
    assert gated.transactions[1:] == [[4, 4, 4, 2], [4, 4, 2]]


def test_many_threads_get_each_event_in_once(store: Store, click: Click) -> None:
    writer, answers = Writer(store), []

    def send(thread: int) -> None:
        for batch in range(20):
            # every event is sent by two threads, so that they race for it
            answers.append(writer.submit([click(f"{thread // 2}-{batch}-{number}") for number in range(5)]))

    threads = [threading.Thread(target=send, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer.result(PATIENCE) for answer in answers) == 3 * 20 * 5
    assert len(ids(store)) == len(set(ids(store))) == 3 * 20 * 5
    writer.close()


def test_a_failed_commit_fails_its_requests_and_the_writer_goes_on(
    gated: Gated, writer: Writer, click: Click, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "AGAIN_SECONDS", 0.01)
    gated.trouble = FeedbackError("disk full; free space")
    writer.log(click("deferred"))
    for trouble in (gated.trouble, RuntimeError("a defect")):
        gated.trouble = trouble
        with pytest.raises(type(trouble), match=str(trouble)):
            writer.submit([click("a")]).result(PATIENCE)
    assert ids(gated) == [] and writer.pending == 1
    gated.trouble = None
    assert writer.submit([click("a")]).result(PATIENCE) == 1
    until(lambda: writer.pending == 0)
    assert sorted(ids(gated)) == ["a", "deferred"] and writer.written == 1
    said = [record.message for record in caplog.records if "disk full" in record.message]
    assert len(said) == 1  # a minute has not passed


def test_deferred_events_are_tried_again_by_themselves_in_their_order(
    gated: Gated, writer: Writer, click: Click, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "AGAIN_SECONDS", 0.01)
    gated.trouble = FeedbackError("away")
    gated.begun.clear()
    writer.log(click("a"))
    writer.log(click("b"))
    gated.await_begun()
    writer.log(click("c"))
    gated.trouble = None
    until(lambda: writer.pending == 0)
    assert ids(gated) == ["a", "b", "c"]


def test_a_full_queue_drops_counts_and_says_so_once(
    gated: Gated, writer: Writer, click: Click, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "MOST_DEFERRED", 3)
    gated.shut()
    writer.submit([click("first")])
    gated.await_begun()  # the thread is busy, so the queue only fills
    for number in range(5):
        writer.log(click(f"{number}"))
    assert (writer.pending, writer.written, writer.dropped) == (3, 0, 2)
    assert len([record for record in caplog.records if "dropped" in record.message]) == 1
    gated.gate.set()
    until(lambda: writer.pending == 0)
    assert ids(gated) == ["first", "0", "1", "2"] and writer.written == 3


def test_long_answers_fill_the_queue_sooner(
    gated: Gated, writer: Writer, click: Click, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MOST_SHOWN", 10)
    gated.shut()
    writer.submit([click("first")])
    gated.await_begun()
    for number in range(4):
        writer.log(click(f"{number}", payload={"shown": [{}] * 5}))
    assert (writer.pending, writer.dropped) == (2, 2)
    gated.gate.set()
    until(lambda: writer.pending == 0)
    writer.log(click("again", payload={"shown": [{}] * 5}))
    until(lambda: writer.written == 3)


def test_too_many_waiting_are_refused(
    gated: Gated, writer: Writer, click: Click, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MOST_WAITING", 3)
    gated.shut()
    writer.submit([click("first")])
    gated.await_begun()
    answer = writer.submit([click("a"), click("b")])
    with pytest.raises(FeedbackError, match="slower"):
        writer.submit([click("c"), click("d")])
    gated.gate.set()
    assert answer.result(PATIENCE) == 2
    assert writer.submit([click(f"more {number}") for number in range(5)]).result(PATIENCE) == 5  # a lone one may


def test_what_no_store_can_keep_is_refused_or_dropped_alone(gated: Gated, writer: Writer, click: Click) -> None:
    with pytest.raises(DataError, match="NUL"):
        writer.submit([click("bad\0")])
    writer.log(click("good"))
    writer.log(click("bad\0"))
    writer.log(click(None))  # type: ignore[arg-type]
    until(lambda: writer.pending == 0)
    assert ids(gated) == ["good"] and (writer.written, writer.dropped) == (1, 2)
    assert writer.submit([click("next")]).result(PATIENCE) == 1


def test_a_sender_that_gave_up_keeps_nobody_else_waiting(gated: Gated, writer: Writer, click: Click) -> None:
    gated.shut()
    first = writer.submit([click("first")])
    gated.await_begun()
    gone, stays = writer.submit([click("gone")]), writer.submit([click("stays")])
    assert gone.cancel()
    gated.gate.set()
    assert not wait([first, stays], PATIENCE).not_done
    assert ids(gated) == ["first", "stays"]


def test_close_writes_what_is_queued_and_then_refuses(gated: Gated, click: Click) -> None:
    writer = Writer(gated)
    gated.shut()
    answers: list[Future[int]] = [writer.submit([click(f"{number}")]) for number in range(3)]
    writer.log(click("deferred"))
    threading.Timer(0.05, gated.gate.set).start()
    writer.close()
    assert [answer.result(0) for answer in answers] == [1, 1, 1] and "deferred" in ids(gated)
    with pytest.raises(FeedbackError, match="closed"):
        writer.submit([click("late")])
    writer.log(click("late"))
    assert writer.dropped == 1 and "late" not in ids(gated)


def test_what_could_not_be_written_before_the_end_is_counted_at_the_next_start(
    gated: Gated, click: Click, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(gated)
    assert writer.lost_before == 0
    gated.trouble = FeedbackError("away")
    writer.log(click("a"))
    writer.log(click("b"))
    writer.close()
    gated.trouble = None
    assert "2 deferred events could not be written" in caplog.text
    again = Writer(gated)
    assert again.lost_before == 2 and gated.lost_total() == 2
    assert "before 2 deferred events were on disk" in caplog.text
    again.close()
    third = Writer(gated)
    assert third.lost_before == 0 and gated.lost_total() == 2
    third.close()


def test_workers_at_once_keep_counters_apart_and_a_new_one_accounts_for_all_that_ended(tmp_path: Path) -> None:
    told: list[int] = []
    workers = [adopt(tmp_path, told.append)[0] for _ in range(3)]
    for number, worker in enumerate(workers):
        worker.taken, worker.settled = 10 * (number + 1), number
    workers[0].close()  # what the end of its process does: the lock goes, the numbers stay
    workers[2].close()
    late, lost = adopt(tmp_path, told.append)
    assert lost == 10 + 28 and told == [38]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"worker-{number}.count" for number in (1, 2, 3)]
    workers[1].close()
    assert adopt(tmp_path, told.append)[1] == 19 and late.taken == 0


def test_losses_that_could_not_be_accounted_for_stay_in_the_file(tmp_path: Path) -> None:
    counter, _ = adopt(tmp_path, print)
    counter.taken = 5
    counter.close()

    def unavailable(_: int) -> None:
        raise FeedbackError("away")

    with pytest.raises(FeedbackError, match="away"):
        adopt(tmp_path, unavailable)
    told: list[int] = []
    assert adopt(tmp_path, told.append)[1] == 5 and told == [5]


def test_a_file_that_is_no_counter_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "worker-1.count").write_bytes(struct.pack("<8sQQ", b"garbage!", 9, 1))
    (tmp_path / "worker-2.count").write_bytes(b"short")
    assert adopt(tmp_path, print)[1] == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(FeedbackError, match="make the folder writable"):
        adopt(tmp_path / "file", print)


def test_log_lines_about_the_same_trouble_are_few(
    monkeypatch: pytest.MonkeyPatch, gated: Gated, writer: Writer
) -> None:
    """At most one line a minute about the same trouble, and again after a minute."""
    monkeypatch.setattr(writer_module.time, "monotonic", lambda: 1000.0)
    assert writer._may_say("x") and not writer._may_say("x") and writer._may_say("y")
    monkeypatch.setattr(writer_module.time, "monotonic", lambda: 1061.0)
    assert writer._may_say("x")
