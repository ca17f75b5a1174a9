"""A feed that died is told by the clock, where params.yaml says how old its data may be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.core.artifacts import write_json
from components.core.errors import ParamsError, ShopError
from flows.freshness import lacking, too_old
from flows.graph import Graph, Stage
from flows.pipeline import pipeline

NOW = datetime(2025, 7, 11, 12, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for table, as_of in {"transactions": "2025-07-01T00:00:00+00:00", "stock": None}.items():
        write_json(tmp_path / "collected" / table / "meta.json", {"as_of": as_of})
    return tmp_path


@pytest.mark.parametrize(("limits", "stops"), [("warn", False), ("stop", True), (None, False)])
def test_data_that_end_too_long_ago_are_told(data: Path, limits: str | None, stops: bool) -> None:
    block = {"max_age_days": 10} | ({"too_old": limits} if limits else {})
    (found,) = too_old(data, {"quality": {"transactions": block}}, ["transactions"], NOW)
    assert found.stops is stops
    assert found.words.startswith("transactions: expected data that end at most 10 days ago, got 10.5 days (2025-07-01")


@pytest.mark.parametrize("limit", [11, None])
def test_fresh_data_and_data_that_stand_still_are_not(data: Path, limit: float | None) -> None:
    assert too_old(data, {"quality": {"transactions": {"max_age_days": limit}}}, ["transactions"], NOW) == []
    assert too_old(data, {}, ["transactions"], NOW) == []


def test_a_table_that_the_shop_does_not_have_is_never_too_old(data: Path) -> None:
    quality = {table: {"max_age_days": 1, "too_old": "stop"} for table in ("stock", "behaviour")}
    assert too_old(data, {"quality": quality}, ["stock", "behaviour"], NOW) == []


def test_another_word_is_a_mistake(data: Path) -> None:
    with pytest.raises(ParamsError, match=r"quality\.transactions\.too_old"):
        too_old(data, {"quality": {"transactions": {"too_old": "panic"}}}, ["transactions"], NOW)


@pytest.mark.parametrize("how", ["warn", "stop"])
def test_the_flow_warns_or_releases_nothing(
    how: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prefect_server: None
) -> None:
    """All stages went well; only the clock has something against the data."""
    monkeypatch.chdir(data)
    monkeypatch.setenv("SHOP_DATA", str(data))
    monkeypatch.setenv("SHOP_HOME", str(data / "shop"))
    quality = f"quality: {{transactions: {{max_age_days: 10, too_old: {how}}}}}"
    (data / "params.yaml").write_text(f"applications: [recommendation]\n{quality}\n")
    edges = {"validate@transactions": (), "package@recommendation": ("validate@transactions",)}
    stages = {name: Stage(name, "", above, False, (), (), ()) for name, above in edges.items()}
    asked: list[str] = []

    def release_all(chosen: list[str], *_: object) -> tuple[list[object], list[str]]:
        asked.extend(chosen)
        return [], []

    monkeypatch.setattr("flows.pipeline.read_graph", lambda root: Graph(stages))
    monkeypatch.setattr("flows.pipeline.bring_up_to_date", lambda *_: {})
    monkeypatch.setattr("flows.pipeline._release_all", release_all)
    if how == "stop":
        with pytest.raises(ShopError, match="expected data that end at most 10 days ago"):
            pipeline()
    else:
        assert pipeline() == []
    assert asked == (["recommendation"] if how == "warn" else [])
    assert "old data: transactions" in capsys.readouterr().out


def test_only_tables_that_the_shop_lacks_and_that_say_so_are_spared(tmp_path: Path) -> None:
    for table, missing in {"transactions": False, "stock": True, "behaviour": True, "campaigns": True}.items():
        for room in ("collected", "accepted"):
            if (room, table) != ("collected", "campaigns"):
                write_json(tmp_path / room / table / "meta.json", {"missing": missing})
    named = {"sources": {"transactions": {"kind": "folder"}, "behaviour": {"kind": "folder"}}}
    assert lacking(named, tmp_path) == {"collect@stock", "validate@stock"}
    assert lacking({}, tmp_path / "nothing yet") == set()
