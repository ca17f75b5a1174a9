"""Causal self-attention over what a customer bought (SASRec: Kang and McAuley 2018)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from components.core.params import Params
from components.recommendation.network import Network, NetworkParams


class TransformerParams(NetworkParams):
    n_heads: int = Field(2, ge=1, description="Must divide dim.")


class _Block(nn.Module):
    """Attention and a feed-forward layer, each normed before and added to its input."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.rate = n_heads, dropout
        self.norm, self.project, self.join = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.forth = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        # Rows are padded on the right, where causal attention never looks: no mask is needed.
        parts = self.project(self.norm(steps)).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        asks, keys, values = parts.unbind(0)
        mixed = functional.scaled_dot_product_attention(
            asks, keys, values, is_causal=True, dropout_p=self.rate if self.training else 0.0
        )
        steps = steps + self.dropout(self.join(mixed.transpose(1, 2).flatten(2)))
        return steps + self.dropout(self.forth(steps))


class Transformer(Network):
    """Each step attends to itself and to every step before it."""

    params_class: ClassVar[type[Params]] = TransformerParams

    def _mixer(self) -> nn.Module:
        chosen = self.params
        return nn.Sequential(*(_Block(chosen.dim, chosen.n_heads, chosen.dropout) for _ in range(chosen.n_blocks)))


MODEL = Transformer
