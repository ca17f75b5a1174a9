"""What the forecasting networks share: parameters, fit, answers, and the check that a fit did not diverge.

A model file names the neuralforecast class and the arguments that only this class has. Training lives in
network_training, which alone imports torch, Lightning and neuralforecast.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import atomic_path, read_json, write_json
from components.core.errors import DoesNotFit, ModelError, NotFitted
from components.core.model import Refits
from components.core.params import Params
from components.demand.features.panel import Panel
from components.demand.forecaster import Forecaster
from components.demand.network_windows import Layout, Windows, lessons, questions
from components.memory import require_memory

log = logging.getLogger(__name__)

MARGIN = 0.05  # of a usual period: a net this much worse than repeating the last value has diverged


class NetworkParams(Params):
    input_periods: int = Field(4, ge=1, description="Periods that a network reads; a shorter history is padded.")
    n_nets: int = Field(3, ge=1, description="Networks that differ in their seed alone; their quantiles are averaged.")
    min_known: int = Field(4, ge=1, description="Known periods before an origin from which training may learn.")
    volume_weight: float = Field(
        1.0, ge=0, le=1, description="A series counts by its scale to this power: 0 all alike, 1 by units sold."
    )
    shrinkage: float = Field(
        20.0, gt=0, description="Of each series' own regression on what is known in advance, in standardised periods."
    )
    max_steps: int = Field(250, ge=1, description="Training steps per network.")
    batch: int = Field(512, ge=1, description="Windows per training step and device.")
    learning_rate: float = Field(2e-3, gt=0)
    warm_up_share: float = Field(0.1, gt=0, lt=1, description="Of the steps; afterwards the rate falls to nothing.")
    weight_decay: float = Field(0.01, ge=0)
    max_minutes: float = Field(10, gt=0, description="Training of one network stops then.")
    seed: int = 0


class Network(Forecaster):
    """Everything of a forecasting network but its architecture."""

    params_class: ClassVar[type[Params]] = NetworkParams
    # A fit on the first 20 weeks alone scores later weeks far worse (validation WAPE .459 against .400, NHITS):
    # ensembles would weigh a network that is not the one that ships.
    refits: ClassVar[Refits] = "every_fold"

    def __init__(self, params: Params | None = None) -> None:
        given = params.model_dump() if params else {}
        self.params: Any = self.params_class.model_validate(given)
        self._layout: Layout | None = None
        self._nets: list[Any] = []

    @abstractmethod
    def _architecture(self) -> tuple[Any, dict[str, Any]]:
        """The neuralforecast class, and the arguments that only this class has."""

    @abstractmethod
    def _cells_per_window(self, layout: Layout) -> int:
        """Numbers that one window's forward pass keeps for the backward pass, roughly."""

    def fit(self, train: pl.DataFrame, valid: pl.DataFrame | None = None, scratch: Path | None = None) -> Self:
        """Learn from every window of every series; a killed fit starts anew, since it is short.

        Raises DoesNotFit before it starts where memory or history is too little, and after it where every
        network diverged; one that diverged among others is left out.
        """
        from components.demand.network_training import train_net

        chosen, panel = self.params, Panel.of(train)
        layout = Layout.of(panel)
        self._check_memory(panel, layout)
        windows = lessons(panel, layout, chosen)
        if not len(windows):
            raise DoesNotFit(
                f"{self._name()}: expected a series with {chosen.min_known + panel.horizon} known periods in a row, "
                f"got none of {len(panel)}; bring more history or lower min_known"
            )
        network, own = self._architecture()
        nets = []
        for seed in range(chosen.seed, chosen.seed + chosen.n_nets):
            net = train_net(network, own, layout, windows, chosen, seed)
            if net is not None and self._sound(net, windows, layout):
                nets.append(net)
        if not nets:
            raise DoesNotFit(
                f"{self._name()}: expected forecasts no worse than the last value, got a network that diverged; "
                "lower learning_rate, or take the model out of params.yaml"
            )
        self._layout, self._nets = layout, nets
        return self

    def forecast(self, panel: Panel) -> np.ndarray:
        """NaN for a series without any known period; raises ModelError for levels or a horizon not learned."""
        from components.demand.network_training import answers

        layout, nets = self._fitted()
        levels = self._levels(panel, layout)
        windows = questions(panel, layout, self.params)
        everything = np.arange(len(windows))
        each = [np.sort(answers(net, windows, layout, everything), axis=2) for net in nets]
        mean = np.mean(each, axis=0)
        units = mean[:, : panel.horizon, levels] * windows.scales[:, None, None]
        units[~np.isfinite(panel.y).any(axis=1)] = np.nan
        return np.asarray(units)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        from components.demand.network_training import weights_of

        layout, nets = self._fitted()
        write_json(folder / "params.json", self.params.model_dump())
        write_json(folder / "layout.json", {"n_nets": len(nets), **layout.to_json()})
        with atomic_path(folder / "nets.safetensors") as path:
            named = {
                f"{number}.{name}": value for number, net in enumerate(nets) for name, value in weights_of(net).items()
            }
            save_file(named, path)

    @classmethod
    def load(cls, folder: Path) -> Self:
        from safetensors.torch import load_file

        from components.demand.network_training import make_net, with_weights

        model = cls(cls.params_class(**read_json(folder / "params.json")))
        stated = read_json(folder / "layout.json")
        n_nets = stated.pop("n_nets")
        layout = Layout.from_json(stated)
        saved = load_file(folder / "nets.safetensors")
        network, own = model._architecture()
        for number in range(n_nets):
            start = f"{number}."
            weights = {name.removeprefix(start): value for name, value in saved.items() if name.startswith(start)}
            net = make_net(network, own, layout, model.params, model.params.seed)
            model._nets.append(with_weights(net, weights))
        model._layout = layout
        return model

    def _fitted(self) -> tuple[Layout, list[Any]]:
        if self._layout is None:
            raise NotFitted(f"{self._name()}: expected a fitted model; call fit() or load() first")
        return self._layout, self._nets

    def _name(self) -> str:
        return type(self).__name__.lower()

    def _levels(self, panel: Panel, layout: Layout) -> list[int]:
        """Where the wanted quantiles stand among the learned ones."""
        if panel.horizon > layout.horizon or not set(panel.quantiles.tolist()) <= set(layout.quantiles):
            raise ModelError(
                f"{self._name()}: expected at most {layout.horizon} periods and quantiles among {layout.quantiles}, "
                f"got {panel.horizon} and {tuple(panel.quantiles.tolist())}; ask for those, or train with others"
            )
        return [layout.quantiles.index(level) for level in panel.quantiles.tolist()]

    def _check_memory(self, panel: Panel, layout: Layout) -> None:
        """All cells three times over, and what one training step holds."""
        n, length = panel.y.shape
        cells = n * (length + self.params.input_periods) * (3 + len(layout.known) + len(layout.past))
        require_memory(
            f"{self._name()} ({n:,} series of {length} periods; a smaller batch or fewer covariates need less)",
            4 * (3 * cells + 3 * self.params.batch * self._cells_per_window(layout)),
        )

    def _sound(self, net: Any, windows: Windows, layout: Layout) -> bool:
        """Whether the net forecasts the latest windows of train at least about as well as the last value does."""
        from components.demand.network_training import answers

        latest = windows.latest()
        cut = windows.take(latest)
        truth = cut[:, -layout.horizon :, 0]
        last = np.broadcast_to(cut[:, -layout.horizon - 1, 0, None, None], (*truth.shape, len(layout.quantiles)))
        weights, levels = windows.weights[latest], np.array(layout.quantiles)
        found = pinball(truth, answers(net, windows, layout, latest), levels, weights)
        floor = pinball(truth, last, levels, weights)
        log.info("%s: loss %.4f on the latest windows, %.4f by repeating the last value", self._name(), found, floor)
        return bool(np.isfinite(found) and found <= floor + MARGIN)


def pinball(truth: np.ndarray, forecast: np.ndarray, levels: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean quantile loss (Koenker and Bassett 1978) of forecasts (n, horizon, n_levels)."""
    gap = truth[:, :, None] - forecast
    losses = np.maximum(levels * gap, (levels - 1) * gap).mean(axis=(1, 2))
    return float(np.average(losses, weights=weights))
