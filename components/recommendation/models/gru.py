"""A gated recurrent network over what a customer bought (GRU4Rec: Hidasi et al. 2016; Hidasi and Karatzoglou 2018)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from components.core.params import Params
from components.recommendation.network import Network, NetworkParams


class _Recurrence(nn.Module):
    """Stacked GRU layers, projected and added to their input."""

    def __init__(self, dim: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.GRU(dim, dim, n_layers, batch_first=True, dropout=dropout if n_layers > 1 else 0.0)
        self.join, self.dropout = nn.Linear(dim, dim), nn.Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        remembered, _ = self.layers(steps)
        joined: Tensor = steps + self.dropout(self.join(remembered))
        return joined


class Gru(Network):
    """Each step updates a memory of all steps before it."""

    params_class: ClassVar[type[Params]] = NetworkParams

    def _mixer(self) -> nn.Module:
        return _Recurrence(self.params.dim, self.params.n_blocks, self.params.dropout)


MODEL = Gru
