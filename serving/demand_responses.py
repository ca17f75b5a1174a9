"""What is answered about demand over the wire, with examples."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import ConfigDict, Field

from components.demand.answer.ask import Forecast
from components.demand.answer.drivers import Driver
from components.demand.answer.order import Proposal
from serving.schemas import Wire

FORECAST_RESPONSE: dict[str, Any] = {
    "forecasts": [
        {
            "series_id": "1082185",
            "title": "Bananas",
            "from": "series",
            "category": "TROPICAL FRUIT",
            "weeks": [
                {
                    "week": "2018-01-01",
                    "quantiles": {"0.1": 201.4, "0.5": 246.0, "0.9": 301.7},
                    "drivers": [{"group": "level", "units": 240.2, "words": "what it usually sells: 240"}],
                }
            ],
        }
    ],
    "period_days": 7,
    "release": "20180101-0a1b2c3d",
    "request_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c",
}
ORDER_RESPONSE: dict[str, Any] = {
    "series_id": "1082185",
    "title": "Bananas",
    "from": "series",
    "order_quantity": 320.0,
    "order_up_to": 711.3,
    "reorder_point": 433.9,
    "expected_demand": 598.2,
    "safety_stock": 113.1,
    "expected_stockouts": {"units": 2.4, "probability": 0.05, "units_before_arrival": 4.2},
    "service_level": 0.95,
    "reason": "Order 320: 711.3 units last 17 days (10 until the order arrives and 7 until the next review) with 95 % "
    "certainty, of which 598 are expected to sell; 400 are on hand or on order, in packs of 40.",
    "notes": [],
    "release": "20180101-0a1b2c3d",
    "request_id": "3f2b9c1e5d7a4e0f8b6c2d4e6f8a0b1c",
}

Source = Literal["series", "category"]
FROM = "Whose history it comes from: its own, or (without one) its category's."


class WeekDriver(Wire):
    """One kind of influence on the median as the released gbm gives it, which may be one of several that ship."""

    group: str = Field(description="level, trend, season, price, promotion or plan.")
    units: float = Field(description="That it adds; of the level: that the others start from.")
    words: str


class ForecastWeek(Wire):
    """Units of one week (or day, where the release forecasts days) by quantile level, ascending."""

    week: date
    quantiles: dict[str, float]
    drivers: list[WeekDriver] | None = Field(description="What moves this week's median; null where not asked.")


class SeriesForecast(Wire):
    """One series, earliest week first."""

    series_id: str
    title: str
    source: Source = Field(alias="from", description=FROM)
    category: str | None
    weeks: list[ForecastWeek]


class ForecastResponse(Wire):
    """In the order asked."""

    model_config = ConfigDict(json_schema_extra={"example": FORECAST_RESPONSE})

    forecasts: list[SeriesForecast]
    period_days: int = Field(description="7: weeks that begin on Mondays; 1: days.")
    release: str
    request_id: str


class Stockouts(Wire):
    """What is expected to be short in spite of the order."""

    units: float = Field(description="Short from this order's arrival to the next one's.")
    probability: float = Field(description="That stock does not last until the next order arrives.")
    units_before_arrival: float = Field(description="Short before this order arrives, whatever is ordered now.")


class OrderResponse(Wire):
    """A proposal, in units."""

    model_config = ConfigDict(json_schema_extra={"example": ORDER_RESPONSE})

    series_id: str
    title: str
    source: Source = Field(alias="from", description=FROM)
    order_quantity: float
    order_up_to: float = Field(description="Stock position that lasts lead time and review at the service level.")
    reorder_point: float = Field(description="Stock position at which to order before the next review.")
    expected_demand: float = Field(description="Over lead time and review period.")
    safety_stock: float = Field(description="order_up_to less expected_demand.")
    expected_stockouts: Stockouts
    service_level: float
    reason: str
    notes: list[str] = Field(description="What was assumed.")
    release: str
    request_id: str


def forecast_response(found: list[Forecast], release: str, request_id: str) -> dict[str, Any]:
    """ForecastResponse as plain values."""
    forecasts = [
        {
            "series_id": each.series_id,
            "title": each.title,
            "from": each.source,
            "category": each.category,
            "weeks": _weeks(each),
        }
        for each in found
    ]
    return {
        "forecasts": forecasts,
        "period_days": found[0].period_days,
        "release": release,
        "request_id": request_id,
    }


def order_response(
    found: Forecast, proposal: Proposal, notes: list[str], release: str, request_id: str
) -> dict[str, Any]:
    """OrderResponse as plain values."""
    units = ("order_quantity", "order_up_to", "reorder_point", "expected_demand", "safety_stock")
    return {
        "series_id": found.series_id,
        "title": found.title,
        "from": found.source,
        **{name: round(getattr(proposal, name), 2) for name in units},
        "expected_stockouts": {
            "units": round(proposal.short_units, 2),
            "probability": round(proposal.short_probability, 4),
            "units_before_arrival": round(proposal.lost_units, 2),
        },
        "service_level": round(proposal.service_level, 4),
        "reason": proposal.reason,
        "notes": notes,
        "release": release,
        "request_id": request_id,
    }


def _weeks(found: Forecast) -> list[dict[str, Any]]:
    names = [str(level) for level in found.quantiles]
    rounded, drivers = found.values.round(3).tolist(), found.drivers or [None] * len(found.weeks)
    return [
        {"week": week.isoformat(), "quantiles": dict(zip(names, values, strict=True)), "drivers": _said(why)}
        for week, values, why in zip(found.weeks, rounded, drivers, strict=True)
    ]


def _said(drivers: list[Driver] | None) -> list[dict[str, Any]] | None:
    if drivers is None:
        return None
    return [{"group": each.group, "units": round(each.units, 2), "words": each.words} for each in drivers]
