"""From a buyer's question to the terms of an order, and what the buyer must know of what was assumed."""

from __future__ import annotations

from datetime import timedelta

from components.core.errors import DataError
from components.demand.answer.ask import Forecast, OrderAsk
from components.demand.answer.order import OrderParams, Terms, critical_ratio


def terms_of(ask: OrderAsk, found: Forecast, horizon: int, params: OrderParams) -> tuple[Terms, list[str]]:
    """What the arithmetic needs, and notes; raises DataError where the day is not one that is forecast."""
    review = params.review_days if ask.review_days is None else ask.review_days
    first, limit = found.weeks[0], horizon * found.period_days
    beyond = first + timedelta(days=limit)
    day = (ask.day - first).days if ask.day else 0
    if not 0 <= day < limit:
        raise DataError(
            f"day: expected one from {first} on and before {beyond}, which the release forecasts, got {ask.day}; "
            "correct it, or release anew on fresher data"
        )
    notes = []
    if day + ask.lead_time_days + review > limit:
        notes.append(f"the release forecasts {limit} days; from {beyond} on, demand is taken to go on as before")
    if found.source == "category":
        notes.append(f"no history of its own: taken to sell like a product of {found.category}")
    level = _service_level(ask, params)
    terms = Terms(ask.on_hand, ask.on_order, ask.lead_time_days, review, level, ask.pack_size, ask.minimum_order, day)
    return terms, notes


def _service_level(ask: OrderAsk, params: OrderParams) -> float:
    if ask.costs is not None:
        return critical_ratio(*ask.costs)
    return params.service_level if ask.service_level is None else ask.service_level
