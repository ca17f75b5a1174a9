"""Temporal Fusion Transformer: recurrence, attention and a choice among covariates (Lim et al. 2021)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from components.core.params import Params
from components.demand.network import Network, NetworkParams
from components.demand.network_windows import Layout


class TftParams(NetworkParams):
    n_nets: int = Field(1, ge=1, description="Networks that differ in their seed alone; their quantiles are averaged.")
    max_steps: int = Field(300, ge=1, description="Training steps per network.")
    batch: int = Field(128, ge=1, description="Windows per training step and device.")
    learning_rate: float = Field(5e-3, gt=0)
    hidden: int = Field(32, ge=4, description="Width of every layer; a multiple of heads.")
    heads: int = Field(4, ge=1, description="Attention heads.")
    dropout: float = Field(0.1, ge=0, lt=1)


class Tft(Network):
    """Weighs covariates period by period, remembers them in order and attends to the periods that matter."""

    params_class: ClassVar[type[Params]] = TftParams

    def _architecture(self) -> tuple[Any, dict[str, Any]]:
        from neuralforecast.models import TFT

        own = {"hidden_size": self.params.hidden, "n_head": self.params.heads, "dropout": self.params.dropout}
        return TFT, own

    def _cells_per_window(self, layout: Layout) -> int:
        periods = self.params.input_periods + layout.horizon
        return 8 * periods * (2 + len(layout.known) + len(layout.past)) * self.params.hidden


MODEL = Tft
