"""One arm of the replay: the recorded weeks, answered by a real service, with its way of renewing the models."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from benchmarks.replay.history import Basket
from benchmarks.replay.shop import Refused, ReplayShop
from components.core.artifacts import atomic_path, read_json

log = logging.getLogger(__name__)

K = 10
CHUNK = 500  # events in one POST /feedback
DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))
APPLICATIONS = ("recommendation", "demand")
MOVED = ("released", "canary", "shadow")  # outcomes after which what was made answers somebody


@dataclass(frozen=True, slots=True)
class Arm:
    """How one copy of the shop renews its models."""

    name: str
    says: str
    renews: Literal["when the watch decides", "never", "every week"]
    explores: float = 0.0


ARMS = {
    arm.name: arm
    for arm in (
        Arm("loop", "the closed loop: the watch decides, the duel judges", "when the watch decides"),
        Arm("frozen", "weights of the first release, histories live", "never"),
        Arm("weekly", "retrained every week, whatever the watch says", "every week"),
        Arm("explore", "the closed loop, one slot in twenty explores", "when the watch decides", 0.05),
    )
}


def play(arm: Arm, shop: ReplayShop, said: Callable[[str], None]) -> None:
    """Live through the weeks; writes answers.parquet, forecasts.parquet and weeks.parquet into the shop's folder.

    A week that is complete is not played again, so an interrupted replay goes on where it ended. Nor is anything asked
    again of which the shop has been told already what came of it: that answer would know what is to be foretold.
    """
    played = shop.root / "played"
    played.mkdir(exist_ok=True)
    history, series = shop.history, shop.series()
    with shop.serving():
        for week in range(history.trained + 1, history.last + 1):
            if (played / f"week-{week}.parquet").exists():
                continue
            began = time.monotonic()
            _once(played / f"forecasts-{week}.parquet", lambda: list(_forecasts(shop, week, series)))  # noqa: B023
            answers = _answers(shop, week, played)
            _sales_come_in(shop, week, series)
            asked = time.monotonic() - began
            what = renew(arm, shop, week)
            shop.await_pointer()
            row = {"week": week, "asked_seconds": asked, "renewed_seconds": time.monotonic() - began - asked,
                   "what": what, **{f"live_{name}": version for name, version in shop.live().items()}}  # fmt: skip
            _once(played / f"week-{week}.parquet", lambda: [row])  # noqa: B023
            hits = float(np.mean(answers["phr"].to_numpy()))
            said(f"{arm.name} week {week}: {answers.height} baskets, hit rate {hits:.3f}; {what}")


def _once(path: Path, made: Callable[[], list[dict[str, Any]]]) -> pl.DataFrame:
    """The rows at `path`, made now where they are not there yet."""
    if not path.exists():
        rows = pl.DataFrame(made(), infer_schema_length=None)
        with atomic_path(path) as temporary:
            rows.write_parquet(temporary)
    return pl.read_parquet(path)


def _answers(shop: ReplayShop, week: int, played: Path) -> pl.DataFrame:
    """Each basket asks just before it happens; what was bought comes back at the end of the day."""
    known, days = set(shop.history.products["product_id"]), []
    for number, (ends, baskets) in enumerate(shop.history.days(week), start=1):
        if not baskets:
            continue
        asked = _once(
            played / f"answers-{week}-{number}.parquet",
            lambda: [_asked(shop, week, basket, known) for basket in baskets],  # noqa: B023
        )
        shop.set_clock(ends)
        requests = dict(zip(asked["basket_id"], asked["request_id"], strict=True))
        report(shop, [_purchase(basket, requests[basket.basket_id]) for basket in baskets])
        days.append(asked)
    return pl.concat(days, how="diagonal_relaxed")


def _asked(shop: ReplayShop, week: int, basket: Basket, known: set[str]) -> dict[str, Any]:
    shop.set_clock(basket.at - timedelta(minutes=1))
    answer = shop.ask("POST", "/recommend", {"customer_id": basket.customer_id, "k": K})
    return _scored(week, basket, answer, known)


def _scored(week: int, basket: Basket, answer: dict[str, Any], known: set[str]) -> dict[str, Any]:
    truth = {product for product, _, _ in basket.lines} & known
    hits = np.array([item["product_id"] in truth for item in answer["items"]] + [False] * K)[:K]
    ideal = DISCOUNTS[: len(truth)].sum()
    return {
        "week": week,
        "basket_id": basket.basket_id,
        "customer_id": basket.customer_id,
        "request_id": answer["request_id"],
        "release": answer["release"],
        "ndcg": float((hits * DISCOUNTS).sum() / ideal) if truth else None,
        "recall": float(hits.sum() / len(truth)) if truth else None,
        "phr": float(hits.any()),
    }


def _purchase(basket: Basket, request_id: str) -> dict[str, Any]:
    items = [{"product_id": each, "quantity": n, "amount": amount} for each, n, amount in basket.lines]
    return {
        "event_id": f"purchase-{basket.basket_id}",
        "kind": "purchase",
        "application": "recommendation",
        "at": basket.at.isoformat(),
        "request_id": request_id,
        "order_id": basket.basket_id,
        "customer_id": basket.customer_id,
        "items": items,
    }


def report(shop: ReplayShop, events: list[dict[str, Any]]) -> None:
    """POST /feedback; what is not acknowledged is an error here."""
    for start in range(0, len(events), CHUNK):
        shop.ask("POST", "/feedback", {"events": events[start : start + CHUNK]})


def _forecasts(shop: ReplayShop, week: int, series: list[str]) -> Iterator[dict[str, Any]]:
    """What is forecast for the coming week when it begins, beside what will have been sold."""
    shop.set_clock(shop.history.midnight(shop.history.starts(week)))
    sold, monday = shop.history.units(week, series), shop.history.starts(week).isoformat()
    for one in _forecast(shop, series):
        coming = [step for step in one["weeks"] if step["week"] == monday]
        levels = coming[0]["quantiles"] if coming else {}
        yield {
            "week": week,
            "series_id": one["series_id"],
            "units": sold[one["series_id"]],
            **{f"q{level}": levels.get(level) for level in ("0.1", "0.5", "0.9")},
        }


def _forecast(shop: ReplayShop, series: list[str]) -> list[dict[str, Any]]:
    """Forecasts of all series; one that the release does not know has none."""
    if not series:
        return []
    try:
        return list(shop.ask("POST", "/demand/forecast", {"series": series})["forecasts"])
    except Refused as refused:
        if refused.status != 404:
            raise
        if len(series) == 1:
            return [{"series_id": series[0], "weeks": []}]
        half = len(series) // 2
        return _forecast(shop, series[:half]) + _forecast(shop, series[half:])


def _sales_come_in(shop: ReplayShop, week: int, series: list[str]) -> None:
    """The week's units as figures, and the export of transactions, which lags a week behind."""
    monday, ends = shop.history.starts(week), shop.history.midnight(shop.history.starts(week + 1))
    shop.set_clock(ends)
    figures = [
        {"event_id": f"sales-{one}-{monday}", "kind": "sales", "application": "demand", "at": ends.isoformat(),
         "series_id": one, "period": monday.isoformat(), "units": units}
        for one, units in shop.history.units(week, series).items()
    ]  # fmt: skip
    report(shop, figures)
    shop.export(week)


