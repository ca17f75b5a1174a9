"""The duel of demand a month later: a live release made from other codes is scored on the candidate's rows."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from components import releases, sealed
from components.core.application import load_application
from components.core.artifacts import seal, write_json
from components.core.bundle import FORMAT
from components.core.errors import DataError, ReleaseRefused
from components.core.model import make_model
from components.demand.features.folds import featurise
from components.demand.recode import recode
from flows.duel import Rows
from flows.release import release

START = datetime(2025, 1, 6, tzinfo=UTC)  # a Monday
N_PRODUCTS, MONTH, LATER = 24, 30, 34  # weeks of data when the first and the second release were made
GBM = {"n_trees": 40, "n_bags": 1, "min_rows_per_leaf": 5, "min_history": 4}
PLACED = ("product_id", "week", "store_id", "mailer", "display")
GATES = "{wql_floor: 2, against_floors: 5, coverage: [0, 1], class_coverage: [0, 1], coverage_slack: 1, bias: 1, "
GATES += "ms_per_query: 1000}"


def tables(weeks: int, rare: str) -> dict[str, pl.DataFrame]:
    """A shop where mailer A triples sales and the mailer `rare` does nothing; product 99 is new in week 27.

    The newcomer's category and brand sort before all others, so that their codes move by one.
    """
    random = np.random.default_rng(0)
    codes = random.choice(["A", "rare", ""], (LATER + 2, N_PRODUCTS + 1), p=[0.25, 0.1, 0.65])
    sold = random.poisson(np.geomspace(8, 150, N_PRODUCTS + 1) * np.where(codes == "A", 3, 1))
    ids, lines, placed = [*[f"{number:02}" for number in range(N_PRODUCTS)], "99"], [], []
    for (week, number), code in np.ndenumerate(codes):
        begins = START + timedelta(weeks=week)
        if week < weeks and (ids[number] != "99" or week >= 27):
            lines.append((ids[number], begins + timedelta(days=2), float(sold[week, number]), 2.0))
        if week < weeks + 2 and code:
            placed.append((ids[number], begins.date(), "1", {"rare": rare}.get(code, code), None))
    groups = [*(f"C {number % 4}" for number in range(N_PRODUCTS)), "A new one"]
    products = pl.DataFrame({"product_id": ids, "title": ids, "category": groups, "department": "D", "brand": groups})
    return {
        "transactions": pl.DataFrame(lines, ["product_id", "at", "quantity", "amount"], orient="row"),
        "products": products,
        "promotions": pl.DataFrame(placed, dict.fromkeys(PLACED, pl.String) | {"week": pl.Date}, orient="row"),
    }


def featurised(out: Path, weeks: int, rare: str, **features: Any) -> Path:
    split = {"horizon": 2, "origins": 1, "oof_folds": 1, "min_history": 6}
    lazy = {name: table.lazy() for name, table in tables(weeks, rare).items()}
    featurise(lazy, (START + timedelta(weeks=weeks)).isoformat(), {"split": split, "features": features}, out)
    return out


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Features of the first release's data and of the second's."""
    root = tmp_path_factory.mktemp("months")
    return featurised(root / "first", MONTH, "B"), featurised(root / "second", LATER, "C")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Path:
    """A project in which only the release is left to do; bounds that all but nonsense keeps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.setenv("SHOP_DATA", str(tmp_path / "data"))
    (tmp_path / "params.yaml").write_text(f"demand:\n  gates: {GATES}\n")
    return tmp_path


def package(shop: Path, features: Path, model: str, **values: Any) -> str:
    """A bundle of one model on these features, as the stage package writes it; returns the version it will have."""
    folder = shop / "data" / "demand"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "features").symlink_to(features)
    bundle, train = folder / "bundle", pl.read_parquet(features / "test" / "train.parquet")
    make_model("demand", model, values).fit(train).save(bundle / "members" / model)
    shipped = {"name": model, "kind": "single", "reason": "test"}
    manifest = {"format": FORMAT, "application": "demand", "shipped": shipped, "members": [model], "params": {}}
    write_json(bundle / "manifest.json", manifest | {"as_of": "2025-09-01T00:00:00+00:00"})
    load_application("demand").package(features, bundle)
    seal(bundle)
    return sealed.version_of(bundle)


def verdict_of(shop: Path, version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shop / "shop" / "verdicts" / "demand" / f"{version}.json").read_text())
    return found


def test_the_live_release_is_scored_on_a_month_more_with_other_codes(shop: Path, months: tuple[Path, Path]) -> None:
    first = package(shop, months[0], "gbm", **GBM)
    assert release("demand", "first").version == first

    worse = package(shop, months[1], "moving_average")
    with pytest.raises(ReleaseRefused, match=rf"{worse} is refused, release {first} stays live: wql .* worse than the"):
        release("demand", "a month later")
    verdict = verdict_of(shop, worse)
    assert releases.live("demand") == first and not any("only the floors" in reason for reason in verdict["reasons"])
    assert verdict["champion"]["wql"] < 0.7 * verdict["candidate"]["wql"], "it knows what a mailer does"
    assert verdict["difference"]["low"] > 0

    again = package(shop, months[1], "gbm", **GBM)
    assert release("demand", "fitted anew").version == again
    verdict = verdict_of(shop, again)
    assert verdict["champion"]["wql"] == pytest.approx(verdict["candidate"]["wql"], rel=0.25)
    assert any(reason.startswith("wql") and "against the live" in reason for reason in verdict["reasons"])
    assert "off_policy: says nothing: no logged propensities" in verdict["reasons"] and not verdict["opinion"]["vetoes"]


def test_a_live_release_of_other_quantiles_is_said_and_bars_nothing(
    shop: Path, months: tuple[Path, Path], tmp_path: Path
) -> None:
    package(shop, months[0], "gbm", **GBM)
    first = release("demand", "first").version
    other = featurised(tmp_path / "features", LATER, "C", quantiles=[0.2, 0.5, 0.8])
    version = package(shop, other, "moving_average")
    assert release("demand", "other quantiles").version == version
    reasons = verdict_of(shop, version)["reasons"]
    told = [reason for reason in reasons if first in reason]
    assert told and r"expected quantiles [0.1, 0.5, 0.9], which it was trained for, got [0.2, 0.5, 0.8]" in told[0]
    assert "only the floors spoke" in told[0]


@pytest.fixture
def bundles(months: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Folders that hold of a bundle only what tells its codes."""
    found = []
    for number, features in enumerate(months):
        found.append(tmp_path / str(number))
        found[-1].mkdir()
        shutil.copy(features / "now" / "queries.parquet", found[-1])
    return found[0], found[1]


