"""The page's pictures of customer service: drawn from files, the same on every run, true to the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.support.evaluation.report import mistakes_table, pictures, plots
from components.support.evaluation.understood import by_intent, confusion, mistakes, risk_coverage, understood
from components.support.features.folds import write_window
from components.support.features.panel import in_order, write_labels

LABELS = in_order(["cancel", "refund", "out_of_scope"])
HOSTILE = "<script>alert(1)</script> & my refund?"
ASKED = [
    ("cancel it", "en", "cancel"), ("please stop my order", "en", "cancel"), (HOSTILE, "en", "refund"),
    ("退款", "zh", "refund"), ("sing me a song", "en", "out_of_scope"), ("讲个笑话", "zh", "out_of_scope"),
]  # fmt: skip
# P(cancel), P(refund), the reject row: two right, one wrong and sure of it, one rejected for nothing, one out of scope
# that was answered and one that was not
SAID = [(0.9, 0.1, 0.1), (0.8, 0.2, 0.0), (0.95, 0.05, 0.2), (0.3, 0.7, 0.6), (0.6, 0.4, 0.3), (0.5, 0.5, 0.9)]
METRICS: dict[str, Any] = {
    "primary": "accuracy",
    "shipped": {"name": "mix"},
    "rows": {
        "flat": {"kind": "single", "validation": {"accuracy": 0.3}},
        "mix": {"kind": "ensemble", "validation": {"accuracy": None}},
    },
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """data/support with a test fold; `mix` says SAID, `flat` knows nothing."""
    asked = pl.DataFrame(ASKED, schema=["text", "language", "intent"], orient="row")
    train = asked.with_columns(family=pl.lit(None, pl.String))
    write_window(tmp_path / "features" / "test", train, train.head(0), asked, LABELS)
    write_labels(tmp_path / "features", LABELS)
    pool = pl.read_parquet(tmp_path / "features" / "test" / "pool.parquet").select("query", "intent")
    for folder, scores in {
        "ensembles/scores/test/mix": np.array(SAID).ravel(),
        "models/flat/scores/test": np.zeros(pool.height),
    }.items():
        file = tmp_path / f"{folder}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pool.with_columns(score=pl.Series(scores, dtype=pl.Float64)).write_parquet(file)
    return tmp_path


def test_what_was_understood_is_told_by_name(data: Path) -> None:
    rows = understood(data, "mix", "ensemble")
    assert rows["wanted"].to_list() == [intent for _, _, intent in ASKED]
    assert rows["first"].to_list() == ["cancel", "cancel", "cancel", "refund", "cancel", "cancel"]
    assert rows["decided"].to_list() == ["cancel", "cancel", "cancel", "out_of_scope", "cancel", "out_of_scope"]
    assert rows["right"].to_list() == [True, True, False, False, False, True]
    assert rows["certainty"].to_list() == pytest.approx([0.81, 0.8, 0.76, 0.28, 0.42, 0.05])


def test_the_surest_are_answered_first_and_nothing_out_of_scope_is_right(data: Path) -> None:
    found = risk_coverage(understood(data, "mix", "ensemble"))
    assert found["answered"].to_list() == [0.167, 0.333, 0.5, 0.667, 0.833, 1.0]
    assert found["risk"].to_list() == pytest.approx([0, 0, 1 / 3, 2 / 4, 2 / 5, 3 / 6])
    assert risk_coverage(understood(data, "mix", "ensemble").head(0)).is_empty()


def test_every_intent_is_counted_and_confusions_name_both_sides(data: Path) -> None:
    rows = understood(data, "mix", "ensemble")
    assert by_intent(rows).rows() == [
        ("cancel", 2, 1.0, pytest.approx(2 / 4)),
        ("out_of_scope", 2, 0.5, 0.5),
        ("refund", 2, 0.0, None),
    ]
    assert ("refund", "cancel", 1) in confusion(rows).rows() and confusion(rows)["n"].sum() == len(ASKED)


def test_mistakes_come_surest_first_and_are_text_never_markup(data: Path) -> None:
    rows = mistakes(understood(data, "mix", "ensemble"), 2)
    assert rows["text"].to_list() == [HOSTILE, "sing me a song"]
    drawn = mistakes_table(rows)
    assert "<script>" not in drawn and "&lt;script&gt;" in drawn and "0.95" in drawn
    assert "understood" in mistakes_table(rows.head(0))


def test_pictures_are_the_same_bytes_again_and_need_nothing_from_elsewhere(data: Path) -> None:
    one = pictures(data, METRICS)
    assert len(one) == 5 and one == pictures(data, METRICS)
    for _, drawn in one[:4]:
        assert drawn.startswith("<svg") and "<script" not in drawn and "<image href=" not in drawn
    assert all("mix" in title for title, _ in (one[0], one[3], one[4]))
    assert all("flat" in drawn and "mix" in drawn for _, drawn in one[1:3])
    assert all(name in one[0][1] and name in one[3][1] for name in LABELS)


def test_tables_hold_every_model_and_messages_in_scope_alone_promise_a_probability(data: Path) -> None:
    tables = plots(data, METRICS)
    assert set(tables) == {"reliability", "risk_coverage", "by_intent"}
    assert all(set(table["name"]) == {"flat", "mix"} for table in tables.values())
    counted = tables["reliability"].group_by("name").agg(pl.col("n").sum())
    assert dict(counted.iter_rows()) == {"flat": 4, "mix": 4}
