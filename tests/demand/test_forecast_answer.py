"""What a buyer is told: as planned, what if, of what is new, and of what the release does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.artifacts import seal, write_json
from components.core.bundle import FORMAT, load_bundle, read_bundle
from components.core.errors import DataError, ModelError, UnknownName
from components.core.model import make_model
from components.demand.answer import scope, targets
from components.demand.answer.ask import Forecast, ForecastAsk, NewProduct, OrderAsk, Planned
from components.demand.answer.drivers import Driver, Explained
from components.demand.answer.forecasts import Forecasts, request_milliseconds
from components.demand.answer.nearest import Names
from components.demand.answer.what_if import code_mix, planned, ranges_of
from components.demand.features.folds import pool_of
from components.demand.features.panel import Panel

Predict = Callable[[pl.DataFrame], pl.DataFrame]
Tables = tuple[pl.DataFrame, pl.DataFrame]
SECOND = date(2025, 7, 7)


@pytest.fixture(scope="module")
def forecasts(demand_tables: Tables, predict_demand: Predict) -> Forecasts:
    return Forecasts(
        predict_demand,
        *demand_tables,
        explain=lambda panel: [tuple([Driver("level", step, name)] for step in range(4)) for name in panel.series_ids],
    )


def one(forecasts: Forecasts, ask: ForecastAsk) -> Forecast:
    (found,) = forecasts.answer(ask)
    return found


def test_a_series_is_forecast_as_planned(forecasts: Forecasts) -> None:
    found = one(forecasts, ForecastAsk(("fruit-4",)))
    assert (found.series_id, found.title, found.source, found.category) == (
        "fruit-4", "Title of fruit-4", "series", "Fruit",
    )  # fmt: skip
    assert found.weeks == tuple(date(2025, 6, 30 + 0) if not n else date(2025, 7, 7 * n) for n in range(4))
    assert found.quantiles == (0.1, 0.5, 0.9)
    np.testing.assert_allclose(found.values, [[2, 4, 8]] * 4)


def test_each_series_is_answered_once_in_the_order_asked(forecasts: Forecasts) -> None:
    found = forecasts.answer(ForecastAsk(("bread-2", "fruit-1", "bread-2")))
    assert [each.series_id for each in found] == ["bread-2", "fruit-1"]


@settings(max_examples=50, deadline=None)
@given(
    levels=st.lists(st.sampled_from([0.1, 0.5, 0.9]) | st.floats(0.1, 0.9), min_size=1, max_size=9),
    horizon=st.integers(1, 4),
)
def test_any_level_within_those_trained_is_interpolated(
    forecasts: Forecasts, levels: list[float], horizon: int
) -> None:
    found = one(forecasts, ForecastAsk(("fruit-4",), horizon=horizon, quantiles=tuple(levels)))
    assert found.values.shape == (horizon, len(set(levels))) == (len(found.weeks), len(found.quantiles))
    assert (np.diff(found.values, axis=1) >= 0).all()
    for level, units in ((0.1, 2), (0.5, 4), (0.9, 8)):
        assert level not in levels or found.values[0][found.quantiles.index(level)] == pytest.approx(units)
    assert found.values.min() >= 2 - 1e-9 and found.values.max() <= 8 + 1e-9


def test_a_promotion_changes_its_week_and_series_only(forecasts: Forecasts) -> None:
    plan = Planned("fruit-4", SECOND, (("mailer", 0.5),))
    promoted, other = forecasts.answer(ForecastAsk(("fruit-4", "fruit-5"), promotions=(plan,)))
    np.testing.assert_allclose(promoted.values[:, 1], [4, 6, 4, 4])
    np.testing.assert_allclose(other.values[:, 1], [5, 5, 5, 5])
    np.testing.assert_allclose(one(forecasts, ForecastAsk(("fruit-4",))).values[:, 1], [4, 4, 4, 4])


def test_what_is_planned_as_it_is_changes_nothing(forecasts: Forecasts) -> None:
    plan = Planned("fruit-4", SECOND, (("mailer", 0.0), ("display", 0.0), ("campaign", 0.0)))
    same = one(forecasts, ForecastAsk(("fruit-4",), promotions=(plan,)))
    np.testing.assert_array_equal(same.values, one(forecasts, ForecastAsk(("fruit-4",))).values)


def test_the_later_of_two_plans_counts(forecasts: Forecasts) -> None:
    plans = tuple(Planned("fruit-4", SECOND, (("mailer", share),)) for share in (1.0, 0.25))
    assert one(forecasts, ForecastAsk(("fruit-4",), promotions=plans)).values[1, 1] == 5


def test_a_placement_takes_its_usual_codes_along_and_a_code_its_placement(demand_tables: Tables) -> None:
    """Models learned from weeks in which a placement is the sum of its codes; a plan must look like those."""
    queries = demand_tables[0][:2]
    assert code_mix(queries) == {"display_7": 1.0, "display_9": 0.0}
    found = planned(queries, [{1: {"display": 0.8}}, {2: {"display_9": 0.6}}], code_mix(queries))
    future = {name: found[f"known_{name}"].list.slice(10).to_list() for name in ("display", "display_7", "display_9")}
    np.testing.assert_allclose([values[0][1] for values in future.values()], [0.8, 0.8, 0.0], rtol=1e-6)
    np.testing.assert_allclose([values[1][2] for values in future.values()], [0.6, 0.0, 0.6], rtol=1e-6)
    for name in ("known_mailer", "known_display_rivals"):
        assert found[name].to_list() == queries[name].to_list()


def test_a_future_of_which_nothing_was_said_can_be_planned(demand_tables: Tables) -> None:
    found = planned(demand_tables[0][:1], [{3: {"campaign": 0.4}}], {})
    assert found["known_campaign"].list.slice(10).to_list()[0] == [None, None, None, pytest.approx(0.4)]


def test_a_new_product_is_forecast_from_its_category(forecasts: Forecasts) -> None:
    """As one of its products, which sell 1 to 8 units a week: wider than the mean of them would be."""
    found = one(forecasts, ForecastAsk(new_products=(NewProduct("n1", "fRuit", "Dragon fruit"),)))
    assert (found.series_id, found.title, found.source, found.category) == ("n1", "Dragon fruit", "category", "Fruit")
    low, middle, high = found.values[0]
    assert low < 4.5 / 2 and 3 < middle < 6 and high > 9.5
    promoted = ForecastAsk(
        new_products=(NewProduct("n1", "Fruit"),), promotions=(Planned("n1", SECOND, (("mailer", 1.0),)),)
    )
    np.testing.assert_allclose(one(forecasts, promoted).values, found.values * [[1], [2], [1], [1]])


def test_a_small_category_has_its_own_level_and_the_spread_of_all(forecasts: Forecasts) -> None:
    fruit, bread = (
        one(forecasts, ForecastAsk(new_products=(NewProduct("n1", name),))).values[0] for name in ("Fruit", "Bread")
    )
    np.testing.assert_allclose(bread / bread[1], fruit / fruit[1])
    assert 25 < bread[1] < 50


def test_a_category_of_which_nothing_else_is_known_is_forecast_as_its_mean(
    demand_tables: Tables, predict_demand: Predict
) -> None:
    queries, categories = demand_tables
    alone = Forecasts(predict_demand, queries.unique("category", keep="first", maintain_order=True), categories)
    found = one(alone, ForecastAsk(new_products=(NewProduct("n1", "Bread"),)))
    np.testing.assert_allclose(found.values[0], [20, 40, 80])


def test_a_new_product_that_is_none_keeps_its_history(forecasts: Forecasts) -> None:
    found = one(forecasts, ForecastAsk(new_products=(NewProduct("fruit-4", "Bread"),)))
    assert (found.source, found.category) == ("series", "Fruit")


def test_a_series_that_no_model_can_forecast_falls_back_to_its_category(forecasts: Forecasts) -> None:
    found = one(forecasts, ForecastAsk(("silent-bread",)))
    assert (found.source, found.title, found.values[0, 1]) == (
        "category",
        "Title of silent-bread",
        pytest.approx(40, rel=0.3),
    )
    with pytest.raises(DataError, match=r"series\.0: no model .*'silent-alone'"):
        forecasts.answer(ForecastAsk(("silent-alone",)))


def test_unknown_names_are_told_the_nearest(forecasts: Forecasts) -> None:
    with pytest.raises(UnknownName, match=r"series\.1: no series 'friut-4'.*fruit-4 \(Title of fruit-4\)") as unknown:
        forecasts.answer(ForecastAsk(("fruit-1", "friut-4")))
    assert unknown.value.nearest[0] == ("fruit-4", "Title of fruit-4")
    with pytest.raises(UnknownName, match=r"new_products\.0\.category: .*nearest are Bread"):
        forecasts.answer(ForecastAsk(new_products=(NewProduct("n1", "Braed"),)))
    with pytest.raises(UnknownName, match="it knows such as fruit-1"):
        forecasts.answer(ForecastAsk(("?",)))


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (ForecastAsk(), "series: expected at least one"),
        (ForecastAsk(("fruit-1",), horizon=5), "horizon: expected at most 4.*got 5"),
        (ForecastAsk(("fruit-1",), quantiles=(0.5, 0.95)), r"quantiles: expected levels from 0\.1 to 0\.9.*got 0\.95"),
        (
            ForecastAsk(("fruit-1",), promotions=(Planned("fruit-2", SECOND, ()),)),
            r"promotions\.0\.series_id: 'fruit-2' is not asked for",
        ),
        (
            ForecastAsk(("fruit-1",), promotions=(Planned("fruit-1", date(2025, 7, 8), (("mailer", 1.0),)),)),
            r"promotions\.0\.week: expected .*2025-07-07.* got 2025-07-08",
        ),
        (
            ForecastAsk(("fruit-1",), promotions=(Planned("fruit-1", SECOND, (("price", 1.0),)),)),
            r"promotions\.0: no covariate 'price' is known.*mailer",
        ),
        (
            ForecastAsk(("fruit-1",), promotions=(Planned("fruit-1", SECOND, (("display_7", 1.5),)),)),
            r"promotions\.0\.display_7: expected a share.*got 1\.5",
        ),
        (
            ForecastAsk(("fruit-1",), promotions=(Planned("fruit-1", SECOND, (("campaign", -1.0),)),)),
            r"promotions\.0\.campaign: expected a share, 0 to 1, got -1",
        ),
    ],
)
def test_what_cannot_be_answered_says_what_can(forecasts: Forecasts, ask: ForecastAsk, said: str) -> None:
    with pytest.raises(DataError, match=said):
        forecasts.answer(ask)


def with_known(frame: pl.DataFrame, name: str, values: list[float]) -> pl.DataFrame:
    column = pl.Series(f"known_{name}", [values] * frame.height, dtype=pl.List(pl.Float32))
    return frame.with_columns(column)


def test_a_temperature_may_be_below_zero_but_not_beyond_reason(demand_tables: Tables, predict_demand: Predict) -> None:
    queries, categories = (with_known(frame, "temperature", [12.0, 20.0] * 7) for frame in demand_tables)
    assert ranges_of(queries)["temperature"] == (12.0, 20.0)
    forecasts = Forecasts(predict_demand, queries, categories)

    def planned_at(value: float, name: str = "temperature") -> Forecast:
        plan = Planned("fruit-4", SECOND, ((name, value),))
        return one(forecasts, ForecastAsk(("fruit-4",), promotions=(plan,)))

    assert planned_at(-5.0).values[1, 1] == 4
    for value in (1e6, 1e39, -1e39, float("nan")):
        with pytest.raises(DataError, match=r"promotions\.0\.temperature: expected -188 to 220 where .* has 12 to 20"):
            planned_at(value)
    with pytest.raises(DataError, match=r"campaign: expected a share, 0 to 1, got 1\.5"):
        planned_at(1.5, "campaign")


def test_a_shop_without_placements_can_plan_what_it_knows(demand_tables: Tables, predict_demand: Predict) -> None:
    placed = pl.selectors.starts_with("known_display") | pl.selectors.starts_with("known_mailer_")
    queries, categories = (with_known(frame.drop(placed), "holiday", [0.0] * 14) for frame in demand_tables)
    assert code_mix(queries.drop("known_mailer")) == {}
    forecasts = Forecasts(predict_demand, queries, categories)
    plan = Planned("fruit-4", SECOND, (("holiday", 1.0), ("mailer", 1.0)))
    assert one(forecasts, ForecastAsk(("fruit-4",), promotions=(plan,))).values[1, 1] == 8
    only = planned(queries[:2].drop("known_mailer"), [{1: {"holiday": 1.0}}, {}], {})
    assert only["known_holiday"].list.slice(10).to_list() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def test_what_float32_makes_infinite_is_refused_whatever_the_history(
    demand_tables: Tables, predict_demand: Predict
) -> None:
    queries, categories = (with_known(frame, "amount", [3e38] * 10) for frame in demand_tables)
    forecasts = Forecasts(predict_demand, queries, categories)
    plan = Planned("fruit-4", SECOND, (("amount", 1e39),))
    with pytest.raises(DataError, match=r"promotions\.0\.amount"):
        forecasts.answer(ForecastAsk(("fruit-4",), promotions=(plan,)))


def test_long_names_are_cut_where_they_are_repeated(forecasts: Forecasts) -> None:
    long = "x" * 5000
    plan = Planned("fruit-1", SECOND, ((long, 1.0),))
    for ask in (
        ForecastAsk((long,)),
        ForecastAsk(new_products=(NewProduct("n1", long),)),
        ForecastAsk(("fruit-1",), promotions=(plan,)),
        ForecastAsk(("fruit-1",), promotions=(replace(plan, series_id=long),)),
    ):
        with pytest.raises(DataError, match=r"x{60}\.\.\.") as refused:
            forecasts.answer(ask)
        assert "x" * 61 not in str(refused.value)


def test_an_answer_has_bounds(forecasts: Forecasts, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"fruit-{number}" for number in range(1, 4))
    monkeypatch.setattr(scope, "MOST_EXPLAINED", 2)
    assert len(forecasts.answer(ForecastAsk(names[:2], explain=True))) == 2
    with pytest.raises(DataError, match=r"explain: expected at most 2 series .* got 3"):
        forecasts.answer(ForecastAsk(names, explain=True))
    monkeypatch.setattr(scope, "MOST_NUMBERS", 35)
    with pytest.raises(DataError, match=r"series: expected at most 35 numbers .* 3 series of 4 periods and 3 levels"):
        forecasts.answer(ForecastAsk(names))
    monkeypatch.setattr(targets, "MOST", 2)
    with pytest.raises(DataError, match="series: expected at most 2 in one request"):
        forecasts.answer(ForecastAsk(names))


def test_only_short_answers_that_lie_ready_are_quick(forecasts: Forecasts, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = ForecastAsk(("fruit-1", "fruit-2"))
    assert forecasts.is_quick(ask)
    assert not forecasts.is_quick(replace(ask, explain=True))
    assert not forecasts.is_quick(replace(ask, promotions=(Planned("fruit-1", SECOND, (("mailer", 1.0),)),)))
    monkeypatch.setattr("components.demand.answer.forecasts.QUICK_NUMBERS", 23)
    assert not forecasts.is_quick(ask)
    assert forecasts.is_quick(replace(ask, quantiles=(0.5, 0.6)))


def test_drivers_of_several_series_are_asked_for_at_once(demand_tables: Tables, predict_demand: Predict) -> None:
    asked: list[list[str]] = []

    def noted(panel: Panel) -> list[Explained]:
        asked.append(panel.series_ids)
        return [tuple([Driver("level", 0.0, name)] for _ in range(4)) for name in panel.series_ids]

    forecasts = Forecasts(predict_demand, *demand_tables, explain=noted)
    found = forecasts.answer(ForecastAsk(("bread-1", "silent-bread", "fruit-1"), explain=True))
    assert asked == [["bread-1", "fruit-1"]]
    words = [each.drivers[0][0].words for each in found if each.drivers]
    assert words[0::2] == ["bread-1", "fruit-1"] and words[1].startswith("a usual product of Bread")


def test_a_category_that_nothing_can_forecast_is_refused(demand_tables: Tables, predict_demand: Predict) -> None:
    """As what was NaN in the answer, it failed only when the answer was written."""
    queries, categories = demand_tables
    nothing = Forecasts(lambda asked: predict_demand(asked).clear(), queries, categories)
    new = NewProduct("n1", "Fruit")
    with pytest.raises(DataError, match=r"new_products\.0\.category: no model .* 'n1', nor its category 'Fruit'"):
        nothing.answer(ForecastAsk(new_products=(new,)))
    with pytest.raises(DataError, match=r"^category: no model"):
        nothing.order(OrderAsk("n1", 0, 7, new_product=new))
    with pytest.raises(DataError, match=r"series\.0: no model .* 'fruit-1'"):
        nothing.answer(ForecastAsk(("fruit-1",)))


def test_a_product_of_the_catalogue_without_a_series_is_forecast_from_its_category(
    demand_tables: Tables, predict_demand: Predict
) -> None:
    rows = [("k1", "Kiwi", "Fruit"), ("k2", None, "Bread"), ("k3", "Nail", "Tools"), ("fruit-1", "Old", "Bread")]
    catalogue = pl.DataFrame(rows, schema=["product_id", "title", "category"], orient="row")
    forecasts = Forecasts(predict_demand, *demand_tables, catalogue=catalogue)
    kiwi, second, known = forecasts.answer(ForecastAsk(("k1", "k2", "fruit-1")))
    assert (kiwi.series_id, kiwi.title, kiwi.source, kiwi.category) == ("k1", "Kiwi", "category", "Fruit")
    assert (second.title, second.category, known.source) == ("k2", "Bread", "series")
    new = one(forecasts, ForecastAsk(new_products=(NewProduct("k1", "Fruit"),)))
    assert new.title == "Kiwi"
    np.testing.assert_array_equal(kiwi.values, new.values)
    found, _, notes = forecasts.order(OrderAsk("k1", 0, 7))
    assert found.source == "category" and "sell like a product of Fruit" in notes[0]
    with pytest.raises(UnknownName, match=r"series\.0: no series 'k3'"):
        forecasts.answer(ForecastAsk(("k3",)))


def test_drivers_are_those_of_what_was_asked(forecasts: Forecasts, demand_tables: Tables) -> None:
    ask = ForecastAsk(("fruit-2", "silent-bread"), horizon=2, explain=True)
    fruit, bread = forecasts.answer(ask)
    assert fruit.drivers == tuple([Driver("level", step, "fruit-2")] for step in range(2))
    assert bread.drivers is not None and bread.drivers[0][0].words.startswith("a usual product of Bread sells about ")
    plan = Planned("silent-bread", SECOND, (("mailer", 1.0),))
    promoted = one(forecasts, replace(ask, series=("silent-bread",), promotions=(plan,)))
    assert [[each.group for each in week] for week in promoted.drivers or ()] == [["level"], ["level", "promotion"]]
    assert sum(each.units for each in (promoted.drivers or ())[1]) == pytest.approx(promoted.values[1, 1])
    assert one(forecasts, replace(ask, series=("fruit-2",), explain=False)).drivers is None


def test_a_release_that_cannot_tell_drivers_says_so(demand_tables: Tables, predict_demand: Predict) -> None:
    plain = Forecasts(predict_demand, *demand_tables)
    with pytest.raises(DataError, match="explain: "):
        plain.answer(ForecastAsk(("fruit-2",), explain=True))


def test_models_are_asked_only_for_what_is_planned_differently(demand_tables: Tables, predict_demand: Predict) -> None:
    asked: list[list[str]] = []

    def noted(queries: pl.DataFrame) -> pl.DataFrame:
        asked.append(queries["series_id"].to_list())
        return predict_demand(queries)

    forecasts = Forecasts(noted, *demand_tables)
    asked.clear()
    forecasts.answer(ForecastAsk(("fruit-1", "fruit-2")))
    assert asked == []
    what_if = ForecastAsk(("fruit-1", "fruit-2"), promotions=(Planned("fruit-2", SECOND, (("mailer", 1.0),)),))
    forecasts.answer(what_if)
    forecasts.answer(what_if)
    assert asked == [["fruit-2"]], "and what was asked once is remembered"


def test_a_model_that_falls_silent_is_no_forecast(demand_tables: Tables, predict_demand: Predict) -> None:
    forecasts = Forecasts(predict_demand, *demand_tables)
    forecasts._predict = lambda queries: predict_demand(queries).clear()
    assert one(forecasts, ForecastAsk(("fruit-1",))).values[0, 1] == 1
    with pytest.raises(ModelError, match="ask without promotions"):
        forecasts.answer(ForecastAsk(("fruit-1",), promotions=(Planned("fruit-1", SECOND, (("mailer", 1.0),)),)))


def test_what_lies_ready_is_not_computed_again(demand_tables: Tables, predict_demand: Predict, tmp_path: Path) -> None:
    Forecasts(predict_demand, *demand_tables).save(tmp_path)
    stored = {whose: np.load(tmp_path / "forecasts" / f"{whose}.npy") for whose in ("series", "category")}
    again = Forecasts(lambda _: pytest.fail("nothing is to be computed"), *demand_tables, ready=stored)  # type: ignore[arg-type]
    np.testing.assert_allclose(one(again, ForecastAsk(("fruit-4",))).values, [[2, 4, 8]] * 4)


def test_a_product_stands_for_all_its_series(demand_tables: Tables, predict_demand: Predict) -> None:
    queries = demand_tables[0].with_columns(product_id=pl.lit("p") + pl.col("series_id").str.slice(0, 5))
    forecasts = Forecasts(predict_demand, queries, demand_tables[1])
    assert [each.series_id for each in forecasts.answer(ForecastAsk(("pbread",)))] == ["bread-1", "bread-2"]
    new = forecasts.answer(ForecastAsk(new_products=(NewProduct("pbread", "Fruit"),)))
    assert [(each.series_id, each.source) for each in new] == [("bread-1", "series"), ("bread-2", "series")]
    plan = Planned("pbread", SECOND, (("mailer", 1.0),))
    promoted = forecasts.answer(ForecastAsk(("pbread",), promotions=(plan,)))
    assert [each.values[1, 1] for each in promoted] == [60, 100]
    with pytest.raises(DataError, match=r"series_id: expected one series, got a product of 2.*bread-1, bread-2"):
        forecasts.order(OrderAsk("pbread", on_hand=0, lead_time_days=1))


def test_an_order_follows_the_forecast_and_its_promotion(forecasts: Forecasts) -> None:
    ask = OrderAsk("bread-1", on_hand=20, on_order=10, lead_time_days=7)
    found, proposal, notes = forecasts.order(ask)
    assert (found.series_id, proposal.service_level, notes) == ("bread-1", 0.95, [])
    assert 60 < proposal.expected_demand < proposal.order_up_to
    assert proposal.order_quantity == np.ceil(proposal.order_up_to - 30)
    promoted = replace(ask, promotions=(Planned("bread-1", SECOND, (("mailer", 1.0),)),))
    assert forecasts.order(promoted)[1].expected_demand == pytest.approx(1.5 * proposal.expected_demand, rel=0.01)


def test_an_order_by_costs_and_of_a_new_product(forecasts: Forecasts) -> None:
    assert forecasts.order(OrderAsk("bread-1", 0, 7, costs=(1.0, 4.0)))[1].service_level == 0.8
    new = OrderAsk("n1", 0, 7, new_product=NewProduct("n1", "Bread"))
    found, proposal, notes = forecasts.order(new)
    assert found.source == "category" and "sell like a product of Bread" in notes[0]
    assert proposal.order_quantity > 80


def test_an_order_beyond_the_forecast_says_so(forecasts: Forecasts) -> None:
    found, proposal, notes = forecasts.order(OrderAsk("bread-1", 0, lead_time_days=28))
    assert "the release forecasts 28 days; from 2025-07-28 on" in notes[0]
    within, _, _ = forecasts.order(OrderAsk("bread-1", 0, lead_time_days=21))[1], found, proposal
    assert proposal.expected_demand == pytest.approx(within.expected_demand * 5 / 4, rel=0.01)


def test_an_order_of_a_later_day_leaves_out_what_was_sold_until_then(forecasts: Forecasts) -> None:
    plan = (Planned("bread-1", SECOND, (("mailer", 1.0),)),)
    early, late = (forecasts.order(OrderAsk("bread-1", 0, 0, day=day, promotions=plan))[1] for day in (None, SECOND))
    assert late.expected_demand == pytest.approx(2 * early.expected_demand, rel=0.01)
    for day in (date(2025, 6, 29), date(2025, 7, 28)):
        with pytest.raises(DataError, match=r"day: expected one from 2025-06-30 on and before 2025-07-28"):
            forecasts.order(OrderAsk("bread-1", 0, 0, day=day))


def test_names_are_found_in_spite_of_slips() -> None:
    names = Names(["1", "2", "3", "40017"], ["Bananas 40 lb", "Fluid milk white only", "Milk chocolate", "Soap"])
    assert names.nearest("bannanas")[0][0] == "1"
    assert names.nearest("FLUID MLIK")[0][0] == "2"
    assert names.nearest("40071")[0][0] == "40017"
    assert names.nearest("zzzz") == names.nearest("") == []


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, demand_tables: Tables) -> Path:
    """A bundle with one real model, as the stage `package` writes it."""
    folder = tmp_path_factory.mktemp("sealed")
    values = {"n_trees": 8, "min_rows_per_leaf": 1, "min_history": 4}
    train = demand_tables[0].filter(~pl.col("series_id").str.starts_with("silent"))
    make_model("demand", "gbm", values).fit(train).save(folder / "members" / "gbm")
    manifest = {"format": FORMAT, "application": "demand", "shipped": {"name": "gbm", "kind": "single"}}
    manifest |= {"members": ["gbm"], "params": {"order": {"service_level": 0.9}}}
    write_json(folder / "manifest.json", manifest)
    for name, frame in zip(("queries", "categories"), demand_tables, strict=True):
        frame.write_parquet(folder / f"{name}.parquet")
    Forecasts.of(read_bundle(folder)).save(folder)
    seal(folder)
    return folder


def test_a_sealed_bundle_answers_as_its_model_forecasts(sealed: Path, demand_tables: Tables) -> None:
    forecasts = Forecasts.load(sealed)
    expected = load_bundle(sealed).predict(demand_tables[0], pool_of(demand_tables[0]))
    said = expected.filter(pl.col("query") == 3).sort("week", "quantile")["score"].to_numpy().reshape(4, 3)
    np.testing.assert_allclose(one(forecasts, ForecastAsk(("fruit-4",))).values, said)
    again = Planned("fruit-4", SECOND, (("mailer", 0.0),))
    np.testing.assert_allclose(one(forecasts, ForecastAsk(("fruit-4",), promotions=(again,))).values, said)
    drivers = one(forecasts, ForecastAsk(("fruit-4",), explain=True)).drivers
    assert drivers is not None and [each[0].group for each in drivers] == ["level"] * 4
    assert forecasts.order(OrderAsk("fruit-4", 0, 7))[1].service_level == 0.9
    assert 0 < request_milliseconds(forecasts, 3) < 5_000
