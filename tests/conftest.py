"""Tiny generated tables that several test modules share, and a server that stands in for somebody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import polars as pl
import pytest

N_ITEMS = 20

TRAIN_SCHEMA = {
    "customer": pl.Int32,
    "basket": pl.Int32,
    "item": pl.Int32,
    "days_ago": pl.Float32,
    "weight": pl.Float32,
}


def recommendation_queries(train: pl.DataFrame, candidates: list[int]) -> pl.DataFrame:
    """One query per customer of `train`: the own history, oldest first, and the same candidates for all."""
    past = train.drop_nulls("customer").sort(
        "customer", "days_ago", "basket", "item", descending=[False, True, False, False]
    )
    numbered = past.with_columns(number=pl.col("basket").rle_id().over("customer").cast(pl.Int32))
    return (
        numbered.group_by("customer", maintain_order=True)
        .agg(items="item", days_ago="days_ago", weights="weight", baskets="number")
        .with_columns(
            query=pl.col("customer"),
            customer=pl.col("customer").cast(pl.String),
            candidates=pl.lit(candidates, dtype=pl.List(pl.Int32)),
        )
    )


@pytest.fixture(scope="session")
def checkerboard() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Train table and queries: customers 0, 2, 4, ... buy only even items, the others only odd ones.

    Every customer buys two items a week for six weeks and leaves some items of its colour
    unbought; all items are about equally popular, so only the customer tells the colour.
    """
    random = np.random.default_rng(0)
    rows = []
    for customer in range(40):
        colour = customer % 2
        own = random.permutation(np.arange(colour, N_ITEMS, 2))[:7]
        for week in range(6):
            for item in random.choice(own, 2, replace=False):
                rows.append((customer, customer * 6 + week, item, 7.0 * (6 - week), 1.0))
    train = pl.DataFrame(rows, schema=TRAIN_SCHEMA, orient="row")
    return train, recommendation_queries(train, list(range(N_ITEMS)))


@pytest.fixture(scope="session")
def queries_of() -> Callable[[pl.DataFrame, list[int]], pl.DataFrame]:
    """`recommendation_queries`, for tests that make their own train table."""
    return recommendation_queries


MONDAY = date(2024, 1, 1)
RHYTHM = (1.15, 1.0, 0.85, 1.0)  # of the level, week by week; the first is a mailer week
LEVELS = np.geomspace(3, 300, 24)  # units a week of the series in `rhythm`


