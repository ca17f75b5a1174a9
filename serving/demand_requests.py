"""What is asked about demand over the wire, with examples."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Self

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from components.demand.answer.ask import ForecastAsk, NewProduct, OrderAsk, Planned
from components.demand.answer.order import MOST_SERVICE
from serving.schemas import Name, Names, Wire

Number = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Level = Annotated[float, Field(gt=0, lt=1)]
Cost = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]

FORECASTS: dict[str, dict[str, Any]] = {
    "two series": {"series": ["1082185", "995242"]},
    "what if it were in the mailer": {
        "series": ["1082185"],
        "promotions": [{"series_id": "1082185", "week": "2018-01-08", "mailer": 0.9}],
        "quantiles": [0.1, 0.25, 0.5, 0.75, 0.9],
    },
    "a new product, and why": {
        "new_products": [{"product_id": "new-1", "category": "TROPICAL FRUIT", "title": "Red bananas"}],
        "horizon": 2,
    },
}
ORDERS: dict[str, dict[str, Any]] = {
    "by service level": {"series_id": "1082185", "on_hand": 400, "lead_time_days": 10, "pack_size": 40},
    "by costs": {
        "series_id": "1082185",
        "on_hand": 400,
        "on_order": 120,
        "lead_time_days": 3,
        "costs": {"too_much": 0.2, "too_little": 0.8},
    },
}


class Promotion(Wire):
    """What is planned for a series in one week, in place of what the release knows.

    Any covariate known in advance may be named, such as `campaign` or one code of a placement (`display_7`).
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]

    series_id: Name = Field(validation_alias=AliasChoices("series_id", "product_id"))
    week: date = Field(description="First day of a forecast week.")
    mailer: Share | None = Field(None, description="Share of stores with the product in the mailer.")
    display: Share | None = Field(None, description="Share of stores that display it.")

    def planned(self) -> Planned:
        """The same without its wire format."""
        placed = {name: value for name in ("mailer", "display") if (value := getattr(self, name)) is not None}
        return Planned(self.series_id, self.week, tuple((placed | self.__pydantic_extra__).items()))


Promotions = Annotated[list[Promotion], Field(max_length=500)]


class Newcomer(Wire):
    """A product without a history; it is forecast from its category."""

    product_id: Name
    category: Name = Field(description="As in the catalogue, in any case.")
    title: Name | None = None

    def product(self) -> NewProduct:
        """The same without its wire format."""
        return NewProduct(self.product_id, self.category, self.title)


class ForecastRequest(Wire):
    """At least one series or new product."""

    model_config = ConfigDict(json_schema_extra={"example": FORECASTS["two series"]})

    series: Names = Field(
        default=[],
        validation_alias=AliasChoices("series", "product_ids"),
        description="Ids of series or products; a product stands for all its series.",
    )
    new_products: Annotated[list[Newcomer], Field(max_length=100)] = Field(
        default=[], description="Products without a history."
    )
    horizon: int | None = Field(None, ge=1, description="Periods ahead; by default as many as the release can.")
    quantiles: Annotated[list[Level], Field(max_length=99)] | None = Field(
        None, description="Levels within those that were trained."
    )
    promotions: Promotions = Field(default=[], description="What if: overrides what is known to be planned.")
    explain: bool = Field(False, description="Say what moves each forecast.")

    def ask(self) -> ForecastAsk:
        """The request without its wire format."""
        return ForecastAsk(
            tuple(self.series),
            tuple(each.product() for each in self.new_products),
            self.horizon,
            tuple(self.quantiles) if self.quantiles else None,
            tuple(each.planned() for each in self.promotions),
            self.explain,
        )


class Costs(Wire):
    """What a wrong order costs per unit, in any one currency."""

    too_much: Cost = Field(description="A unit left over when the next order arrives.")
    too_little: Cost = Field(description="A unit short.")


class OrderRequest(Wire):
    """Stock and terms of one series. A service level, or costs, or neither: then the shop's own level."""

    model_config = ConfigDict(json_schema_extra={"example": ORDERS["by service level"]})

    series_id: Name = Field(validation_alias=AliasChoices("series_id", "product_id"))
    on_hand: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)] = Field(
        description="Units in stock; below 0 where more are promised than there are."
    )
    on_order: Amount = Field(0.0, description="Units ordered earlier that arrive within the lead time.")
    lead_time_days: float = Field(ge=0, le=365, description="From the order to its arrival.")
    review_days: float | None = Field(
        None, gt=0, le=182, description="Until the next look at the stock; by default the shop's own."
    )
    service_level: float | None = Field(
        None, gt=0, le=MOST_SERVICE, description="Chance that stock lasts until the next order arrives."
    )
    costs: Costs | None = Field(None, description="Decide the service level: too_little / (too_little + too_much).")
    pack_size: float = Field(1.0, ge=0.001, le=1e6, description="Units that are ordered together.")
    minimum_order: Amount = Field(0.0, description="Least units of an order, where one is placed.")
    day: date | None = Field(None, description="Day of the order; by default the first one after the data.")
    category: Name | None = Field(None, description="Of a product without a history, to order by its category.")
    title: Name | None = Field(None, description="Of a product without a history.")
    promotions: Promotions = Field(default=[], description="What if: overrides what is known to be planned.")

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if self.service_level is not None and self.costs is not None:
            raise ValueError("expected service_level or costs, but not both")
        return self

    def ask(self) -> OrderAsk:
        """The request without its wire format."""
        new = NewProduct(self.series_id, self.category, self.title) if self.category is not None else None
        return OrderAsk(
            series_id=self.series_id,
            on_hand=self.on_hand,
            lead_time_days=self.lead_time_days,
            on_order=self.on_order,
            review_days=self.review_days,
            service_level=self.service_level,
            costs=(self.costs.too_much, self.costs.too_little) if self.costs else None,
            pack_size=self.pack_size,
            minimum_order=self.minimum_order,
            day=self.day,
            new_product=new,
            promotions=tuple(each.planned() for each in self.promotions),
        )