def test_the_data_of_the_two_months_differ_in_codes_and_covariates(months: tuple[Path, Path]) -> None:
    first, second = (Rows.of(features).queries for features in months)
    assert "known_mailer_B" in first.columns and "known_mailer_C" in second.columns
    assert "known_mailer_C" not in first.columns and "known_mailer_B" not in second.columns
    codes = [dict(frame.select("category", "static_category").iter_rows()) for frame in (first, second)]
    assert codes[1]["C 0"] == codes[0]["C 0"] + 1


def test_rows_in_other_terms_become_those_that_were_learned_from(
    months: tuple[Path, Path], bundles: tuple[Path, Path]
) -> None:
    """Everything is told by name, so what another month's featurise would have written is undone exactly."""
    rows = Rows.of(months[0])
    turned = rows.queries.with_columns(
        static_category=3 - pl.col("static_category"), known_heat=pl.col("known_mailer"), static_brand=pl.lit(7)
    )
    lacking = [name for name in reversed(turned.columns) if name not in ("known_mailer_B", "past_price")]
    pool = rows.pool.drop("known_mailer_B").with_columns(known_heat=pl.lit(1.0))
    queries, features, back = recode(bundles[1], bundles[0], turned.select(lacking), pool)
    told = [name for name in rows.queries.columns if name.startswith(("known_", "past_"))]
    assert [name for name in queries.columns if name.startswith(("known_", "past_"))] == told
    spared = [name for name in rows.queries.columns if name in lacking]
    assert_frame_equal(queries.select(spared), rows.queries.select(spared))
    both = queries.join(rows.queries, on="query", suffix="_before")
    for name, nothing in (("known_mailer_B", 0.0), ("past_price", None)):
        assert both[name].list.len().equals(both[f"{name}_before"].list.len())
        assert both[name].explode().unique().to_list() == [nothing]
    assert features["known_mailer_B"].unique().to_list() == [0.0]
    assert_frame_equal(features.select(pool.columns), pool)
    assert back(features) is features


def test_a_word_that_a_release_never_met_is_unknown_to_it(
    months: tuple[Path, Path], bundles: tuple[Path, Path]
) -> None:
    later = Rows.of(months[1])
    queries, _, _ = recode(bundles[1], bundles[0], later.queries, later.pool)
    codes = dict(queries.select("category", "static_category").iter_rows())
    assert codes == {"A new one": -1, "C 0": 0, "C 1": 1, "C 2": 2, "C 3": 3}
    assert queries["static_level"].unique().to_list() == [0] and queries.schema["static_brand"] == pl.Int32


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("quantiles", pl.lit([0.5]), "expected quantiles"),
        ("period_days", pl.lit(1), "expected period_days 7"),
        ("horizon", pl.lit(3), "expected at most 2 periods ahead"),
    ],
)
def test_what_no_renaming_helps_is_refused(
    months: tuple[Path, Path], bundles: tuple[Path, Path], column: str, value: pl.Expr, words: str
) -> None:
    rows = Rows.of(months[0])
    with pytest.raises(DataError, match=words):
        recode(bundles[1], bundles[0], rows.queries.with_columns(value.alias(column)), rows.pool)
