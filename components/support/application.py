"""What the shared stages must know about customer service, as values."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from components.core import classification
from components.core.application import Application
from components.core.splits import fold_table
from components.support.evaluation import report
from components.support.evaluation.gates import gates
from components.support.features.folds import featurise
from components.support.features.panel import KEYS, LABELS, REJECT

# files of the features by their name in a bundle: labels by code, the shop's intents, how many examples of each
DESCRIBED = {LABELS: LABELS, "taxonomy.json": "taxonomy.json", "examples.json": "report.json"}


def summary(scores: pl.DataFrame, features: Path) -> dict[str, float]:
    """Figures of all test answers together: macro-F1, calibration, what was rejected."""
    truth, pool = fold_table(features, "test", "truth"), fold_table(features, "test", "pool")
    return classification.summary(scores, truth, pool)


def package(features: Path, bundle: Path) -> None:
    """What the service needs beside the models: the labels, the shop's intents with their replies, known examples.

    The examples are those of the nearest-neighbour model, masked as they were learned from; they are the reasons of an
    answer, whatever ships.
    """
    from components.support.answer.reasons import BESIDE, NEIGHBOURS  # models are trained without it

    for packaged, name in DESCRIBED.items():
        if (features / name).is_file():  # a shop may have told of no intents
            shutil.copyfile(features / name, bundle / packaged)
    fitted = features.parent / "models" / NEIGHBOURS / "model"
    if fitted.is_dir() and not (bundle / "members" / NEIGHBOURS).is_dir():
        shutil.copytree(fitted, bundle / BESIDE)


def milliseconds(bundle: Path) -> float:
    """Processor time of one message, answered from a bundle."""
    from components.support.answer.answerer import Answerer, request_milliseconds

    return request_milliseconds(Answerer.load(bundle))


APPLICATION = Application(
    name="support",
    keys=KEYS,
    tables=(),
    optional=("messages", "examples", "intents"),
    unit="probability",
    reject=REJECT,
    metrics={"accuracy": "higher", "in_scope_accuracy": "higher", "oos_recall": "higher", "nll": "lower"},
    slices=("language", "intent"),
    featurise=featurise,
    outcomes=classification.outcomes,
    summary=summary,
    objective=classification.objective,
    stack={},
    package=package,
    milliseconds=milliseconds,
    gates=gates,
    pictures=report.pictures,
    plots=report.plots,
)
