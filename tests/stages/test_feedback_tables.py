"""Feedback from the store into the graph: the same bytes however often it was collected, bad events set apart."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from components.core.artifacts import folder_checksums, read_json
from components.core.errors import QualityFailure
from components.feedback.events import Event
from components.feedback.store import Store
from components.stages.collect import collect
from components.stages.validate import validate

ROOT = Path(__file__).parents[2]
DAY_1 = datetime(2025, 7, 1, 9, tzinfo=UTC)
COLLECTED, ACCEPTED = Path("data/collected/feedback"), Path("data/accepted/feedback")
Send = Callable[..., None]


def click(event_id: str, at: datetime = DAY_1, **other: Any) -> Event:
    said = {"application": "recommendation", "kind": "click", "payload": {"product_id": "p1"}} | other
    return Event(event_id, at=at, **said)


def answer(request_id: str, role: str = "champion", at: datetime = DAY_1, event_id: str | None = None) -> Event:
    shown = [{"key": "p1", "position": 1, "propensity": 0.9, "value": None}]
    payload = {"release": "r", "role": role, "unit": None, "shown": shown, "facets": {}, "ms": 1.0}
    return click(event_id or f"{request_id}:{role}", at, kind="impression", payload=payload, request_id=request_id)


def three_days(send: Send, after: Callable[[], None]) -> None:
    """Clicks on three days, the last of them told late; `after` runs at the end of each day."""
    for day in range(3):
        at = DAY_1 + timedelta(days=day)
        events = [click(f"d{day}-{n}", at + timedelta(minutes=7 * (n % 5)), customer_id=f"c{n}") for n in range(9)]
        send(at + timedelta(hours=1), *reversed(events))
        after()
    send(DAY_1 + timedelta(days=2, hours=3), click("late", DAY_1 - timedelta(days=40)))
    after()


def parts() -> dict[str, str]:
    return {name: text for name, text in folder_checksums(COLLECTED).items() if name.startswith("part")}


def test_day_by_day_or_in_one_go_gives_the_same_bytes_and_old_days_never_change(send: Send) -> None:
    seen: list[dict[str, str]] = []

    def collected() -> None:
        collect("feedback")
        seen.append(parts())

    three_days(send, collected)
    day_by_day = folder_checksums(COLLECTED)
    shutil.rmtree("data")
    collect("feedback")
    assert folder_checksums(COLLECTED) == day_by_day
    assert list(parts()) == [f"part-2025-07-0{day}.parquet" for day in (1, 2, 3)]
    for before, after in pairwise(seen):
        closed = list(before)[:-1]
        assert all(after[name] == before[name] for name in closed)


def test_a_late_event_lands_in_the_part_of_the_day_on_which_it_was_received(send: Send) -> None:
    three_days(send, lambda: None)
    collect("feedback")
    rows = pl.read_parquet(COLLECTED / "part-2025-07-03.parquet")
    assert rows["event_id"][0] == "late" and rows["at"].is_sorted(), "each part is in the order of event time"
    meta = read_json(COLLECTED / "meta.json")
    assert meta["rows"] == 28 and meta["through"] == 28 and meta["missing_columns"] == []
    assert meta["as_of"] == "2025-07-04T04:00:00+00:00"  # midnight in New York after the newest receipt


def test_nothing_new_means_nothing_written_and_answers_alone_change_no_byte(send: Send) -> None:
    send(DAY_1, click("e1"))
    collect("feedback")
    before, written = folder_checksums(COLLECTED), COLLECTED.stat().st_mtime_ns
    collect("feedback")
    assert COLLECTED.stat().st_mtime_ns == written
    send(DAY_1, answer("r1"))
    collect("feedback")
    assert folder_checksums(COLLECTED) == before, "or every answer would have all models trained again"


def test_a_shop_without_feedback_goes_on_without(feedback_store: Store) -> None:
    shutil.rmtree("shop")
    for table in ("feedback", "impressions"):
        collect(table)
    collect("products")
    validate("products")
    validate("feedback")
    assert read_json(ACCEPTED / "meta.json")["missing"] and not Path("shop").exists()


def judged(table: str = "feedback") -> dict[str, Any]:
    """Collect and validate; the report."""
    for name in ("products", "impressions", "feedback"):
        collect(name)
    for name in ("products", "impressions", *(["feedback"] if table == "feedback" else [])):
        validate(name)
    report: dict[str, Any] = read_json(Path(f"data/quality/{table}.json"))
    return report


def refused(table: str = "feedback") -> dict[str, list[str]]:
    """Names of the rules that spoke against each event."""
    rows = pl.read_parquet(f"data/quarantine/{table}.parquet")
    return {row[0]: re.findall(r"(?:^|; )(\w+):", row[1]) for row in rows.select("event_id", "reason").iter_rows()}


def test_each_bad_event_is_set_apart_for_its_own_reason_and_the_others_pass(send: Send) -> None:
    order = {"kind": "purchase", "order_id": "o1"}
    item = {"product_id": "p1", "quantity": 2, "amount": 3.5}
    figure = {"series_id": "p1", "units": 3}
    sound = [
        click("sound", customer_id="c1"),
        click("late", DAY_1 - timedelta(days=300)),
        click("slightly ahead", DAY_1 + timedelta(minutes=4)),
        click("order", **order, payload={"items": [item], "store_id": None}),
        click("sales", kind="sales", payload=figure | {"period": "2025-06-23"}),
        click("correction", kind="correction", payload={"subject": "r1", "label": "x", "by": None}),
    ]
    bad = {
        "clock_right": click("1", DAY_1 + timedelta(minutes=6)),
        "recent_enough": click("2", DAY_1 - timedelta(days=400)),
        "kind_known": click("3", kind="hover"),
        "payload_readable": click("4", payload=["p1"]),
        "payload_complete": click("5", payload={"position": 1}),
        "order_named": click("6", kind="purchase", payload={"items": [item]}),
        "quantity_plausible": click("7", **order, payload={"items": [item, item | {"quantity": 1e6}]}),
        "amount_plausible": click("8", **order, payload={"items": [item | {"amount": 1e9}]}),
        "period_begun": click("9", kind="sales", payload=figure | {"period": "2025-08-04"}),
    }
    send(DAY_1, *sound, *bad.values())
    report, found = judged(), refused()
    assert {name: found.get(event.event_id) for name, event in bad.items()} == {name: [name] for name in bad}
    accepted = pl.read_parquet(sorted(ACCEPTED.glob("part-*.parquet")))
    assert set(accepted["event_id"]) == {event.event_id for event in sound}
    assert report["verdict"] == "warnings" and report["set_aside"] == 1


def test_a_bots_minute_is_set_apart_and_the_customers_other_events_pass(send: Send) -> None:
    burst = [click(f"b{n}", DAY_1 + timedelta(milliseconds=100 * n), customer_id="c1") for n in range(150)]
    visit = [click(f"v{n}", DAY_1 + timedelta(milliseconds=100 * n), request_id="r9") for n in range(150)]
    calm = [click(f"c{n}", DAY_1 + timedelta(minutes=5, seconds=9 * n), customer_id="c1") for n in range(5)]
    send(DAY_1 + timedelta(hours=1), *burst, *visit, *calm)
    report = judged()
    assert (report["quarantined"], report["accepted"]) == (300, 5)
    assert set(map(tuple, refused().values())) == {("human_minute",)}


def test_one_source_that_floods_the_corrections_is_set_apart(send: Send) -> None:
    def correction(number: int, by: str | None) -> Event:
        payload = {"subject": f"r{number}", "label": "x", "by": by}
        return click(f"{by}-{number}", DAY_1 + timedelta(seconds=number), kind="correction", payload=payload)

    staff = [correction(n, by) for by in ("ann", "bob", None) for n in range(30)]
    send(DAY_1 + timedelta(hours=1), *staff, *(correction(n, "mallory") for n in range(120)))
    judged()
    assert {name.split("-")[0] for name in refused()} == {"mallory"} and len(refused()) == 120


def test_what_pages_report_having_shown_must_have_been_answered(send: Send) -> None:
    send(DAY_1, answer("r1"), answer("r1", "shadow"))
    send(DAY_1, answer("r1", "shop", event_id="s1"), answer("r2", "shop", event_id="s2"))
    send(DAY_1, click("i0", kind="impression", payload={"role": "champion", "shown": []}))
    judged("impressions")
    assert refused("impressions") == {"s2": ["request_answered"], "i0": ["request_named"]}


def test_feedback_on_a_request_that_is_not_known_is_reported_and_passes(send: Send) -> None:
    send(DAY_1, answer("r1"), click("e1", request_id="r1"), click("e2", request_id="lost in a crash"), click("e3"))
    report = judged()
    found = next(one for one in report["findings"] if one["name"] == "request_answered")
    assert report["accepted"] == 3 and found["failed"] == 1 and not found["passed"]


def test_a_few_bad_events_stop_nothing_and_a_broken_feed_does(send: Send) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["quality"]["feedback"] = {"quarantine_share_max": 0.2, "few_rows": 5}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    send(DAY_1, *(click(f"e{n}", payload={}) for n in range(5)))
    assert judged()["quarantined"] == 5
    send(DAY_1, click("e5", payload={}))
    with pytest.raises(QualityFailure, match=r"100\.0% of the rows are quarantined where 20\.0% may be"):
        judged()


def test_a_year_of_days_is_not_judged_day_by_day(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.quality.suite import Suite

    judged_frames: list[int] = []
    check = Suite.check

    def counting(self: Suite, level: Any, frame: Any) -> Any:
        judged_frames.extend([len(frame)] if level == "row" and self.table == "feedback" else [])
        return check(self, level, frame)

    for day in range(12):
        at = DAY_1 + timedelta(days=day)
        send(at, click(f"e{day}", at), *([click(f"bad{day}", at, payload={})] if day % 3 == 1 else []))
    monkeypatch.setattr(Suite, "check", counting)
    report = judged()
    assert report["quarantined"] == 4 and judged_frames == [16]
    assert set(refused()) == {"bad1", "bad4", "bad7", "bad10"}
    assert len(list(ACCEPTED.glob("part-*.parquet"))) == 12
