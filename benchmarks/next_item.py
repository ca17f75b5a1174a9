"""What benchmarks with one next item per question share: questions, pools, ranks and the verdict.

The project's own models answer, all items are ranked, and the project's own ensembles combine them
over the union of the models' best items; an answer outside that union counts as missed. Ensembles
learn on one half of the validation questions and answer the other, both ways round, which chooses
between them and the single models; learned anew on all of validation, they answer the test once.

How often an item occurs is no input here: leave-one-out tests on data with a least count per item
would let a trained ensemble read from it how many of the item's events were held out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import polars as pl

from components.core.ensembles import PoolSpec, make_ensemble, predict
from components.core.metrics import Asked, bootstrap, group_offsets, order_within
from components.core.model import make_model
from components.recommendation.application import APPLICATION
from components.recommendation.features.histories import Histories
from components.recommendation.ranking import WholeCatalogue, best

log = logging.getLogger(__name__)

KEYS = ("query", "item")
FEATURES = ("history_length", "events_since")
NEVER = 10_000_000  # the rank of an answer that was not given
QUESTIONS_AT_ONCE = 400


@dataclass(frozen=True)
class Questions:
    """Histories and the one item that follows each."""

    histories: Histories
    answers: np.ndarray

    def __len__(self) -> int:
        return len(self.answers)


@dataclass(frozen=True)
class Task:
    """One data set under one protocol.

    train       what models learn from before validation; `valid` (customer, item) stops networks early
    final       what they learn from before the test; None: the validation fit answers the test too
    metrics     names with a depth, the first decides: hr@20, ndcg@10, mrr@20
    unseen      items of the history are no answers
    top         how many items of each model enter the pool
    """

    name: str
    data: str
    train: pl.DataFrame
    valid: pl.DataFrame | None
    final: pl.DataFrame | None
    validation: Questions
    test: Questions
    n_items: int
    metrics: Sequence[str]
    unseen: bool
    top: int = 40


@dataclass
class Answers:
    """A pool with every member's scores, and the rank of each question's answer by row name."""

    pool: pl.DataFrame
    truth: pl.DataFrame
    ranks: dict[str, np.ndarray] = field(default_factory=dict)

    def part(self, queries: pl.Expr) -> Answers:
        """Pool and truth of some questions."""
        return Answers(self.pool.filter(queries), self.truth.filter(queries), self.ranks)


def events_table(lists: pl.DataFrame, days: Callable[[pl.Expr, pl.Expr], pl.Expr], basket: pl.Expr) -> pl.DataFrame:
    """Train table of a frame with customer and items (oldest first).

    days(place, length): days_ago of an event from its place in the list and the list's length.
    """
    place, length = pl.col("place"), pl.col("length")
    return (
        lists.with_columns(length=pl.col("items").list.len())
        .explode("items")
        .with_columns(place=pl.int_range(pl.len(), dtype=pl.Int32).over("customer"))
        .select(
            pl.col("customer").cast(pl.Int32),
            basket.cast(pl.Int32).alias("basket"),
            pl.col("items").cast(pl.Int32).alias("item"),
            days(place, length).cast(pl.Float32).alias("days_ago"),
            pl.lit(1.0, pl.Float32).alias("weight"),
        )
    )


def questions_of(lists: pl.Series, answers: np.ndarray, day: float) -> Questions:
    """One question per list of items, oldest first, an event every `day` days."""
    lengths = lists.list.len().to_numpy().astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = lists.explode().to_numpy().astype(np.int32)
    place = np.arange(len(items)) - np.repeat(offsets[:-1], lengths)
    left = (np.repeat(lengths, lengths) - place) * day
    weights = np.ones(len(items), np.float32)
    return Questions(Histories(offsets, items, left.astype(np.float32), weights, place.astype(np.int32)), answers)


def fit_members(
    members: Mapping[str, Mapping[str, Any]], train: pl.DataFrame, valid: pl.DataFrame | None
) -> tuple[dict[str, WholeCatalogue], dict[str, float]]:
    """Every member fitted, and the seconds it took."""
    fitted, seconds = {}, {}
    for name, values in members.items():
        started = time.perf_counter()
        # Only networks stop early: to the others the validation items would be more training data.
        early = valid if "epochs" in values else None
        model = make_model("recommendation", values.get("model", name), _params(values)).fit(train, early)
        fitted[name] = cast(WholeCatalogue, model)
        seconds[name] = time.perf_counter() - started
        log.info("%s fitted in %.0f s", name, seconds[name])
    return fitted, seconds


def _params(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "model"}


def ask(models: Mapping[str, WholeCatalogue], questions: Questions, task: Task) -> Answers:
    """Rank all items by every model, and pool the best of each."""
    parts: list[pl.DataFrame] = []
    ranks: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for start in range(0, len(questions), QUESTIONS_AT_ONCE):
        stop = min(start + QUESTIONS_AT_ONCE, len(questions))
        histories, answers = questions.histories.part(start, stop), questions.answers[start:stop]
        scores = {name: _scores(model, histories, task) for name, model in models.items()}
        for name, found in scores.items():
            ranks[name].append(rank_of(found, answers))
        parts.append(_pool(scores, histories, task, start))
    truth = pl.DataFrame({"query": np.arange(len(questions), dtype=np.int32), "item": questions.answers})
    truth = truth.with_columns(pl.col("item").cast(pl.Int32), label=pl.lit(1.0, pl.Float32))
    return Answers(pl.concat(parts), truth, {name: np.concatenate(each) for name, each in ranks.items()})


def _scores(model: WholeCatalogue, histories: Histories, task: Task) -> np.ndarray:
    """(n_questions, n_items); NaN where the model says nothing or no answer is allowed."""
    scores = np.full((len(histories), task.n_items), np.nan, np.float32)
    scores[:, : model.n_items] = model.scores(histories)
    if task.unseen:
        scores[histories.rows(), histories.items] = np.nan
    return scores


def rank_of(scores: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Rank of each row's answer, 1 = best, ties by lower code; NEVER where it has no score."""
    own = scores[np.arange(len(answers)), answers][:, None]
    ranks = 1 + (scores > own).sum(1)
    tied = scores == own
    for row in np.flatnonzero(tied.sum(1) > 1):
        ranks[row] += tied[row, : answers[row]].sum()
    ranks[np.isnan(own[:, 0])] = NEVER
    return ranks


