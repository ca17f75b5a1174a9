"""Scale: seconds and peak memory of the data stages as history grows.

    python -m benchmarks.scale                       at 1 and 10 times the default data
    python -m benchmarks.scale --factors 1,3 --featurise --json FILE

Larger data are the default purchases with every customer and basket copied under new ids: as many
more rows and customers, the same products, days and habits. Each stage runs as its own process, as
DVC runs it, and the kernel tells its peak memory (resident set).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks.report import publish
from components.core.errors import ShopError
from components.core.params import read_params
from components.sources.shop import source_of

DEFAULT: dict[str, Any] = {
    "timezone": "America/New_York",
    "sources": {table: {"kind": "completejourney"} for table in ("transactions", "products")},
}
COPIED = ("customer_id", "basket_id")


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table, write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.split("\n")[0])
    parser.add_argument("--factors", default="1,10", help="how many times the default data, with commas")
    parser.add_argument("--featurise", action="store_true", help="measure featurise of recommendation too")
    parser.add_argument("--json", type=Path, help="write the result here too")
    asked = parser.parse_args(arguments)
    stages = [(stage, table) for table in ("products", "transactions") for stage in ("collect", "validate")]
    stages += [("featurise", "recommendation")] if asked.featurise else []
    rows = [row for factor in asked.factors.split(",") for row in measure(int(factor), stages)]
    publish("scale", "Complete Journey, customers copied", rows, json_file=asked.json)


def measure(factor: int, stages: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """One row per stage on `factor` times the default data, in a folder that goes again."""
    with tempfile.TemporaryDirectory(prefix="shop-scale-") as name:
        folder = Path(name)
        n_rows = _write_shop(folder, factor)
        return [_row(folder, factor, n_rows, stage, subject) for stage, subject in stages]


def _row(folder: Path, factor: int, n_rows: int, stage: str, subject: str) -> dict[str, Any]:
    seconds, figures = _run(folder, stage, subject)
    metrics = {"rows_millions": n_rows / 1e6} | figures
    return {"name": f"{stage} {subject} x{factor}", "kind": "single", "metrics": metrics, "seconds": seconds}


def _run(folder: Path, stage: str, subject: str) -> tuple[float, dict[str, float]]:
    """Wall-clock seconds, and seconds of all cores and peak resident MiB, of one stage in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "SHOP_DATA": "data", "SHOP_HOME": "shop"}
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "components", stage, subject], cwd=folder, env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise ShopError(f"{stage} {subject} ended with {child.returncode}; its own message stands above")
    seconds = time.perf_counter() - started
    return seconds, {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss / 1024}


def _write_shop(folder: Path, factor: int) -> int:
    """A shop whose files are `factor` copies of the default data; rows of transactions."""
    files = folder / "files"
    files.mkdir()
    source_of("products", DEFAULT).read().sink_parquet(files / "products.parquet")
    sold = source_of("transactions", DEFAULT).read()
    for copy in range(factor):
        renamed = sold.with_columns(pl.concat_str(pl.col(name), pl.lit(f"-{copy}")).alias(name) for name in COPIED)
        renamed.sink_parquet(files / f"transactions-{copy:03}.parquet")
    params = read_params() | {"timezone": DEFAULT["timezone"]}
    params["sources"] = {table: {"kind": "folder", "path": "files"} for table in DEFAULT["sources"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    shutil.copytree("expectations", folder / "expectations")
    return int(pl.scan_parquet(files / "transactions-*.parquet").select(pl.len()).collect().item())


if __name__ == "__main__":
    main()
