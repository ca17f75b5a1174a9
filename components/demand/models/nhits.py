"""NHITS: a stack of small perceptrons, each at a rate of its own (Challu et al. 2023), with planned promotions."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from components.core.params import Params
from components.demand.network import Network, NetworkParams
from components.demand.network_windows import Layout


class NhitsParams(NetworkParams):
    hidden: int = Field(128, ge=2, description="Units of each hidden layer.")
    dropout: float = Field(0.0, ge=0, lt=1)


class Nhits(Network):
    """Reads the latest periods and every covariate at once; later blocks forecast what earlier ones left over."""

    params_class: ClassVar[type[Params]] = NhitsParams

    def _architecture(self) -> tuple[Any, dict[str, Any]]:
        from neuralforecast.models import NHITS

        units = 3 * [[self.params.hidden, self.params.hidden]]
        return NHITS, {"mlp_units": units, "dropout_prob_theta": self.params.dropout}

    def _cells_per_window(self, layout: Layout) -> int:
        periods = self.params.input_periods + layout.horizon
        return 3 * (periods * (2 + len(layout.known) + len(layout.past)) + 4 * self.params.hidden)


MODEL = Nhits
