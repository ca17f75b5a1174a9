"""The next-basket benchmark from a folder of its format to its table, on a shop that repeats itself."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import next_basket

N_USERS, N_ITEMS = 120, 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every user buys the same two own items in each of four baskets, and one that anybody may buy."""
    random = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        own = random.choice(N_ITEMS, 2, replace=False)
        for number in range(1, 5):
            items = sorted({*own.tolist(), int(random.integers(N_ITEMS))})
            rows.append((user, number, "future" if number == 4 else "history", items))
    schema = {"user_id": pl.Int32, "basket_no": pl.Int16, "part": pl.String, "items": pl.List(pl.Int32)}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(tmp_path / "baskets.parquet")
    split = ["train"] * 80 + ["val"] * 20 + ["test"] * 20
    folds = pl.DataFrame({"user_id": np.arange(N_USERS, dtype=np.int32), "split": split})
    folds = folds.with_columns(source=pl.lit("somebody"), fold=pl.lit(0, pl.Int8))
    folds.write_parquet(tmp_path / "folds.parquet")
    return tmp_path


@pytest.mark.parametrize("ablation", [[], ["--histories-only"]])
def test_a_folder_becomes_a_table(folder: Path, ablation: list[str]) -> None:
    out = folder / "result.json"
    asked = [str(folder), "--source", "somebody", "--folds", "0", "--models", "popularity,personal", "--json", str(out)]
    next_basket.main([*asked, *ablation])
    result = json.loads(out.read_text())
    rows = {row["name"]: row for row in result["rows"]}
    assert rows["personal"]["metrics"]["recall@10"] > 0.65 > rows["popularity"]["metrics"]["recall@10"]
    assert {name for name, row in rows.items() if row["kind"] == "ensemble"} == {"select", "rrf", "blend", "stack"}
    assert result["gain"]["over"] == "personal" and result["shipped"] in rows


def test_only_the_asked_folds_users_future_stays_unseen(folder: Path, tmp_path: Path) -> None:
    baskets = pl.read_parquet(folder / "baskets.parquet")
    users = pl.read_parquet(folder / "folds.parquet").select("user_id", "split")
    pool = next_basket.PoolParams(n_newcomers=0)
    next_basket.user_split(tmp_path / "out", baskets, users, pool, histories_only=False)
    futures = {
        fold: set(pl.read_parquet(tmp_path / "out" / fold / "valid.parquet")["customer"].unique().to_list())
        for fold in ("oof_1", "validation", "test")
    }
    train = set(range(80))
    assert futures["test"] == futures["validation"] == train
    assert futures["oof_1"] < train, "whom the fold asks about may not vote with the answer"
    learned = pl.read_parquet(tmp_path / "out" / "test" / "train.parquet")
    assert (learned.group_by("customer").agg(pl.col("basket").n_unique())["basket"] == 3).all()
