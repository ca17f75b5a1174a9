"""The training of a sequence network: a LightningModule, its data, and resuming after a kill.

Imported by `Network.fit` alone. Everything random in an epoch is drawn from (seed, epoch, rank),
so a run resumed at an epoch's end goes on exactly as if it had never stopped.
"""

from __future__ import annotations

import logging
import math
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar, Timer
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from components.recommendation.network import NetworkParams, SequenceNet
from components.recommendation.network_data import (
    Batch,
    Lessons,
    Negatives,
    draw_negatives,
    epoch_batches,
    make_batch,
    spans,
    targets_of,
)
from components.recommendation.network_habits import Habits, Owned
from components.recommendation.network_loss import HabitTerms, full_softmax, ndcg, sampled_softmax
from components.settings import settings

log = logging.getLogger(__name__)

WATCHED = "valid_ndcg@10"
VALID_BATCH = 256


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training batch: what is read, what follows (step, item, weight), and what it is told from."""

    batch: Batch
    targets: tuple[np.ndarray, np.ndarray, np.ndarray]
    negatives: Negatives | None
    owned: Owned | None
    habits: np.ndarray | None


class _Epoch(IterableDataset[Lesson]):
    """One epoch's batches of one rank; every rank gets equally many, or the others would wait forever."""

    def __init__(
        self, lessons: Lessons, habits: Habits | None, params: NetworkParams, epoch: int, rank: int, world: int
    ) -> None:
        self._lessons, self._habits, self._params = lessons, habits, params
        batches = epoch_batches(lessons.windows, params.batch, np.random.default_rng([params.seed, epoch]))
        n_each = len(batches) // world
        self._batches = batches[rank::world][:n_each] if n_each else batches[:1]
        self._random = np.random.default_rng([params.seed, epoch, rank])

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Lesson]:
        steps = self._lessons.steps
        for windows in self._batches:
            batch = make_batch(steps, windows)
            targets = targets_of(steps, batch)
            negatives = self._negatives(targets[1])
            if self._habits is None or negatives is None:
                yield Lesson(batch, targets, negatives, None, None)
                continue
            drawn = np.zeros(len(self._lessons.shares), bool)
            drawn[negatives.items] = True
            own = self._habits.features(batch.steps[targets[0]], targets[1])
            yield Lesson(batch, targets, negatives, self._habits.owned(batch, drawn), own)

    def _negatives(self, items: np.ndarray) -> Negatives | None:
        if self._params.loss == "full":
            return None
        return draw_negatives(items, self._lessons.shares, self._params.n_negatives, self._random)


class _Questions(IterableDataset[tuple[Batch, np.ndarray, np.ndarray]]):
    """Validation batches of one rank: what is asked, the answers and their rows."""

    def __init__(self, lessons: Lessons, rank: int, world: int) -> None:
        self._lessons = lessons
        starts = range(0, len(lessons.valid), VALID_BATCH)
        self._starts = starts[rank::world] or starts[:1]  # Lightning refuses a rank without a batch

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
        lessons = self._lessons
        for start in self._starts:
            rows = np.arange(start, min(start + VALID_BATCH, len(lessons.valid)))
            answers, whose, _ = spans(lessons.truth_offsets[rows], np.diff(lessons.truth_offsets)[rows])
            yield make_batch(lessons.steps, lessons.valid.take(rows)), lessons.truth[answers], whose


def _as_is(batch: Any) -> Any:
    return batch


