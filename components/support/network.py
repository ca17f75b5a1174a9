"""What the networks over messages share: parameters, the net, answers, and the fit.

A model file adds the part that makes one vector of a row of words (convolution, recurrence). Training lives in
network_training, which alone imports Lightning: serving must not wait for it.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import torch
from pydantic import Field, model_validator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from components.core.artifacts import atomic_path, load_array, read_json, save_arrays, write_json
from components.core.params import Params
from components.memory import require_memory
from components.support.classifier import Classifier
from components.support.network_reading import Batch, Lines, Reader

ANSWERED = 256  # texts answered at once


class NetworkParams(Params):
    dim: int = Field(96, ge=2, description="Numbers per word.")
    shortest: int = Field(3, ge=1, description="Characters of the shortest n-gram that spells a word, edges counted.")
    longest: int = Field(5, ge=1, description="Characters of the longest.")
    min_texts: int = Field(2, ge=1, description="Pieces of fewer training texts are left out.")
    max_pieces: int = Field(40_000, ge=1, description="The most common words and n-grams that are kept.")
    length: int = Field(128, ge=1, description="Words of a message that are read.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Of the message's vector.")
    word_dropout: float = Field(0.1, ge=0, lt=1, description="Words left out while training.")
    smoothing: float = Field(0.1, ge=0, lt=1, description="Of labels (Szegedy et al. 2016).")
    batch: int = Field(64, ge=1, description="Messages per training step and device.")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warm_up_share: float = Field(0.05, ge=0, lt=1)
    epochs: int = Field(15, ge=1)
    patience: int = Field(5, ge=1, description="Epochs without a better validation accuracy before stopping.")
    max_minutes: float = Field(10, gt=0, description="Training stops then, with the best weights so far.")
    seed: int = 0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.longest < self.shortest:
            raise ValueError(f"longest ({self.longest}) is below shortest ({self.shortest}): raise it")
        return self


class TextNet(nn.Module):
    """Texts in, one score per label out."""

    def __init__(self, n_pieces: int, n_labels: int, params: NetworkParams, body: nn.Module, width: int) -> None:
        super().__init__()
        self.pieces = nn.EmbeddingBag(n_pieces, params.dim, mode="mean")
        nn.init.normal_(self.pieces.weight, std=0.1)
        self.body, self.head, self.dropout = body, nn.Linear(width, n_labels), nn.Dropout(params.dropout)
        self.word_dropout = params.word_dropout

    def forward(self, batch: Batch) -> Tensor:
        """(n, n_labels) logits; other texts of the batch change nothing."""
        device = self.head.weight.device
        pieces, offsets, places, lengths = (
            torch.from_numpy(array).to(device) for array in (batch.pieces, batch.offsets, batch.places, batch.lengths)
        )
        read = self.pieces(pieces, offsets)
        if self.training:
            read = read * (torch.rand(len(read), 1, device=device) >= self.word_dropout)
        grid = read.new_zeros(len(lengths) * batch.width, read.shape[1]).index_copy(0, places, read)
        logits: Tensor = self.head(self.dropout(self.body(grid.view(len(lengths), batch.width, -1), lengths)))
        return logits


class Network(Classifier):
    """Everything of a network over words but its body."""

    params_class: ClassVar[type[Params]] = NetworkParams

    def __init__(self, params: Params | None = None) -> None:
        given = params.model_dump() if params else {}
        self.params: Any = self.params_class.model_validate(given)
        self._reader: Reader | None = None
        self._net: TextNet | None = None

    @abstractmethod
    def _body(self) -> tuple[nn.Module, int]:
        """Module of ((n, width, dim), lengths (n,)) to (n, out), and `out`; cells past a length must not matter."""

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        """Learn from every message; `valid` decides which epoch was best.

        A run killed before the end goes on from its last whole epoch when `scratch` is the same, and ends with
        the weights it would have had. Raises DoesNotFit before it starts.
        """
        from components.support.network_training import Lessons, train_net

        labels, texts, chosen = self._learn_codes(train), train["text"].to_list(), self.params
        reader = Reader.of(texts, (chosen.shortest, chosen.longest), chosen.length, chosen.min_texts, chosen.max_pieces)
        self._check_memory(reader.n_pieces)
        lessons = Lessons(reader.read(texts), labels, *self._judged(reader, valid))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(chosen.seed)
            net = self._make_net(reader)
            train_net(net, lessons, chosen, scratch / self._run_name(train, valid) if scratch else None)
        self._adopt(reader, net)
        return self

    def scores(self, queries: pl.DataFrame) -> np.ndarray:
        reader, net = self._fitted()
        lines = reader.read(queries["text"].to_list())
        answer = np.empty((len(lines), len(self.codes)), np.float32)
        # Texts of like length go together, so that one long text does not widen the grid of all others.
        order = np.argsort(lines.lengths, kind="stable")
        for start in range(0, len(order), ANSWERED):
            rows = order[start : start + ANSWERED]
            with torch.inference_mode():
                answer[rows] = net(lines.take(rows)).numpy()
        return answer

    def save(self, folder: Path) -> None:
        reader, net = self._fitted()
        save_arrays(folder, {"codes": self.codes})
        write_json(folder / "pieces.json", reader.known)
        write_json(folder / "params.json", self.params.model_dump())
        with atomic_path(folder / "net.safetensors") as path:
            save_file(net.state_dict(), path)

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(cls.params_class(**read_json(folder / "params.json")))
        chosen, model.codes = model.params, np.array(load_array(folder, "codes"))
        reader = Reader(read_json(folder / "pieces.json"), (chosen.shortest, chosen.longest), chosen.length)
        net = model._make_net(reader)
        net.load_state_dict(load_file(folder / "net.safetensors"))
        model._adopt(reader, net)
        return model

    def _make_net(self, reader: Reader) -> TextNet:
        body, width = self._body()
        return TextNet(reader.n_pieces, len(self.codes), self.params, body, width)

    def _adopt(self, reader: Reader, net: TextNet) -> None:
        self._reader, self._net = reader, net.cpu().eval().requires_grad_(False)

    def _fitted(self) -> tuple[Reader, TextNet]:
        if self._reader is None or self._net is None:
            raise self._not_fitted()
        return self._reader, self._net

    def _judged(self, reader: Reader, valid: pl.DataFrame | None) -> tuple[Lines, np.ndarray]:
        """What early stopping is judged on: messages of `valid` with a label that can be answered, and its column."""
        asked = None if valid is None else valid.filter(pl.col("intent").is_in(self.codes.tolist()))
        if asked is None:
            return reader.read([]), np.empty(0, np.int64)
        return reader.read(asked["text"].to_list()), np.searchsorted(self.codes, asked["intent"].to_numpy())

    def _check_memory(self, n_pieces: int) -> None:
        """Weights, gradient and two moments (twice, for the checkpoint), and a batch's activations."""
        chosen = self.params
        activations = 12 * chosen.batch * chosen.length * chosen.dim
        require_memory(
            f"{self.name} ({n_pieces:,} pieces, dim {chosen.dim}; a higher min_texts or a smaller batch needs less)",
            4 * (8 * n_pieces * chosen.dim + activations),
        )

    def _run_name(self, train: pl.DataFrame, valid: pl.DataFrame | None) -> str:
        """Another name for other data or parameters, so that only the same run is resumed."""
        told = [table.select("text", "intent").rows() for table in (train, valid) if table is not None]
        stated = json.dumps([self.name, self.params.model_dump(), told], sort_keys=True)
        return hashlib.sha256(stated.encode()).hexdigest()[:16]
