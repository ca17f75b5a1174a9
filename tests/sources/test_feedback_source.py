"""Feedback as a source: two tables out of one store, up to a number, and nothing where there is no store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import MissingTable, ParamsError
from components.core.tables import TABLES
from components.feedback.events import Event
from components.feedback.store import Store, open_store
from components.sources.shop import source_of

AT = datetime(2025, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.delenv("SHOP_FEEDBACK_URL", raising=False)
    return tmp_path / "shop"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    found = open_store()
    yield found
    found.close()


def event(event_id: str, kind: str = "click", **other: Any) -> Event:
    return Event(event_id, "recommendation", kind, AT, {"product_id": "p1"}, **other)  # type: ignore[arg-type]


def source(table: str = "feedback") -> Any:
    return source_of(table, {"sources": {table: {"kind": "feedback"}}})


def test_without_a_store_the_table_is_missing_and_looking_makes_none(home: Path) -> None:
    for table in ("feedback", "impressions"):
        with pytest.raises(MissingTable, match="no store of feedback yet"):
            source(table).fingerprint()
    assert not home.exists()


def test_a_table_that_nobody_has_sent_is_missing(store: Store) -> None:
    with pytest.raises(MissingTable, match="nobody has sent"):
        source().fingerprint()
    store.append([event("i1", "impression", request_id="r1")])
    with pytest.raises(MissingTable, match="feedback: nobody has sent any"):
        source().read()
    assert source("impressions").read().collect()["event_id"].to_list() == ["i1"]


def test_kinds_decide_the_table_and_columns_are_canonical(store: Store) -> None:
    kinds = ["click", "impression", "cart", "purchase", "dismiss", "sales", "correction"]
    store.append([event(f"e{n}", kind, customer_id=" 12.0 ") for n, kind in enumerate(kinds)])
    feedback = source().read().collect()
    assert sorted(feedback["kind"]) == ["cart", "click", "correction", "dismiss", "purchase", "sales"]
    assert dict(feedback.schema) == TABLES["feedback"].schema and source().found_columns() == feedback.columns
    assert feedback["customer_id"].unique().to_list() == ["12"], "ids as in any other table"
    assert source("impressions").read().collect()["kind"].to_list() == ["impression"]


def test_the_number_is_that_of_the_tables_own_newest_event(store: Store) -> None:
    store.append([event("e1"), event("e2"), event("i1", "impression")])
    assert (source().through(), source("impressions").through()) == (2, 3)


def test_what_comes_after_the_first_look_is_left_for_the_next_time(store: Store) -> None:
    store.append([event("e1")])
    looked = source()
    before = looked.fingerprint()
    store.append([event("e2")])
    assert looked.read().collect()["event_id"].to_list() == ["e1"] and looked.fingerprint() == before
    assert source().read().collect().height == 2


def test_the_fingerprint_changes_with_every_event_and_with_another_store(
    store: Store, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append([event("e1")])
    first = source().fingerprint()
    assert source().fingerprint() == first
    store.append([event("e1")])  # again: counts once
    assert source().fingerprint() == first
    store.append([event("e2")])
    assert source().fingerprint() != first
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "other"))
    other = open_store()
    other.append([event("x1")])
    other.close()
    assert source().fingerprint() not in (None, first)


def test_only_two_tables_come_from_feedback(home: Path) -> None:
    with pytest.raises(ParamsError, match=r"sources\.stock: expected the kind feedback for impressions and feedback"):
        source("stock")


def test_no_database_library_is_loaded_for_other_tables() -> None:
    code = "import sys, components.stages.collect; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
