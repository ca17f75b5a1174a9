"""The training of a network over messages: a LightningModule, its data, and resuming after a kill.

Imported by `Network.fit` alone. Everything random in an epoch is drawn from (seed, epoch, rank), so a run resumed
at an epoch's end goes on exactly as if it had never stopped.
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
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from components.settings import settings
from components.support.network import NetworkParams, TextNet
from components.support.network_reading import Batch, Lines

log = logging.getLogger(__name__)

WATCHED = "valid_accuracy"
VALID_BATCH = 256
ALIKE = 16  # batches whose texts are drawn together and sorted by length: fewer empty cells, still random


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is learned from, and what early stopping is judged on (none: every epoch is trained)."""

    lines: Lines
    labels: np.ndarray
    valid: Lines
    valid_labels: np.ndarray


Told = tuple[Batch, np.ndarray]


class _Epoch(IterableDataset[Told]):
    """Batches of one rank, in a given order."""

    def __init__(self, lines: Lines, labels: np.ndarray, batches: list[np.ndarray]) -> None:
        self._lines, self._labels, self._batches = lines, labels, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Told]:
        for rows in self._batches:
            yield self._lines.take(rows), self._labels[rows]


def epoch_batches(lengths: np.ndarray, size: int, random: np.random.Generator) -> list[np.ndarray]:
    """Every row once, in batches of like length and random order; the last one of all may be smaller."""
    order = random.permutation(len(lengths))
    pools = [order[start : start + ALIKE * size] for start in range(0, len(order), ALIKE * size)]
    sorted_rows = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    batches = [sorted_rows[start : start + size] for start in range(0, len(sorted_rows), size)]
    return [batches[place] for place in random.permutation(len(batches))]


def _of_rank(batches: list[np.ndarray], rank: int, world: int) -> list[np.ndarray]:
    """Equally many for every rank, or the others would wait for ever."""
    n_each = len(batches) // world
    return batches[rank::world][:n_each] if n_each else batches[:1]


def _as_is(batch: Any) -> Any:
    return batch


