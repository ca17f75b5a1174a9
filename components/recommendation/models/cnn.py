"""Dilated causal convolutions over what a customer bought (NextItNet: Yuan et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from components.core.params import Params
from components.recommendation.network import Network, NetworkParams


class CnnParams(NetworkParams):
    kernel: int = Field(3, ge=2, description="Steps under one filter; block b looks 2**b steps apart.")


class _Block(nn.Module):
    """One causal convolution and a mixing of channels, normed before and added to the input."""

    def __init__(self, dim: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.norm, self.filters = nn.LayerNorm(dim), nn.Conv1d(dim, 2 * dim, kernel, dilation=dilation)
        self.join, self.dropout = nn.Linear(2 * dim, dim), nn.Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        past = functional.pad(self.norm(steps).transpose(1, 2), (self.reach, 0))
        found = functional.gelu(self.filters(past)).transpose(1, 2)
        joined: Tensor = steps + self.dropout(self.join(found))
        return joined


class Cnn(Network):
    """Each step sees a window of steps before it that doubles with every block."""

    params_class: ClassVar[type[Params]] = CnnParams

    def _mixer(self) -> nn.Module:
        chosen = self.params
        blocks = (_Block(chosen.dim, chosen.kernel, 2**depth, chosen.dropout) for depth in range(chosen.n_blocks))
        return nn.Sequential(*blocks)


MODEL = Cnn
