"""On both databases: each event once, in the order of commit, on disk before anybody is told; else a clear refusal."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.core.errors import DataError, FeedbackError, ParamsError
from components.feedback import store as store_module
from components.feedback.events import Event
from components.feedback.rows import table_schema
from components.feedback.store import Store, open_store

Click = Callable[..., Event]


def all_of(store: Store, after: int = 0) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=table_schema()), *store.rows(after)])


def ids(store: Store, after: int = 0) -> list[str]:
    return all_of(store, after)["event_id"].to_list()


def test_an_event_comes_back_as_it_was_sent(store: Store, click: Click) -> None:
    at = datetime(2025, 7, 1, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    shown = {"shown": [{"key": "p1", "position": 1, "propensity": 0.1, "value": None}], "facets": {"für": "Äpfel \0"}}
    full = click("e1", kind="impression", at=at, payload=shown, request_id="r", order_id="o", customer_id="c")
    assert store.append([full, click("e2")]) == 2
    found = all_of(store)
    assert dict(found.schema) == table_schema()
    first, second = found.to_dicts()
    assert first["at"] == datetime(2025, 7, 1, 12, 30, 0, 123456, tzinfo=UTC)
    assert [first[name] for name in ("seq", "request_id", "order_id", "customer_id")] == [1, "r", "o", "c"]
    assert pl.Series([first["payload"]]).str.json_decode(pl.Struct({"facets": pl.Struct({"für": pl.String})}))[0] == {
        "facets": {"für": "Äpfel \0"}
    }
    assert second["request_id"] is None and second["seq"] > first["seq"]


def test_receipt_is_the_shops_clock(
    store: Store, click: Click, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "now").write_text("2017-07-30T08:00:00+00:00")
    monkeypatch.setenv("SHOP_CLOCK", str(tmp_path / "now"))
    store.append([click("e1")])
    assert all_of(store)["received_at"][0] == datetime(2017, 7, 30, 8, tzinfo=UTC)
    (tmp_path / "now").write_text("no instant")
    with pytest.raises(ParamsError):
        store.append([click("e2")])
    assert ids(store) == ["e1"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.lists(st.lists(st.integers(0, 12), max_size=6), max_size=4), max_size=5))
def test_any_sequence_of_appends_keeps_first_occurrences_in_order(
    store: Store, click: Click, transactions: list[list[list[int]]]
) -> None:
    """Whatever is repeated: within a batch, among batches of one transaction, or in a later transaction."""
    before, run = store.through(), uuid.uuid4().hex  # one store for all examples, each with ids of its own
    expected: list[str] = []
    for groups in transactions:
        named = [[f"{run}-{number}" for number in group] for group in groups]
        new = store.append_rows([[store_module.row(click(name)) for name in group] for group in named])
        for group, n in zip(named, new, strict=True):
            fresh = [name for name in dict.fromkeys(group) if name not in expected]
            assert n == len(fresh)
            expected += fresh
    assert ids(store, before) == expected
    assert store.through() >= before + len(expected)


def test_the_first_of_two_events_of_one_id_stays(store: Store, click: Click) -> None:
    assert store.append([click("e1", customer_id="first")]) == 1
    assert store.append([click("e1", customer_id="second")]) == 0
    assert all_of(store)["customer_id"].to_list() == ["first"]


def test_rows_come_in_bounded_pieces_by_range_and_kind(
    store: Store, click: Click, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PIECE", 4)
    assert list(store.rows()) == [] and store.through() == 0
    store.append([click(f"e{number}", kind="cart" if number % 3 else "click") for number in range(10)])
    seqs = all_of(store)["seq"].to_list()
    assert [piece.height for piece in store.rows()] == [4, 4, 2]
    assert seqs == sorted(seqs) and store.through() == seqs[-1]
    between = pl.concat(store.rows(after=seqs[2], through=seqs[7]))
    assert between["event_id"].to_list() == ["e3", "e4", "e5", "e6", "e7"]
    assert pl.concat(store.rows(kinds=["click"]))["event_id"].to_list() == ["e0", "e3", "e6", "e9"]
    assert list(store.rows(after=seqs[-1])) == [] and list(store.rows(kinds=["sales"])) == []
    assert store.counts() == {("recommendation", "click"): 4, ("recommendation", "cart"): 6}
    assert store.counts(after=seqs[7]) == {("recommendation", "click"): 1, ("recommendation", "cart"): 1}


def test_what_arrives_while_reading_is_left_for_next_time(
    store: Store, click: Click, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PIECE", 1)
    store.append([click("e1"), click("e2")])
    reading = store.rows()
    first = next(reading)
    store.append([click("e3")])
    assert pl.concat([first, *reading])["event_id"].to_list() == ["e1", "e2"]


def test_a_reader_that_goes_on_from_the_highest_number_misses_nothing(engine_name: str, click: Click) -> None:
    """Several writers, each with a connection of its own, while one reader follows: seq order is commit order."""
    done, seen, after = threading.Event(), [], 0
    reader = open_store()

    def write(worker: int) -> None:
        own = open_store()
        for batch in range(15):
            own.append([click(f"{worker}-{batch}-{number}") for number in range(20)])
        own.close()

    writers = [threading.Thread(target=write, args=[worker]) for worker in range(4)]
    for thread in writers:
        thread.start()
    while not done.is_set():
        if not any(thread.is_alive() for thread in writers):
            done.set()  # and one last look
        for piece in reader.rows(after):
            seen += piece["event_id"].to_list()
            after = piece["seq"][-1]
    assert len(seen) == len(set(seen)) == 4 * 15 * 20
    for worker in range(4):
        own = [name for name in seen if name.startswith(f"{worker}-")]
        assert own == [f"{worker}-{batch}-{number}" for batch in range(15) for number in range(20)]
    assert all_of(reader)["received_at"].is_sorted()
    reader.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_id": ""},
        {"event_id": "x" * 257},
        {"event_id": "nul\0"},
        {"event_id": "e", "customer_id": "half \ud83d"},
        {"event_id": "e", "payload": {"product_id": "half \ud83d"}},
        {"event_id": "e", "payload": {"amount": float("nan")}},
        {"event_id": "e", "payload": {"amount": {1, 2}}},
        {"event_id": "e", "at": datetime(2025, 7, 1)},
    ],
    ids=str,
)
def test_what_no_database_can_keep_is_refused_and_nothing_of_its_batch_kept(
    store: Store, click: Click, wrong: dict[str, object]
) -> None:
    with pytest.raises(DataError, match="expected"):
        store.append([click("good"), click(**wrong)])
    assert store.through() == 0


def test_an_unknown_version_is_refused(store: Store, click: Click) -> None:
    store.append([click("e1")])
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE feedback_store SET value = 2 WHERE name = 'version'")
    with pytest.raises(FeedbackError, match=r"expected a feedback store of version 1, got version 2; use"):
        open_store()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE feedback_store SET value = 1 WHERE name = 'version'")
    again = open_store()
    assert ids(again) == ["e1"]
    again.close()


def test_losses_add_up(store: Store) -> None:
    assert store.lost_total() == 0
    store.add_lost(3)
    store.add_lost(4)
    again = open_store()
    assert again.lost_total() == 7
    again.close()


def test_a_commit_means_on_disk(store: Store, engine_name: str) -> None:
    """Every connection of the pool, not only the first."""
    with store.engine.connect() as first, store.engine.connect() as second:
        for connection in (first, second):
            if engine_name == "sqlite":
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
            else:
                assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_postgresql_that_acknowledges_early_is_not_believed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, click: Click
) -> None:
    monkeypatch.setenv("SHOP_FEEDBACK_URL", postgres_url)
    store = open_store()
    name = store.engine.url.database
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    store.close()
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = remote_apply')
    store.close()
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "remote_apply"
    store.close()


def test_a_server_that_went_away_and_came_back_needs_no_restart_of_ours(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, click: Click
) -> None:
    monkeypatch.setenv("SHOP_FEEDBACK_URL", postgres_url)
    store, other = open_store(), open_store()
    with other.engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
    assert store.append([click("e1")]) == 1
    for one in (store, other):
        one.close()


@pytest.mark.parametrize(
    "url",
    ["postgresql://shop:hush-hush@127.0.0.1:1/feedback", "mysql://shop:hush-hush@host/feedback", "hush-hush"],
)
def test_a_wrong_url_is_refused_without_telling_the_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_FEEDBACK_URL", url)
    with pytest.raises((FeedbackError, ParamsError), match="SHOP_FEEDBACK_URL") as raised:
        open_store()
    assert "hush-hush" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def harmed(home: Path, harm: str) -> None:
    (home / "feedback").parent.mkdir(parents=True, exist_ok=True)
    if harm == "a file where the folder belongs":
        (home / "feedback").write_text("")
        return
    (home / "feedback").mkdir()
    if harm == "no database":
        (home / "feedback" / "events.sqlite").write_bytes(b"not a database at all" * 500)
    else:
        (home / "feedback" / "events.sqlite").mkdir()


@pytest.mark.parametrize("harm", ["a file where the folder belongs", "no database", "a folder where the file belongs"])
def test_a_store_that_cannot_be_opened_is_refused(harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    harmed(tmp_path / "shop", harm)
    with pytest.raises(FeedbackError, match=r"expected .*, got.*; (move|make)"):
        open_store()


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("pragma", "mended", "remedy"),
    [("max_page_count=30", "max_page_count=100000", "free space"), ("query_only=ON", "query_only=OFF", "writable")],
    ids=["disk full", "read-only"],
)
def test_what_could_not_be_written_is_not_there_and_can_be_sent_again(
    store: Store, click: Click, pragma: str, mended: str, remedy: str
) -> None:
    batch = [click(f"e{number}", payload={"product_id": "p" * 1000}) for number in range(200)]
    store.append([click("before")])
    with store.engine.connect() as connection:  # the pool's only connection, so the next transaction's too
        connection.exec_driver_sql(f"PRAGMA {pragma}")
    with pytest.raises(FeedbackError, match=remedy):
        store.append(batch)
    assert ids(store) == ["before"]
    with store.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA {mended}")
    assert store.append(batch) == 200


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_writer_that_never_ends_makes_the_store_unavailable(
    store: Store, click: Click, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
    other = sqlite3.connect(str(store.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(FeedbackError, match="another process holds it"):
        store.append([click("e1")])
    other.execute("ROLLBACK")
    assert store.append([click("e1")]) == 1
    other.close()