def _pool(scores: Mapping[str, np.ndarray], histories: Histories, task: Task, first: int) -> pl.DataFrame:
    listed = []
    for found in scores.values():
        items, values = best(found, task.top)
        row, place = np.nonzero(np.isfinite(values))
        listed.append(row * task.n_items + items[row, place])
    pairs = np.unique(np.concatenate(listed))
    rows, items = pairs // task.n_items, pairs % task.n_items
    columns = {name: found[rows, items] for name, found in scores.items()}
    frame = pl.DataFrame(
        {
            "query": (first + rows).astype(np.int32),
            "item": items.astype(np.int32),
            **columns,
            "history_length": np.diff(histories.offsets)[rows].astype(np.float32),
            "events_since": _events_since(histories, rows, items, task.n_items),
        }
    )
    return frame.with_columns(pl.col(*scores).fill_nan(None))


def _events_since(histories: Histories, rows: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
    """How many events ago the pair's item last stood in the history; NaN if never."""
    keys = histories.rows() * n_items + histories.items
    ago = np.repeat(histories.offsets[1:], np.diff(histories.offsets)) - np.arange(len(keys))
    order = np.lexsort((ago, keys))
    distinct, first = np.unique(keys[order], return_index=True)
    asked = rows * n_items + items
    place = np.minimum(np.searchsorted(distinct, asked), max(len(distinct) - 1, 0))
    since = ago[order][first][place].astype(np.float32)
    since[distinct[place] != asked] = np.nan
    return since


def pooled_ranks(scores: np.ndarray, pool: pl.DataFrame, truth: pl.DataFrame) -> np.ndarray:
    """Rank of each question's answer within its pool, 1 = best; NEVER where the pool lacks it."""
    offsets = group_offsets(pool["query"].to_numpy())
    order = order_within(scores, offsets)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(offsets[:-1], np.diff(offsets)) + 1
    ranked = pool.select(*KEYS, rank=pl.Series(place))
    joined = truth.join(ranked, on=list(KEYS), how="left", maintain_order="left")
    return joined["rank"].fill_null(NEVER).to_numpy()


def values_of(metric: str, ranks: np.ndarray) -> np.ndarray:
    """hr@k, ndcg@k or mrr@k of every question from the rank of its one answer."""
    name, depth = metric.split("@")
    gains = {"hr": np.ones(len(ranks)), "ndcg": 1 / np.log2(ranks + 1), "mrr": 1 / ranks}[name]
    return np.where(ranks <= int(depth), gains, 0.0)


def objective(metric: str) -> Callable[[np.ndarray, Asked], float]:
    """The metric's mean over pool groups, for choosing weights; a group without its answer gains nothing."""

    def judge(scores: np.ndarray, asked: Asked) -> float:
        labels, offsets = asked.labels, asked.offsets
        order = order_within(scores, offsets)
        ranks = np.arange(len(order)) - np.repeat(offsets[:-1], np.diff(offsets)) + 1
        return float(values_of(metric, ranks[labels[order] > 0]).sum() / (len(offsets) - 1))

    return judge


def run(task: Task, members: Mapping[str, Any], ensembles: Mapping[str, Any]) -> dict[str, Any]:
    """Fit, validate, choose, and answer the test once: the arguments of `publish`."""
    started = time.perf_counter()
    models, seconds = fit_members(members, task.train, task.valid)
    validation = ask(models, task.validation, task)
    log.info("validation asked after %.0f s", time.perf_counter() - started)
    judged = validation.ranks | cross_fitted(task, ensembles, validation)
    if task.final is not None:
        models, again = fit_members(members, task.final, None)
        seconds = {name: seconds[name] + again[name] for name in members}
    test = ask(models, task.test, task)
    combined, spent = combine(task, ensembles, validation, test)
    log.info("test answered after %.0f s", time.perf_counter() - started)
    return _verdict(task, judged, test.ranks | combined, seconds | spent, list(ensembles))


def cross_fitted(task: Task, ensembles: Mapping[str, Any], asked: Answers) -> dict[str, np.ndarray]:
    """Ranks by ensembles that learned on the other half of the questions."""
    early = pl.col("query") < len(task.validation) // 2
    halves = [asked.part(early), asked.part(~early)]
    parts = [combine(task, ensembles, halves[1 - place], halves[place])[0] for place in (0, 1)]
    return {name: np.concatenate([part[name] for part in parts]) for name in ensembles}


def combine(
    task: Task, ensembles: Mapping[str, Any], learned: Answers, asked: Answers
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Ensembles fitted on `learned`: ranks of the answers in `asked`, and seconds."""
    spec = PoolSpec(
        KEYS, tuple(learned.ranks), FEATURES, "rank", objective(task.metrics[0]), dict(APPLICATION.stack)
    )  # fmt: skip
    ranks, seconds = {}, {}
    for name, values in ensembles.items():
        started = time.perf_counter()
        ensemble = make_ensemble(name, spec, values or {}).fit(learned.pool, learned.truth)
        ranks[name] = pooled_ranks(predict(ensemble, asked.pool)["score"].to_numpy(), asked.pool, asked.truth)
        seconds[name] = time.perf_counter() - started
        log.info("%s: %s", name, {key: round(value, 3) for key, value in list(ensemble.weights().items())[:8]})
    return ranks, seconds


def _verdict(
    task: Task,
    judged: Mapping[str, np.ndarray],
    ranks: Mapping[str, np.ndarray],
    seconds: Mapping[str, float],
    ensembles: Sequence[str],
) -> dict[str, Any]:
    """Validation chooses; the test confirms an ensemble's gain over the best single model, or vetoes it."""
    metric = task.metrics[0]
    on_validation = {name: float(values_of(metric, found).mean()) for name, found in judged.items()}
    single = max((name for name in ranks if name not in ensembles), key=on_validation.__getitem__)
    ensemble = max(ensembles, key=on_validation.__getitem__)
    gained = bootstrap(values_of(metric, ranks[ensemble]) - values_of(metric, ranks[single]))
    log.info("on validation, %s: %s", metric, {name: round(value, 4) for name, value in on_validation.items()})
    confirmed = on_validation[ensemble] > on_validation[single] and gained.low > 0
    rows = [
        {
            "name": name,
            "kind": "ensemble" if name in ensembles else "single",
            "metrics": {each: float(values_of(each, found).mean()) for each in task.metrics},
            "seconds": seconds[name],
        }
        for name, found in ranks.items()
    ]
    gain = {
        "metric": metric,
        "of": ensemble,
        "over": single,
        "mean": gained.mean,
        "low": gained.low,
        "high": gained.high,
    }
    return {"rows": rows, "gain": gain, "shipped": ensemble if confirmed else single}