def renew(arm: Arm, shop: ReplayShop, week: int) -> str:
    """What the arm does about its models at the end of the week, in words."""
    if arm.renews == "every week":
        return _retrained(shop, APPLICATIONS, "--reason", f"week {week}", "--even-if-it-does-not-pay")
    if arm.renews == "never":  # the forecast of the next weeks needs the weeks just past, whoever made the weights
        return f"refresh of demand: {_refreshed(shop, ('demand',), f'week {week}')}"
    said = []
    for (decision, trigger), names in _decided(shop).items():
        why = f"watch: {trigger}"
        if decision == "refresh":
            done = _refreshed(shop, names, why)
        else:
            done = _retrained(shop, names, "--reason", why, "--trigger", trigger)
        said.append(f"{decision} of {' and '.join(names)} ({trigger}): {done}")
    return "; ".join(said) or "the watch decided nothing"


def _retrained(shop: ReplayShop, names: Sequence[str], *words: str) -> str:
    """A retrain; where it came to nothing for an application, the old weights get the newest histories all the same."""
    before = len(shop.lines("retrains.jsonl"))
    shop.run("flows.retrain", "--applications", *names, *words, may_fail=True)
    outcomes = [line.get("outcomes") or {} for line in shop.lines("retrains.jsonl")[before:]]
    moved = {name for each in outcomes for name, outcome in each.items() if outcome in MOVED}
    left = [name for name in names if name not in moved]
    said = _outcome(shop)
    return f"{said}; refresh of {' and '.join(left)}: {_refreshed(shop, left, 'old weights')}" if left else said


def _refreshed(shop: ReplayShop, names: Sequence[str], why: str) -> str:
    shop.run("flows.retrain", "--refresh", "--applications", *names, "--reason", why, may_fail=True)
    return _outcome(shop)


def _decided(shop: ReplayShop) -> dict[tuple[str, str], list[str]]:
    """Applications by what the watch wants done about them, and why."""
    shop.run("flows.watch")
    found = dict[tuple[str, str], list[str]]()
    for path in sorted((shop.home / "watch").glob("*/latest.json")):
        decision = read_json(path)
        if decision["decision"] != "nothing":
            found.setdefault((decision["decision"], decision["trigger"]), []).append(path.parent.name)
    return found


def _outcome(shop: ReplayShop) -> str:
    last = shop.lines("retrains.jsonl")[-1:]
    return str(last[0]["outcome"]) if last else "no record"


def played(root: Path, what: str) -> pl.DataFrame:
    """All weeks of `answers`, `forecasts` or `week` that an arm has written."""
    return pl.concat([pl.read_parquet(path) for path in sorted((root / "played").glob(f"{what}-*.parquet"))],
                     how="diagonal_relaxed").sort("week")  # fmt: skip