class Training(lightning.LightningModule):
    """A net, what it learns from, and how; holds nothing that the net needs to answer."""

    def __init__(self, net: SequenceNet, lessons: Lessons, habits: Habits | None, params: NetworkParams) -> None:
        super().__init__()
        self.net, self._lessons, self._habits, self._params = net, lessons, habits, params

    def train_dataloader(self) -> DataLoader[Any]:
        trainer = self.trainer
        rank, world = trainer.global_rank, trainer.world_size
        epoch = _Epoch(self._lessons, self._habits, self._params, trainer.current_epoch, rank, world)
        return DataLoader(epoch, batch_size=None, collate_fn=_as_is)

    def val_dataloader(self) -> DataLoader[Any]:
        questions = _Questions(self._lessons, self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(questions, batch_size=None, collate_fn=_as_is)

    def on_train_epoch_start(self) -> None:
        """Dropout goes on from (seed, epoch, rank), whatever happened before."""
        state = np.random.SeedSequence([self._params.seed, self.current_epoch, self.global_rank])
        torch.manual_seed(int(state.generate_state(1)[0]))

    def on_train_start(self) -> None:
        """A run killed between its last epoch and its end must not train on."""
        stoppers = [each for each in self.trainer.callbacks if isinstance(each, EarlyStopping)]
        if any(stopper.wait_count >= stopper.patience for stopper in stoppers):
            self.trainer.should_stop = True

    def training_step(self, lesson: Lesson, number: int) -> Tensor:
        hidden = self.net(lesson.batch)
        rows, items, weights = (torch.from_numpy(array).to(hidden.device) for array in lesson.targets)
        if lesson.negatives is None:
            loss = full_softmax(hidden, self.net.table(), rows, items, weights, self._params.max_logits)
        else:
            n_items, habits = len(self._lessons.shares), self._habit_terms(lesson)
            loss = sampled_softmax(hidden, self.net.vectors, rows, items, weights, lesson.negatives, n_items, habits)
        self.log("loss", loss.detach(), prog_bar=True, batch_size=lesson.batch.shape[0])
        return loss

    def _habit_terms(self, lesson: Lesson) -> HabitTerms | None:
        if lesson.owned is None or lesson.habits is None:
            return None
        learned, owned = self.net.habits.float(), lesson.owned
        steps, items, features, own = (
            torch.from_numpy(array).to(learned.device)
            for array in (owned.steps, owned.items, owned.features, lesson.habits)
        )
        return HabitTerms(steps, items, (features * learned).sum(1), (own * learned).sum(1))

    def validation_step(self, question: tuple[Batch, np.ndarray, np.ndarray], number: int) -> None:
        batch, answers, rows = question
        scores = (self.net(batch)[batch.lasts] @ self.net.table().T).float()
        if self._habits is not None:
            owned = self._habits.owned(batch, np.ones(scores.shape[1], bool))
            last = np.flatnonzero(np.isin(owned.steps, batch.lasts))
            whose = np.searchsorted(batch.lasts, owned.steps[last])
            terms = torch.from_numpy(owned.features[last]).to(scores.device) @ self.net.habits.float()
            scores[whose, owned.items[last]] += terms
        found = ndcg(scores, torch.from_numpy(answers).to(scores.device), torch.from_numpy(rows).to(scores.device))
        self.log(WATCHED, found.mean(), prog_bar=True, on_epoch=True, sync_dist=True, batch_size=batch.shape[0])

    def on_train_epoch_end(self) -> None:
        figures = {name: round(float(value), 4) for name, value in self.trainer.callback_metrics.items()}
        log.info("epoch %d: %s", self.current_epoch + 1, figures)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Numpy stays as it is: the net moves what it reads."""
        return batch

    def configure_optimizers(self) -> Any:
        chosen = self._params
        free = {"habits", "bias"}  # of weight decay, which would pull popularity towards nothing
        others = [weight for name, weight in self.net.named_parameters() if name not in free]
        bias: dict[str, Any] = {"params": [] if self.net.bias is None else [self.net.bias], "weight_decay": 0.0}
        # A handful of plain coefficients, far from zero in a shop of staples: small steps would never arrive.
        coefficients: dict[str, Any] = {
            "params": [self.net.habits],
            "lr": 10 * chosen.learning_rate,
            "weight_decay": 0.0,
        }
        optimizer = torch.optim.AdamW(
            [{"params": others}, bias, coefficients],
            lr=chosen.learning_rate,
            weight_decay=chosen.weight_decay,
            betas=(0.9, 0.98),
            fused="mixed" not in settings().precision,  # Lightning cannot clip gradients of the two together
        )
        n_steps = max(1, chosen.epochs * math.ceil(len(self._lessons.windows) / chosen.batch / self.trainer.world_size))
        rising = max(1, int(n_steps * chosen.warm_up_share))

        def share(step: int) -> float:
            """Up to the full rate, then down a half cosine."""
            if step < rising:
                return (step + 1) / rising
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, n_steps - rising))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_net(
    net: SequenceNet, lessons: Lessons, habits: Habits | None, params: NetworkParams, scratch: Path | None
) -> None:
    """Train `net` in place; it ends with the weights of its best epoch.

    `scratch` belongs to this run alone, survives a kill, and is removed at the end.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = scratch or Path(temporary)
        best = ModelCheckpoint(folder, "best", monitor=WATCHED, mode="max", save_on_train_epoch_end=True)
        # After `best`, so that what is resumed knows which epoch was best so far.
        latest = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
        module = Training(net, lessons, habits, params)
        last = folder / "last.ckpt"
        _run(_trainer(params, [best, latest]), module, last if last.is_file() else None)
        if best.best_model_path:
            kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
            module.load_state_dict(kept["state_dict"])
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _run(trainer: lightning.Trainer, module: Training, last: Path | None) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # what it found of hardware, and advertisements
    if last is not None:
        log.info("resuming from %s", last)
    with warnings.catch_warnings():
        # Lightning advises worker processes for loading; ours only slices arrays.
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        trainer.fit(module, ckpt_path=last)


def _trainer(params: NetworkParams, checkpoints: list[ModelCheckpoint]) -> lightning.Trainer:
    where = settings()
    callbacks: list[Callback] = [
        EarlyStopping(WATCHED, mode="max", patience=params.patience, strict=False, check_on_train_epoch_end=True),
        Timer(timedelta(minutes=params.max_minutes), interval="step", verbose=False),
        *checkpoints,
    ]
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return lightning.Trainer(
        accelerator=where.accelerator,
        devices=int(where.devices) if where.devices.isdigit() else where.devices,
        # Plain ddp runs the whole command once more per device and never joins them again: a stage
        # that fits twice, or writes afterwards, would do so in every one of them.
        strategy="ddp_spawn" if where.strategy == "ddp" else where.strategy,
        precision=where.precision,
        max_epochs=params.epochs,
        callbacks=callbacks,
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
    )
