"""A shop made by hand: releases that hold next to nothing, a store of feedback, a clock that tests turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from components import releases
from components.core.artifacts import read_json, seal, write_json
from components.feedback.events import Event
from components.feedback.store import open_store
from components.pointers import Pointer
from flows.watch import watch_all

NAME = "recommendation"
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)  # the first release's data end here
PRODUCTS = [f"p{number}" for number in range(40)]
PARAMS: dict[str, Any] = {
    "timezone": "UTC",
    "applications": [NAME],
    "watch": {
        NAME: {
            "min_new_events": 1_000_000,
            "max_age_days": 300,
            "refresh_days": 300,
            "min_rows": 100,
            "min_answers": 200,
            "canary_min_answers": 50,
        }
    },
}


class WatchShop:
    """One application, one store."""

    monday, products = MONDAY, PRODUCTS

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.number = root, root / "shop", 0
        self.coming: list[Event] = []
        self.set()
        self.turn(MONDAY)

    def set(self, **limits: Any) -> None:
        """Other thresholds than those of PARAMS."""
        block = {**PARAMS["watch"][NAME], **limits}
        (self.root / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"watch": {NAME: block}}))

    def turn(self, now: datetime) -> None:
        (self.root / "clock").write_text(now.isoformat())

    def place(self, as_of: datetime = MONDAY, weights: str = "one", fitted: datetime | None = None) -> str:
        """A release on the shelf."""
        bundle = self.root / f"bundle-{weights}-{as_of:%Y%m%d}"
        catalogue = {"product_id": PRODUCTS, "category": [f"c{number % 5}" for number in range(len(PRODUCTS))]}
        bundle.mkdir()
        pl.DataFrame(catalogue).write_parquet(bundle / "catalogue.parquet")
        dates = {"as_of": as_of.isoformat(), "tested_as_of": (fitted or as_of).isoformat()}
        write_json(bundle / "manifest.json", {"application": NAME, "metrics": {weights: 0.1}, **dates})
        seal(bundle)
        return releases.put(bundle, NAME, {})

    def live(self, as_of: datetime = MONDAY, weights: str = "one", fitted: datetime | None = None) -> str:
        """A release that answers."""
        version = self.place(as_of, weights, fitted)
        releases.point(NAME, version, "a test")
        return version

    def send(self, events: Sequence[Event]) -> None:
        """Each is in the store from its moment on."""
        self.coming = sorted([*self.coming, *events], key=lambda event: event.at)

    def _arrive(self, now: datetime) -> None:
        due = [event for event in self.coming if event.at <= now]
        store = open_store()
        store.append(due)
        store.close()
        self.coming = self.coming[len(due) :]

    def event(self, kind: Any, at: datetime, payload: Mapping[str, Any], **ids: Any) -> Event:
        self.number += 1
        return Event(f"e{self.number}", ids.pop("application", NAME), kind, at, payload, **ids)

    def weeks(
        self,
        first: int,
        last: int,
        version: str,
        hit: float = 0.4,
        spent: float = 20.0,
        rung: str = "known",
        corrected: float = 0.0,
        other: tuple[str, float] | None = None,
        a_day: int = 60,
    ) -> None:
        """Weeks since MONDAY, from `first` and before `last`: each day customers ask, and later buy.

        Args:
            hit: share of the answers of which something is bought.
            spent: median amount of an order.
            rung: a facet of every answer.
            corrected: share of the answers that somebody corrects.
            other: the challenger that answers every second customer, and its share of hits.
            a_day: answers, and as many orders.
        """
        self.send(list(self._days(first, last, version, hit, spent, rung, corrected, other, a_day)))

    def _days(
        self,
        first: int,
        last: int,
        version: str,
        hit: float,
        spent: float,
        rung: str,
        corrected: float,
        other: tuple[str, float] | None,
        a_day: int,
    ) -> Iterator[Event]:
        random = np.random.default_rng(first + 100)
        for day in range(7 * first, 7 * last):
            for number, customer in enumerate(random.permutation(20 * a_day)[:a_day]):
                at = MONDAY + timedelta(days=day, minutes=int(random.integers(8 * 60, 20 * 60)))
                challenged = other is not None and customer % 2 == 1
                release, share = other if other is not None and challenged else (version, hit)
                request, who = f"r{day}-{number}", f"c{customer}"
                shown = [str(p) for p in random.choice(PRODUCTS[:20], 5, replace=False)]
                yield self.impression(
                    release, at, shown, request, who, "challenger" if challenged else "champion", rung
                )
                taken = shown[0] if random.random() < share else PRODUCTS[20 + int(random.integers(20))]
                yield self.purchase(at + timedelta(hours=1), who, taken, spent * float(random.lognormal(0, 0.4)))
                if random.random() < corrected:
                    yield self.event("correction", at, {"subject": request, "label": "no"}, request_id=request)

    def impression(
        self, release: str, at: datetime, keys: Sequence[str], request: str, who: str | None, role: str, rung: str
    ) -> Event:
        shown = [{"key": key, "position": n, "propensity": 1.0, "value": None} for n, key in enumerate(keys, start=1)]
        payload = {"release": release, "role": role, "unit": who, "shown": shown, "facets": {"rung": rung}, "ms": 1.0}
        return self.event("impression", at, payload, request_id=request, customer_id=who)

    def purchase(self, at: datetime, who: str, product: str, amount: float) -> Event:
        items = [{"product_id": product, "quantity": 1.0, "amount": round(amount, 2)}]
        payload = {"items": items, "store_id": None}
        return self.event("purchase", at, payload, order_id=f"o{self.number}", customer_id=who)

    def look(self, week: float, act: bool = True) -> dict[str, Any]:
        """What the watch decides so many weeks after MONDAY."""
        now = MONDAY + timedelta(weeks=week)
        self.turn(now)
        self._arrive(now)
        (decision,), problems = watch_all([NAME], act)
        assert not problems
        return decision

    def begin_canary(self, mode: Any = "canary") -> tuple[str, str]:
        """A champion, and a challenger for every second customer."""
        champion, challenger = self.live(), self.place(weights="two")
        releases.challenge(NAME, challenger, 0.5, mode, "a test")
        return champion, challenger

    def pointer(self) -> Pointer:
        found = releases.pointer(NAME)
        assert found is not None
        return found

    def latest(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.home / "watch" / NAME / "latest.json")
        return found

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.home / "audit.jsonl").read_text().splitlines()]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchShop:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.setenv("SHOP_CLOCK", str(tmp_path / "clock"))
    monkeypatch.delenv("SHOP_FEEDBACK_URL", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return WatchShop(tmp_path)


class Posted(list[Any]):
    """Bodies of events as they came; `runs`: the retrains that the server says are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Any] = []


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posted]:
    """A stand-in for Prefect's server."""
    posted = Posted()

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = self.path == "/api/flow_runs/filter"
            if not asked:
                posted.append(body)
            self.send_response(200 if asked else 204)
            self.end_headers()
            self.wfile.write(json.dumps(posted.runs).encode() if asked else b"")

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    yield posted
    server.shutdown()
    thread.join()
    server.server_close()
