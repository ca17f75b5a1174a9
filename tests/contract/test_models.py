"""The contract that every model found on disk keeps, whatever its application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import components
from components.core.errors import DoesNotFit, NotFitted, ParamsError
from components.core.model import Model, make_model, model_class, model_names
from components.recommendation.features.histories import LISTS

UNHEARD = 4321  # an item code that no train table holds

# Says the same to everybody, so it cannot keep customers' colours apart; it has exact tests of its own.
IMPERSONAL = {("recommendation", "popularity")}

# Enough steps of training for forty customers, and no more.
QUICK_NETWORK = {"min_support": 1, "dim": 16, "batch": 8, "epochs": 12, "learning_rate": 0.01, "patience": 12}

# Settings for problems of forty customers or two dozen series; every other model keeps its defaults.
SMALL: dict[tuple[str, str], dict[str, object]] = {
    ("recommendation", "tifu_knn"): {"neighbours": 10},  # the default asks more neighbours than there are customers
    **{("recommendation", name): QUICK_NETWORK for name in ("transformer", "gru", "cnn")},
    # demand: the forecasters that need fewer trees or steps here than by default
    ("demand", "nhits"): {"n_nets": 1, "max_steps": 80, "batch": 128, "hidden": 32, "learning_rate": 0.01},
    ("demand", "tft"): {"n_nets": 1, "max_steps": 60, "batch": 128, "hidden": 8, "heads": 2, "learning_rate": 0.02},
    **{("support", name): {"batch": 16} for name in ("textcnn", "bigru")},  # 64: two steps an epoch
}

WORDS = {0: "parcel", 1: "refund", 2: "发票", 3: "elephant"}  # one for each label; the last is out of scope
FILLING = ["please", "hello", "my", "the", "请问", "谢谢", "today", "again"]


@dataclass(frozen=True)
class Problem:
    """A tiny problem of one application: what to learn from, what to ask, and who answers well."""

    keys: list[str]
    train: pl.DataFrame
    queries: pl.DataFrame
    strange: pl.DataFrame  # the same queries and what a model may meet but cannot know
    hits: Callable[[pl.DataFrame], float]  # share of answers that are right


def colour_kept(scores: pl.DataFrame) -> float:
    """Share of each customer's best five items that have the customer's colour."""
    top = scores.sort("score", descending=True).group_by("query", maintain_order=True).head(5)
    return float((top["query"] % 2 == top["item"] % 2).mean())  # type: ignore[arg-type]


def with_strangers(queries: pl.DataFrame) -> pl.DataFrame:
    """Every query may also choose an unheard-of item, and one query has no history."""
    first = queries.head(1)
    empty = first.with_columns(
        *(pl.lit([], dtype=dtype).alias(name) for name, dtype in first.schema.items() if name in LISTS),
        query=pl.lit(999, dtype=pl.Int32),
    )
    unheard = pl.col("candidates").list.concat(pl.lit([UNHEARD], dtype=pl.List(pl.Int32)))
    return pl.concat([queries, empty]).with_columns(candidates=unheard)


def rhythm_kept(scores: pl.DataFrame, truth: pl.DataFrame) -> float:
    """Share of weeks whose median is within 25 % of what was sold."""
    medians = truth.join(scores.filter(pl.col("quantile") == 0.5), on=["query", "week"], how="left")
    error = (medians["score"] / medians["units"] - 1).abs()
    return float((error < 0.25).fill_null(False).mean())  # type: ignore[arg-type]


def with_new_series(queries: pl.DataFrame, frame: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    """The same queries, two series that no train table holds, and one of which nothing at all is known."""
    new = frame([[40.0, 50.0, 45.0, 55.0, 50.0, 45.0], [7.0], [None] * 12])
    numbered = new.with_columns(
        query=pl.col("query") + 997, series_id="new " + pl.col("series_id"), static_category=pl.lit(-1, pl.Int32)
    )
    return pl.concat([queries, numbered])


def messages(n: int, seed: int) -> pl.DataFrame:
    """Each label's own word among others that say nothing, and an embedding that is nearest to the label's axis."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % len(WORDS)
    texts = [" ".join(random.permutation([WORDS[label], *random.choice(FILLING, 3)])) for label in labels]
    vectors = np.eye(8)[labels] + random.normal(0, 0.15, (n, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return pl.DataFrame(
        {"text": texts, "language": "en", "intent": labels, "family": None, "embedding_usem3": vectors},
        schema_overrides={"intent": pl.Int32, "family": pl.String, "embedding_usem3": pl.Array(pl.Float32, 8)},
    )


def asked(told: pl.DataFrame) -> pl.DataFrame:
    """The same messages without what a model must find out."""
    return told.drop("intent", "family").with_columns(query=pl.int_range(pl.len(), dtype=pl.Int32))


def with_strange_messages(queries: pl.DataFrame) -> pl.DataFrame:
    """The same queries; nothing at all, words of no known language, and one far too long."""
    odd = queries.head(3).with_columns(
        query=pl.col("query") + 997, text=pl.Series(["", "ღმერთო \U0001f643 \u200b", "parcel refund " * 20_000])
    )
    return pl.concat([queries, odd])


def label_found(scores: pl.DataFrame) -> float:
    best = scores.sort("score", descending=True).group_by("query").head(1)
    return float((best["intent"] == best["query"] % len(WORDS)).mean())  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def problems(
    checkerboard: tuple[pl.DataFrame, pl.DataFrame],
    rhythm: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
    weekly_frame: Callable[..., pl.DataFrame],
) -> dict[str, Problem]:
    """One known-answer problem per application."""
    train, queries = checkerboard
    sales, coming_queries, coming = rhythm
    strange = with_new_series(coming_queries, weekly_frame)
    told, questions = messages(96, 0), asked(messages(24, 1))
    return {
        "recommendation": Problem(["query", "item"], train, queries, with_strangers(queries), colour_kept),
        "demand": Problem(
            ["query", "week", "quantile"], sales, coming_queries, strange, lambda scores: rhythm_kept(scores, coming)
        ),
        "support": Problem(["query", "intent"], told, questions, with_strange_messages(questions), label_found),
    }


def applications() -> list[str]:
    root = Path(components.__file__).parent
    return sorted(path.parent.name for path in root.glob("*/models") if path.is_dir())


EVERY = [pytest.param(app, name, id=f"{app}-{name}") for app in applications() for name in model_names(app)]
every_model = pytest.mark.parametrize(("app", "name"), EVERY)


def made(app: str, name: str) -> Model:
    return make_model(app, name, dict(SMALL.get((app, name), {})))


@pytest.fixture(scope="module")
def fitted(problems: dict[str, Problem]) -> Callable[[str, str], Model]:
    """Each model fitted once to its application's problem."""
    cache: dict[tuple[str, str], Model] = {}

    def get(app: str, name: str) -> Model:
        if (app, name) not in cache:
            cache[app, name] = made(app, name).fit(problems[app].train)
        return cache[app, name]

    return get


@every_model
def test_answer_is_a_score_table(app: str, name: str, problems, fitted) -> None:
    problem = problems[app]
    answer = fitted(app, name).predict(problem.queries)
    assert answer.columns == [*problem.keys, "score"]
    assert answer.schema["score"] == pl.Float64
    assert answer["score"].is_finite().all()
    assert answer.select(problem.keys).is_unique().all()
    assert answer.height > 0


@every_model
def test_fitting_again_changes_nothing(app: str, name: str, problems, fitted) -> None:
    problem = problems[app]
    expected = fitted(app, name).predict(problem.queries)
    other = made(app, name).fit(problem.train)
    assert_frame_equal(other.predict(problem.queries), expected, check_exact=True)  # same seed, same answer
    assert_frame_equal(other.fit(problem.train).predict(problem.queries), expected, check_exact=True)


@every_model
def test_loaded_model_predicts_identically(app: str, name: str, problems, fitted, tmp_path: Path) -> None:
    model = fitted(app, name)
    model.save(tmp_path / name)
    loaded = model_class(app, name).load(tmp_path / name)
    for queries in (problems[app].queries, problems[app].strange):
        assert_frame_equal(loaded.predict(queries), model.predict(queries), check_exact=True)


@every_model
def test_saved_folder_holds_no_pickle(app: str, name: str, fitted, tmp_path: Path) -> None:
    fitted(app, name).save(tmp_path / name)
    files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.suffix in {".npy", ".json", ".txt", ".safetensors", ".parquet"}, path
        if path.suffix == ".npy":
            assert np.load(path, allow_pickle=False).dtype != object


@every_model
def test_unknown_parameters_are_refused(app: str, name: str) -> None:
    with pytest.raises(ParamsError, match="no_such_parameter"):
        make_model(app, name, {"no_such_parameter": 1})


@every_model
def test_use_before_fit_is_refused(app: str, name: str, problems, tmp_path: Path) -> None:
    with pytest.raises(NotFitted, match="fit"):
        made(app, name).predict(problems[app].queries)
    with pytest.raises(NotFitted, match="fit"):
        made(app, name).save(tmp_path / name)


@every_model
def test_what_a_model_cannot_know_is_left_out(app: str, name: str, problems, fitted) -> None:
    problem, model = problems[app], fitted(app, name)
    answer = model.predict(problem.strange)
    assert answer["score"].is_finite().all()
    usual = model.predict(problem.queries)
    shared = answer.join(usual.select(problem.keys), on=problem.keys, how="semi")
    assert_frame_equal(shared, usual, rel_tol=1e-5, abs_tol=1e-7)  # strangers change no other answer
    if app == "recommendation":
        assert UNHEARD not in answer["item"].to_list()


@every_model
def test_small_problem_is_solved(app: str, name: str, problems, fitted) -> None:
    if (app, name) in IMPERSONAL:
        pytest.skip("the same answer for everybody: cannot know a customer's colour")
    problem = problems[app]
    assert problem.hits(fitted(app, name).predict(problem.queries)) > 0.95


@pytest.mark.parametrize("name", model_names("recommendation"))
def test_candidates_are_the_best_of_the_catalogue(name: str, problems, fitted) -> None:
    problem, model = problems["recommendation"], fitted("recommendation", name)
    few = model.candidates(problem.queries, 3)
    scores = model.predict(problem.queries)
    best = scores.sort("score", descending=True).group_by("query").head(3)
    assert few.group_by("query").len()["len"].max() <= 3
    columns = ["query", "score"]
    assert_frame_equal(few.select(columns).sort(columns), best.select(columns).sort(columns), rel_tol=1e-5)


@pytest.mark.parametrize("name", model_names("recommendation"))
def test_shop_of_anonymous_baskets_alone(name: str, problems) -> None:
    """Either the model answers, or it says beforehand that it steps aside."""
    problem = problems["recommendation"]
    anonymous = problem.train.with_columns(customer=pl.lit(None, pl.Int32))
    try:
        answer = made("recommendation", name).fit(anonymous).predict(problem.queries)
    except DoesNotFit:
        return
    assert answer["score"].is_finite().all()


every_forecaster = pytest.mark.parametrize("name", model_names("demand"))


def with_a_history(queries: pl.DataFrame) -> pl.DataFrame:
    """What is forecast from sales, and not from what others like it sell."""
    return queries.filter(pl.col("y").list.drop_nulls().list.len() > 0)


@every_forecaster
def test_quantiles_are_in_order_and_never_negative(name: str, problems, fitted) -> None:
    answer = fitted("demand", name).predict(problems["demand"].strange)
    assert answer["score"].min() >= 0
    ordered = answer.sort("query", "week", "quantile")
    steps = ordered.select(step=pl.col("score").diff().over("query", "week"))["step"].drop_nulls()
    assert len(steps) == 2 * answer.height / 3 and steps.min() >= 0


@every_forecaster
def test_eight_times_the_sales_are_forecast_as_eight_times_as_much(name: str, problems, fitted) -> None:
    """A power of two changes no digit, so neither may it change what is forecast."""
    queries, model = with_a_history(problems["demand"].strange), fitted("demand", name)
    usual = model.predict(queries)
    scaled = model.predict(queries.with_columns(y=pl.col("y").list.eval(pl.element() * 8)))
    assert usual["score"].sum() > 0
    assert_frame_equal(scaled, usual.with_columns(pl.col("score") * 8), rel_tol=1e-5, abs_tol=1e-6)
