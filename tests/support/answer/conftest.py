"""A release whose models are a few words, so that what is decided and said is known; and one that was trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import polars as pl
import pytest

from components.support.answer.answerer import Answerer
from components.support.answer.decision import AnswerParams
from components.support.answer.intents import Intents
from components.support.features.panel import in_order
from components.support.taxonomy import OUT_OF_SCOPE, STARTER, Taxonomy

TAXONOMY = Taxonomy.load(STARTER)
LABELS = in_order(TAXONOMY.names)
WORDS: Mapping[str, Mapping[str, float]] = {  # in a masked text -> probabilities; the first that fits
    "vague": {"order_status": 0.5, "invoice": 0.4},
    "unclear": {"order_status": 0.2, "invoice": 0.2},
    "weather": {"order_status": 0.9, OUT_OF_SCOPE: 0.95},
    "invoice": {"invoice": 0.9},
    "cancel": {"cancel_order": 0.95},
    "取消": {"cancel_order": 0.95},
    "where": {"order_status": 0.9},
    "到哪": {"order_status": 0.9},
    "how is the": {"product_question": 0.9},
    "delete": {"delete_my_data": 0.9},
    "hello": {"thanks_greeting": 0.95},
}
Asked = list[str]


def predict_by_words(queries: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """What an ensemble answers: probabilities of the labels, and on the reject row how surely none fits."""
    rows = []
    for query, text in queries.select("query", "text").rows():
        found = next((shares for word, shares in WORDS.items() if word in text.casefold()), {OUT_OF_SCOPE: 0.6})
        known = {name: share for name, share in found.items() if name != OUT_OF_SCOPE}
        rest = (1 - sum(known.values())) / (len(LABELS) - 1 - len(known))
        for code, name in enumerate(LABELS):
            score = found.get(name, 0.1) if name == OUT_OF_SCOPE else known.get(name, rest)
            rows.append((query, code, score))
    assert math.isclose(sum(row[2] for row in rows[: len(LABELS) - 1]), 1)
    return pl.DataFrame(rows, {"query": pl.Int32, "intent": pl.Int32, "score": pl.Float64}, orient="row")


@pytest.fixture
def asked() -> Asked:
    """Every text that models were asked, in order."""
    return []


@pytest.fixture
def make_answerer(asked: Asked) -> Callable[..., Answerer]:
    def make(params: AnswerParams | None = None) -> Answerer:
        def predict(queries: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
            asked.extend(queries["text"])
            return predict_by_words(queries, pool)

        return Answerer(Intents(predict, LABELS), TAXONOMY, params)

    return make


@pytest.fixture
def answerer(make_answerer: Callable[..., Answerer]) -> Answerer:
    return make_answerer()
