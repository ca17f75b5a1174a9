"""A gated recurrent network that reads a message in both directions; attention says which words count.

Cho et al. 2014 for the unit, Yang et al. (NAACL 2016), equations 5 to 7, for the attention.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from components.core.params import Params
from components.support.network import Network, NetworkParams


class BigruParams(NetworkParams):
    hidden: int = Field(96, ge=1, description="Units of each direction.")


class _Attended(nn.Module):
    def __init__(self, params: BigruParams) -> None:
        super().__init__()
        self.layers = nn.GRU(params.dim, params.hidden, batch_first=True, bidirectional=True)
        self.hidden = nn.Linear(2 * params.hidden, 2 * params.hidden)
        self.context = nn.Linear(2 * params.hidden, 1, bias=False)

    def forward(self, grid: Tensor, lengths: Tensor) -> Tensor:
        # Packed, so that the backward direction begins with a text's last word and not with empty cells.
        packed = pack_padded_sequence(grid, lengths.cpu(), batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.layers(packed)[0], batch_first=True, total_length=grid.shape[1])
        weights = self.context(torch.tanh(self.hidden(read))).squeeze(2)
        past = torch.arange(grid.shape[1], device=grid.device) >= lengths[:, None]
        shares = torch.softmax(weights.masked_fill(past, -torch.inf), dim=1)
        return (shares[:, :, None] * read).sum(dim=1)


class Bigru(Network):
    """A message as its words in their order, the telling ones weighing more."""

    params_class: ClassVar[type[Params]] = BigruParams

    def _body(self) -> tuple[nn.Module, int]:
        return _Attended(self.params), 2 * self.params.hidden


MODEL = Bigru
