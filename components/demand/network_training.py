"""The training of a forecasting network by Lightning through neuralforecast, and its answers.

Imported inside the methods of components.demand.network alone: neuralforecast takes seconds to import.
"""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.tsdataset import BaseTimeSeriesDataset
from pytorch_lightning.callbacks import RichProgressBar, Timer
from pytorch_lightning.utilities.seed import isolate_rng

from components.demand.network_windows import Layout, Windows
from components.settings import settings

ANSWERED = 4096  # windows answered at once


class _Dataset(BaseTimeSeriesDataset):
    """Each window as a series of its own, cut when it is asked for: neuralforecast scales whole series only."""

    def __init__(self, windows: Windows, layout: Layout) -> None:
        columns = ["y", "available_mask", *known_columns(layout), *past_columns(layout), "sample_weight"]
        super().__init__(columns, max_size=windows.length, min_size=windows.length, y_idx=0)
        self.n_groups = len(windows)
        self._windows = windows

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[dict[str, Any]]:
        chosen = np.asarray(rows)
        cut = self._windows.take(chosen)
        weights = np.broadcast_to(self._windows.weights[chosen][:, None, None], (*cut.shape[:2], 1))
        temporal = torch.from_numpy(np.concatenate([cut, weights], axis=2)).transpose(1, 2)
        return [
            {"temporal": each, "temporal_cols": self.temporal_cols, "static": None, "static_cols": None, "y_idx": 0}
            for each in temporal
        ]


def known_columns(layout: Layout) -> list[str]:
    return [*(f"known_{name}" for name in layout.known), "response"]


def past_columns(layout: Layout) -> list[str]:
    return [f"past_{name}" for name in layout.past]


@contextmanager
def _alone() -> Iterator[None]:
    """neuralforecast seeds everything global and says much; neither must reach the rest of the process."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with isolate_rng(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning|neuralforecast|torch")
        yield


def make_net(network: Any, own: dict[str, Any], layout: Layout, params: Any, seed: int, folder: str = ".") -> Any:
    """An untrained net of the neuralforecast class `network`; `own` are the arguments that only this class has."""
    with _alone():
        return network(
            h=layout.horizon,
            input_size=params.input_periods,
            futr_exog_list=known_columns(layout),
            hist_exog_list=past_columns(layout),
            loss=MQLoss(quantiles=list(layout.quantiles)),
            scaler_type="identity",
            max_steps=params.max_steps,
            batch_size=params.batch,
            windows_batch_size=params.batch,
            step_size=params.input_periods + 2 * layout.horizon,  # one window per series: ours are cut already
            training_data_availability_threshold=[0.0, 1.0],
            learning_rate=params.learning_rate,
            optimizer=torch.optim.AdamW,
            optimizer_kwargs={"weight_decay": params.weight_decay},
            lr_scheduler=torch.optim.lr_scheduler.OneCycleLR,
            lr_scheduler_kwargs={
                "max_lr": params.learning_rate,
                "total_steps": params.max_steps + 1,
                "pct_start": params.warm_up_share,
            },
            random_seed=seed,
            **own,
            **_trainer(params.max_minutes, folder),
        )


def _trainer(max_minutes: float, folder: str) -> dict[str, Any]:
    """Lightning's arguments: where it runs is the environment's to say, and nothing is left on disk."""
    where = settings()
    callbacks: list[Any] = [Timer(timedelta(minutes=max_minutes), interval="step", verbose=False)]
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return {
        "accelerator": where.accelerator,
        "devices": int(where.devices) if where.devices.isdigit() else where.devices,
        # Plain ddp would run the whole command once more per device.
        "strategy": "ddp_spawn" if where.strategy == "ddp" else where.strategy,
        "precision": where.precision,
        "callbacks": callbacks,
        "default_root_dir": folder,
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": sys.stderr.isatty(),
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "gradient_clip_val": 1.0,
    }


def train_net(network: Any, own: dict[str, Any], layout: Layout, windows: Windows, params: Any, seed: int) -> Any:
    """A trained net on the processor, None where its loss became NaN; the same seed gives the same net."""
    with tempfile.TemporaryDirectory() as folder:
        net = make_net(network, own, layout, params, seed, folder)
        try:
            with _alone():
                net.fit(_Dataset(windows, layout))
        except Exception as error:
            if "Loss is NaN" not in str(error):  # neuralforecast raises a bare Exception
                raise
            return None
    return at_rest(net)


def at_rest(net: Any) -> Any:
    """The net ready to answer, on the processor, in single precision."""
    return net.float().cpu().eval().requires_grad_(False)


def weights_of(net: Any) -> dict[str, torch.Tensor]:
    """State dict of what answers; the loss, which holds only the levels, is left out."""
    return {name: value.contiguous() for name, value in net.state_dict().items() if "loss" not in name.split(".")[0]}


def with_weights(net: Any, weights: dict[str, torch.Tensor]) -> Any:
    """`net` with what `weights_of` gave."""
    net.load_state_dict({**net.state_dict(), **weights})
    return at_rest(net)


def answers(net: Any, windows: Windows, layout: Layout, chosen: np.ndarray) -> np.ndarray:
    """(n_chosen, horizon, n_quantiles) float32 in units of each window's scale."""
    before, n_known = windows.length - layout.horizon, len(known_columns(layout))
    parts = [np.zeros((0, layout.horizon, len(layout.quantiles)), np.float32)]
    for start in range(0, len(chosen), ANSWERED):
        cut = torch.from_numpy(windows.take(chosen[start : start + ANSWERED]))
        batch = {
            "insample_y": cut[:, :before, :1],
            "insample_mask": cut[:, :before, 1:2],
            "futr_exog": cut[:, :, 2 : 2 + n_known],
            "hist_exog": cut[:, :before, 2 + n_known :] if layout.past else None,
            "stat_exog": None,
        }
        with torch.inference_mode():
            parts.append(net(batch).reshape(len(cut), layout.horizon, -1).numpy())
    return np.concatenate(parts)