def weekly_series(histories: Sequence[Sequence[float | None]], horizon: int = 4) -> pl.DataFrame:
    """A queries frame of weekly series; every history begins on MONDAY, so that longer ones have later origins."""
    n, lengths = len(histories), [len(history) for history in histories]
    mailers = [[float(week % len(RHYTHM) == 0) for week in range(length + horizon)] for length in lengths]
    return pl.DataFrame(
        {
            "query": range(n),
            "series_id": [f"s{number}" for number in range(n)],
            "origin": [MONDAY + timedelta(weeks=length) for length in lengths],
            "period_days": [7] * n,
            "horizon": [horizon] * n,
            "quantiles": [[0.1, 0.5, 0.9]] * n,
            "y": [list(history) for history in histories],
            "known_mailer": mailers,
            "past_price": [[1.0] * length for length in lengths],
            "static_category": [number % 3 for number in range(n)],
            "series_class": [("slow", "medium", "fast")[number * 3 // n] for number in range(n)],
        },
        schema_overrides={
            "query": pl.Int32,
            "y": pl.List(pl.Float32),
            "known_mailer": pl.List(pl.Float32),
            "past_price": pl.List(pl.Float32),
            "static_category": pl.Int32,
        },
    )


@pytest.fixture(scope="session")
def weekly_frame() -> Callable[..., pl.DataFrame]:
    """`weekly_series`, for tests that make their own histories."""
    return weekly_series


@pytest.fixture(scope="session")
def rhythm() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Train table of 60 weeks, queries four weeks later and their truth, of series that repeat RHYTHM at LEVELS."""
    sales = [[float(level * RHYTHM[week % len(RHYTHM)]) for week in range(68)] for level in LEVELS]
    train, queries = (weekly_series([history[:weeks] for history in sales]) for weeks in (60, 64))
    truth = queries.select("query", week=pl.lit([MONDAY + timedelta(weeks=week) for week in range(64, 68)]))
    coming = truth.with_columns(units=pl.Series([history[64:] for history in sales])).explode("week", "units")
    return train.with_columns(pl.col("known_mailer").list.head(60)), queries, coming  # train knows nothing later


AS_OF = datetime(2025, 7, 1, tzinfo=UTC)
N_CUSTOMERS, N_PRODUCTS, N_WEEKS = 60, 60, 20


def tiny_tables() -> dict[str, pl.DataFrame]:
    """Customers who rebuy five staples each in a rhythm of their own, and one of a popular few."""
    random = np.random.default_rng(0)
    rows = []
    for customer in range(N_CUSTOMERS):
        staples, rhythm = random.choice(N_PRODUCTS, 5, replace=False), random.integers(1, 4, 5)
        for week in range(N_WEEKS):
            bought = {int(item) for item, every in zip(staples, rhythm, strict=True) if week % every == 0}
            bought.add(int(random.zipf(1.5)) % 20)
            at = AS_OF - timedelta(days=7 * (N_WEEKS - week), hours=-int(random.integers(1, 24)))
            rows += [(f"b{customer}-{week}", f"p{item:03}", f"c{customer}", at) for item in sorted(bought)]
    transactions = pl.DataFrame(rows, schema=["basket_id", "product_id", "customer_id", "at"], orient="row")
    numbers = range(N_PRODUCTS)
    products = pl.DataFrame(
        {
            "product_id": [f"p{number:03}" for number in numbers],
            "title": [f"Product {number}" for number in numbers],
            "category": [f"Category {number % 6}" for number in numbers],
            "department": [f"Department {number % 2}" for number in numbers],
            "brand": [f"Brand {number % 5}" for number in numbers],
            "price": [1.0 + number % 7 for number in numbers],
            "active": [True for _ in numbers],
        }
    )
    return {
        "transactions": transactions.with_columns(quantity=pl.lit(1.0), amount=pl.lit(2.0)),
        "products": products,
    }


@pytest.fixture(scope="session")
def tiny() -> dict[str, pl.DataFrame]:
    """The tables of a shop with sixty customers."""
    return tiny_tables()


def demand_frame(names: list[str], categories: list[str | None], y: list[list[float]]) -> pl.DataFrame:
    """A queries frame (components.demand.features.panel): four weeks from 2025-06-30 on, placements known for all.

    Every series was in the mailer of half the stores two weeks before the data ends, on display 7 where in the mailer.
    """
    n, length = len(names), len(y[0])
    promoted = [0.0] * (length - 2) + [0.5, 0.0] + [0.0] * 4
    lists = {"y": y, "known_mailer": [promoted] * n, "known_display": [promoted] * n}
    lists |= {"known_display_7": [promoted] * n, "known_display_9": [[0.0] * (length + 4)] * n}
    lists |= {"known_display_rivals": [[0.2] * (length + 4)] * n}
    lists |= {"known_campaign": [[0.0] * length] * n}  # nothing is said of its future
    return pl.DataFrame(
        {
            "query": pl.Series(range(n), dtype=pl.Int32),
            "series_id": names,
            "product_id": names,
            "title": [f"Title of {name}" for name in names],
            "category": pl.Series(categories, dtype=pl.String),
            "origin": [date(2025, 6, 30)] * n,
            "period_days": pl.Series([7] * n, dtype=pl.Int32),
            "horizon": pl.Series([4] * n, dtype=pl.Int32),
            "quantiles": [[0.1, 0.5, 0.9]] * n,
            "series_class": ["fast"] * n,
            **{name: pl.Series(values, dtype=pl.List(pl.Float32)) for name, values in lists.items()},
        }
    )


def forecast_by_mailer(queries: pl.DataFrame) -> pl.DataFrame:
    """What a trivial model expects: the last week's units, doubled where the whole shop is in the mailer.

    Half as much is the lowest quantile, twice as much the highest. It cannot forecast `silent` series.
    """
    rows = []
    for row in queries.filter(~pl.col("series_id").str.starts_with("silent")).iter_rows(named=True):
        for step in range(row["horizon"]):
            placed = row["known_mailer"][len(row["y"]) + step] or 0.0
            units = row["y"][-1] * (1 + placed)
            week = row["origin"] + timedelta(days=7 * step)
            rows += [(row["query"], week, level, units * factor) for level, factor in ((0.1, 0.5), (0.5, 1), (0.9, 2))]
    schema = {"query": pl.Int32, "week": pl.Date, "quantile": pl.Float64, "score": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture(scope="session")
def demand_tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Queries and categories: eight fruits that sell 1 to 8 units a week, two breads, and what cannot be forecast."""
    names = [f"fruit-{number}" for number in range(1, 9)] + ["bread-1", "bread-2", "silent-bread", "silent-alone"]
    of = ["Fruit"] * 8 + ["Bread"] * 3 + [None]
    weekly = [float(number) for number in range(1, 9)] + [30.0, 50.0, 0.0, 0.0]
    queries = demand_frame(names, of, [[units] * 10 for units in weekly])
    categories = demand_frame(["Bread", "Fruit"], ["Bread", "Fruit"], [[40.0] * 10, [4.5] * 10])
    return queries, categories


@pytest.fixture(scope="session")
def predict_demand() -> Callable[[pl.DataFrame], pl.DataFrame]:
    return forecast_by_mailer


class Elsewhere:
    """Somebody else's server, on this machine. `answers`: what each next request gets, the last one for good.

    An answer is a status, a body, what makes one of the request's body, or trouble: "hang", "drop", "drip" (one byte
    after the other, without an end), "drip body" (the same after the head of a reply).
    """

    def __init__(self) -> None:
        self.answers: list[Any] = [200]
        self.heard: list[tuple[str, dict[str, str], bytes]] = []  # path, headers in lower case, body
        self.closing = threading.Event()
        elsewhere = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = elsewhere.answers.pop(0) if len(elsewhere.answers) > 1 else elsewhere.answers[0]
                elsewhere.heard.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                with suppress(OSError):
                    self._answer(answer(body) if callable(answer) else answer)

            def _answer(self, answer: Any) -> None:
                if answer == "hang":
                    elsewhere.closing.wait(20)
                elif answer == "drop":
                    self.connection.close()
                elif str(answer).startswith("drip"):
                    if answer == "drip body":
                        self._head(200)
                    while not elsewhere.closing.wait(0.02):
                        self.wfile.write(b"H")
                else:
                    content = answer if isinstance(answer, bytes) else b""
                    self._head(answer if isinstance(answer, int) else 200, len(content))
                    self.wfile.write(content)

            def _head(self, status: int, length: int | None = None) -> None:
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "/another-place")
                if length is not None:
                    self.send_header("content-length", str(length))
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    found = Elsewhere()
    yield found
    found.close()
