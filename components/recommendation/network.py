"""What the networks over purchase sequences share: parameters, the net, answers, and the fit.

A model file adds the part that mixes a step with the steps before it (attention, recurrence,
convolution). Item embeddings are tied: the table that reads items also scores them. Training
lives in network_training, which alone imports Lightning: serving must not wait for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
import torch
from pydantic import Field, model_validator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from components.core.artifacts import atomic_path, load_array, read_json, save_arrays, write_json
from components.core.errors import DoesNotFit, NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.memory import GIB, require_memory
from components.recommendation.features.histories import Histories
from components.recommendation.network_data import N_GAPS, Batch, Lessons, Steps, last_windows, lessons_of, make_batch
from components.recommendation.network_habits import Habits, habits_of
from components.recommendation.network_loss import cell_values
from components.recommendation.ranking import WholeCatalogue

log = logging.getLogger(__name__)

ANSWERED = 512  # queries answered at once


class NetworkParams(Params):
    target: Literal["next_item", "next_basket"] = Field("next_basket", description="Also what one step is.")
    only_new: bool = Field(False, description="Learn what a customer has not bought before; leave repeats to others.")
    min_support: int = Field(10, ge=1, description="Items in fewer training rows are left to other models.")
    length: int = Field(50, ge=1, description="Steps that the network reads.")
    dim: int = Field(64, ge=2)
    n_blocks: int = Field(2, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    popularity: bool = Field(False, description="A bias per item that starts as the logarithm of its share.")
    cosine_scale: float | None = Field(
        None, gt=0, description="Score by scaled cosine instead of the inner product (Gupta et al. 2019)."
    )
    habit_days: tuple[float, ...] = Field(
        (7.0, 21.0, 60.0, 365.0), description="Half-lives of what a customer had before, each a term of the score."
    )
    loss: Literal["full", "sampled"] = Field("sampled", description="Softmax over all items, or shared negatives.")
    n_negatives: int = Field(1024, ge=2, description="Sampled loss: half from the batch, half uniform.")
    max_logits: int = Field(4_000_000, ge=1, description="Full loss: logits held at once.")
    batch: int = Field(32, ge=1, description="Sequences per training step and device.")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warm_up_share: float = Field(0.05, ge=0, lt=1)
    epochs: int = Field(5, ge=1)
    patience: int = Field(2, ge=1, description="Epochs without a better validation nDCG before stopping.")
    max_valid: int = Field(2000, ge=1, description="Customers on whom early stopping is judged.")
    max_minutes: float = Field(10, gt=0, description="Training stops then, with the best weights so far.")
    seed: int = 0

    @model_validator(mode="after")
    def _habits_need_sampling(self) -> Self:
        if self.loss == "full" and self.habit_days:
            raise ValueError("loss 'full' knows no habits: set habit_days to [] or loss to 'sampled'")
        return self


class SequenceNet(nn.Module):
    """Steps in, one vector per step out; the vector's product with an item's embedding is its score."""

    def __init__(self, n_items: int, params: NetworkParams, mixer: nn.Module) -> None:
        super().__init__()
        self.items = nn.EmbeddingBag(n_items, params.dim, mode="mean")
        self.positions = nn.Embedding(params.length, params.dim)
        self.gaps = nn.Embedding(N_GAPS, params.dim)
        self.before, self.after = nn.LayerNorm(params.dim), nn.LayerNorm(params.dim)
        self.dropout, self.mixer = nn.Dropout(params.dropout), mixer
        self.cosine_scale = params.cosine_scale
        self.bias = nn.Parameter(torch.zeros(n_items, 1)) if params.popularity else None
        self.habits = nn.Parameter(torch.zeros(1 + len(params.habit_days)))
        for embedding in (self.items, self.positions, self.gaps):
            nn.init.normal_(embedding.weight, std=0.02 if params.cosine_scale is None else params.dim**-0.5)

    def start_from(self, shares: np.ndarray) -> None:
        """Biases that alone answer with popularity; shares (n_items,) sum to 1."""
        if self.bias is not None:
            logs = np.log(shares + 0.1 / len(shares))
            self.bias.data[:, 0] = torch.from_numpy(logs - logs.mean())

    def forward(self, batch: Batch) -> Tensor:
        """(n_steps, dim), in the order of the batch's steps."""
        device = self.items.weight.device
        items, offsets, gaps, positions, places = (
            torch.from_numpy(array).to(device)
            for array in (batch.items, batch.offsets, batch.gaps, batch.positions, batch.places)
        )
        read = self.items(items, offsets) + self.positions(positions) + self.gaps(gaps)
        grid = self.mixer(cell_values(batch, self.dropout(self.before(read))))
        vectors: Tensor = self.after(grid.flatten(0, 1)[places])
        if self.cosine_scale is not None:
            vectors = functional.normalize(vectors, dim=1) * self.cosine_scale
        # A last column of ones meets the table's last column, the biases.
        return vectors if self.bias is None else torch.cat([vectors, torch.ones_like(vectors[:, :1])], dim=1)

    def table(self) -> Tensor:
        """What scores the items, (n_items, dim), with a last column of biases if there are any."""
        return self._scaled(self.items.weight, self.bias)

    def vectors(self, items: Tensor) -> Tensor:
        """Rows of `table`, without making the rest of it."""
        bias = None if self.bias is None else functional.embedding(items, self.bias)
        return self._scaled(functional.embedding(items, self.items.weight), bias)

    def _scaled(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        scaled = weight if self.cosine_scale is None else functional.normalize(weight, dim=1)
        return scaled if bias is None else torch.cat([scaled, bias], dim=1)


class Network(WholeCatalogue):
    """Everything of a sequence model but its mixer; scores only items with enough support."""

    params_class: ClassVar[type[Params]] = NetworkParams
    refits: ClassVar[Refits] = "first_and_last"

    def __init__(self, params: Params | None = None) -> None:
        given = params.model_dump() if params else {}
        self.params: Any = self.params_class.model_validate(given)
        self._codes = np.empty(0, np.int32)
        self._net: SequenceNet | None = None
        self._table: Tensor | None = None

    @abstractmethod
    def _mixer(self) -> nn.Module:
        """(n_rows, width, dim) to the same shape; a step must not see later ones."""

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        """Learn from every customer's sequence; `valid` (customer, item) holds what came next.

        A run killed before the end goes on from its last whole epoch when `scratch` is the same,
        and ends with the weights it would have had. Raises DoesNotFit before it starts.
        """
        from components.recommendation.network_training import train_net

        codes = self._catalogue(train)
        lessons = self._lessons(train, valid, codes)
        self._check_memory(int(codes.max()) + 1, lessons)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.params.seed)
            net = self._make_net(int(codes.max()) + 1)
            net.start_from(lessons.shares)
            habits = Habits.of(lessons.steps, self.params.habit_days) if self.params.habit_days else None
            train_net(net, lessons, habits, self.params, scratch / self._run_name(lessons) if scratch else None)
        self._adopt(codes, net)
        return self

    def scores(self, histories: Histories) -> np.ndarray:
        net, table = self._fitted()
        steps = Steps.of(histories, self._codes, self.params.target == "next_basket")
        windows = last_windows(steps, self.params.length)
        answer = np.full((len(histories), self.n_items), np.nan, np.float32)
        known = np.flatnonzero(self._codes >= 0)
        asked = np.flatnonzero(windows.stops > windows.starts)
        for start in range(0, len(asked), ANSWERED):
            rows = asked[start : start + ANSWERED]
            batch = make_batch(steps, windows.take(rows))
            with torch.inference_mode():
                found = (net(batch)[torch.from_numpy(batch.lasts)] @ table.T).numpy()
            answer[np.ix_(rows, known)] = found
        if self.params.habit_days:
            owned = habits_of(histories, self._codes, self.params.habit_days)
            answer[owned.steps, known[owned.items]] += owned.features @ net.habits.numpy()
        return answer

    def save(self, folder: Path) -> None:
        net, _ = self._fitted()
        save_arrays(folder, {"codes": self._codes})
        write_json(folder / "params.json", self.params.model_dump())
        with atomic_path(folder / "net.safetensors") as path:
            save_file(net.state_dict(), path)

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(cls.params_class(**read_json(folder / "params.json")))
        codes = np.array(load_array(folder, "codes"))
        net = model._make_net(int(codes.max()) + 1)
        net.load_state_dict(load_file(folder / "net.safetensors"))
        model._adopt(codes, net)
        return model

    def _make_net(self, n_items: int) -> SequenceNet:
        return SequenceNet(n_items, self.params, self._mixer())

    def _adopt(self, codes: np.ndarray, net: SequenceNet) -> None:
        self._codes, self.n_items = codes, len(codes)
        self._net = net.cpu().eval().requires_grad_(False)
        self._table = self._net.table().contiguous()

    def _fitted(self) -> tuple[SequenceNet, Tensor]:
        if self._net is None or self._table is None:
            raise NotFitted(f"{self._name()}: expected a fitted model; call fit() or load() first")
        return self._net, self._table

    def _name(self) -> str:
        return type(self).__name__.lower()

    def _catalogue(self, train: pl.DataFrame) -> np.ndarray:
        """The network's own code of every catalogue item, (n_items,) int32; -1 where support is too small."""
        support = np.bincount(train["item"].to_numpy()) if train.height else np.zeros(1, np.int64)
        enough = support >= self.params.min_support
        if enough.sum() < 2:
            raise DoesNotFit(
                f"{self._name()}: expected two items or more in {self.params.min_support} rows, got {enough.sum()} "
                f"of {len(support)}; lower min_support or bring more history"
            )
        return np.where(enough, np.cumsum(enough) - 1, -1).astype(np.int32)

    def _lessons(self, train: pl.DataFrame, valid: pl.DataFrame | None, codes: np.ndarray) -> Lessons:
        chosen = self.params
        histories, customers = Histories.from_train(train)
        by_basket = chosen.target == "next_basket"
        lessons = lessons_of(
            histories, customers, codes, valid, by_basket, chosen.length, chosen.max_valid, chosen.seed, chosen.only_new
        )
        if not len(lessons.windows):
            unit = "baskets" if by_basket else "events"
            raise DoesNotFit(
                f"{self._name()}: expected customers with two {unit} or more, got none among {len(customers)}; "
                "bring transactions with customer ids"
            )
        return lessons

    def _check_memory(self, n_items: int, lessons: Lessons) -> None:
        """Weights, gradient and two moments (twice, for the checkpoint), logits, and a batch's activations."""
        chosen = self.params
        cells = chosen.batch * chosen.length
        logits = 2 * chosen.max_logits if chosen.loss == "full" else 3 * cells * min(chosen.n_negatives, n_items)
        activations = cells * chosen.dim * 24 * chosen.n_blocks
        data = (3 + 2 * len(chosen.habit_days)) * len(lessons.steps.items) + 4 * len(lessons.steps.gaps)
        need = 4 * (8 * n_items * chosen.dim + logits + activations + 2 * data)
        sizes = f"{n_items:,} items, dim {chosen.dim}, batch {chosen.batch} x {chosen.length}"
        require_memory(f"{self._name()} ({sizes}; a higher min_support or a smaller batch needs less)", need)
        log.info("%s: %s, %d windows, about %.2f GiB", self._name(), sizes, len(lessons.windows), need / GIB)

    def _run_name(self, lessons: Lessons) -> str:
        """Another name for other data or parameters, so that only the same run is resumed."""
        stated = json.dumps([self._name(), self.params.model_dump()], sort_keys=True)
        held = [lessons.steps.fingerprint(), lessons.truth.tobytes().hex(), lessons.valid.stops.tobytes().hex()]
        return hashlib.sha256("".join([stated, *held]).encode()).hexdigest()[:16]
