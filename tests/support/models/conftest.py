"""Messages of four intents in two languages, each told by a word of its own."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

OWN = [["parcel", "包裹"], ["refund", "退款"], ["invoice", "发票"], ["size", "尺码"]]
OTHERS = [["please", "hello", "my", "the", "today", "again", "can", "you"], list("请问你好我的今天")]


def told(n: int, seed: int = 0, dim: int = 8) -> pl.DataFrame:
    """A train frame: half in each language; embeddings lie near the label's axis."""
    random = np.random.default_rng(seed)
    labels, languages = np.arange(n) % len(OWN), np.arange(n) // len(OWN) % 2
    texts = []
    for label, language in zip(labels, languages, strict=True):
        words = random.permutation([OWN[label][language], *random.choice(OTHERS[language], 4)])
        texts.append((" ", "")[language].join(words))
    vectors = np.eye(dim)[labels] + random.normal(0, 0.2, (n, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return pl.DataFrame(
        {
            "text": texts,
            "language": [("en", "zh")[language] for language in languages],
            "intent": labels,
            "family": None,
            "embedding_usem3": vectors,
        },
        schema_overrides={"intent": pl.Int32, "family": pl.String, "embedding_usem3": pl.Array(pl.Float32, dim)},
    )


def asked(frame: pl.DataFrame) -> pl.DataFrame:
    """The queries frame of the same messages."""
    return frame.drop("intent", "family").with_columns(query=pl.int_range(pl.len(), dtype=pl.Int32))


@pytest.fixture(scope="session")
def lessons() -> pl.DataFrame:
    return told(96)


@pytest.fixture(scope="session")
def questions() -> pl.DataFrame:
    return asked(told(32, seed=1))


@pytest.fixture(scope="session")
def wanted() -> np.ndarray:
    """The labels of `questions`."""
    return told(32, seed=1)["intent"].to_numpy()