class Training(lightning.LightningModule):
    """A net, what it learns from, and how; holds nothing that the net needs to answer."""

    def __init__(self, net: TextNet, lessons: Lessons, params: NetworkParams) -> None:
        super().__init__()
        self.net, self._lessons, self._params = net, lessons, params

    def train_dataloader(self) -> DataLoader[Any]:
        lessons, trainer = self._lessons, self.trainer
        random = np.random.default_rng([self._params.seed, trainer.current_epoch])
        batches = epoch_batches(lessons.lines.lengths, self._params.batch, random)
        mine = _of_rank(batches, trainer.global_rank, trainer.world_size)
        return DataLoader(_Epoch(lessons.lines, lessons.labels, mine), batch_size=None, collate_fn=_as_is)

    def val_dataloader(self) -> Any:
        lessons, trainer = self._lessons, self.trainer
        if not len(lessons.valid):
            return []
        rows = np.arange(len(lessons.valid))
        batches = [rows[start : start + VALID_BATCH] for start in range(0, len(rows), VALID_BATCH)]
        mine = batches[trainer.global_rank :: trainer.world_size] or batches[:1]
        return DataLoader(_Epoch(lessons.valid, lessons.valid_labels, mine), batch_size=None, collate_fn=_as_is)

    def on_train_epoch_start(self) -> None:
        """Dropout goes on from (seed, epoch, rank), whatever happened before."""
        state = np.random.SeedSequence([self._params.seed, self.current_epoch, self.global_rank])
        torch.manual_seed(int(state.generate_state(1)[0]))

    def on_train_start(self) -> None:
        """A run killed between its last epoch and its end must not train on."""
        stoppers = [each for each in self.trainer.callbacks if isinstance(each, EarlyStopping)]
        if any(stopper.wait_count >= stopper.patience for stopper in stoppers):
            self.trainer.should_stop = True

    def training_step(self, told: Told, number: int) -> Tensor:
        batch, labels = told
        logits = self.net(batch)
        answers = torch.from_numpy(labels).to(logits.device)
        loss = functional.cross_entropy(logits.float(), answers, label_smoothing=self._params.smoothing)
        self.log("loss", loss.detach(), prog_bar=True, batch_size=len(labels))
        return loss

    def validation_step(self, told: Told, number: int) -> None:
        batch, labels = told
        logits = self.net(batch).float()
        right = logits.argmax(dim=1) == torch.from_numpy(labels).to(logits.device)
        self.log(WATCHED, right.float().mean(), prog_bar=True, on_epoch=True, sync_dist=True, batch_size=len(labels))

    def on_train_epoch_end(self) -> None:
        figures = {name: round(float(value), 4) for name, value in self.trainer.callback_metrics.items()}
        log.info("epoch %d: %s", self.current_epoch + 1, figures)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Numpy stays as it is: the net moves what it reads."""
        return batch

    def configure_optimizers(self) -> Any:
        chosen = self._params
        optimizer = torch.optim.AdamW(
            self.net.parameters(),
            lr=chosen.learning_rate,
            weight_decay=chosen.weight_decay,
            fused="mixed" not in settings().precision,  # Lightning cannot clip gradients of the two together
        )
        n_each = math.ceil(len(self._lessons.lines) / chosen.batch / self.trainer.world_size)
        n_steps = max(1, chosen.epochs * n_each)
        rising = max(1, int(n_steps * chosen.warm_up_share))

        def share(step: int) -> float:
            """Up to the full rate, then down a half cosine."""
            if step < rising:
                return (step + 1) / rising
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, n_steps - rising))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_net(net: TextNet, lessons: Lessons, params: NetworkParams, scratch: Path | None) -> None:
    """Train `net` in place; it ends with the weights of its best epoch, or of the last where nothing judges.

    `scratch` belongs to this run alone, survives a kill, and is removed at the end.
    """
    judged = len(lessons.valid) > 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = scratch or Path(temporary)
        best = ModelCheckpoint(folder, "best", monitor=WATCHED, mode="max", save_on_train_epoch_end=True)
        # After `best`, so that what is resumed knows which epoch was best so far.
        latest = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
        module, last = Training(net, lessons, params), folder / "last.ckpt"
        callbacks = [best, latest, _stopping(params)] if judged else [latest]
        _run(_trainer(params, callbacks), module, last if last.is_file() else None)
        if best.best_model_path:
            kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
            module.load_state_dict(kept["state_dict"])
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _stopping(params: NetworkParams) -> EarlyStopping:
    return EarlyStopping(WATCHED, mode="max", patience=params.patience, strict=False, check_on_train_epoch_end=True)


def _run(trainer: lightning.Trainer, module: Training, last: Path | None) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # what it found of hardware, and advertisements
    if last is not None:
        log.info("resuming from %s", last)
    with warnings.catch_warnings():
        # Lightning advises worker processes for loading; ours only slices arrays.
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        trainer.fit(module, ckpt_path=last)


def _trainer(params: NetworkParams, callbacks: list[Any]) -> lightning.Trainer:
    where = settings()
    every: list[Callback] = [Timer(timedelta(minutes=params.max_minutes), interval="step", verbose=False), *callbacks]
    if sys.stderr.isatty():
        every.append(RichProgressBar(console_kwargs={"stderr": True}))
    return lightning.Trainer(
        accelerator=where.accelerator,
        devices=int(where.devices) if where.devices.isdigit() else where.devices,
        # Plain ddp runs the whole command once more per device and never joins them again: a stage
        # that fits twice, or writes afterwards, would do so in every one of them.
        strategy="ddp_spawn" if where.strategy == "ddp" else where.strategy,
        precision=where.precision,
        max_epochs=params.epochs,
        callbacks=every,
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
    )
