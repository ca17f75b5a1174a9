"""TextCNN: filters over a few neighbouring words, each kept where it answers most (Kim, EMNLP 2014)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from components.core.params import Params
from components.support.network import Network, NetworkParams


class TextcnnParams(NetworkParams):
    filters: int = Field(100, ge=1, description="Of each width.")
    widths: tuple[int, ...] = Field((1, 2, 3, 4), min_length=1, description="Neighbouring words that a filter sees.")


class _Convolutions(nn.Module):
    def __init__(self, params: TextcnnParams) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(params.dim, params.filters, width) for width in params.widths)

    def forward(self, grid: Tensor, lengths: Tensor) -> Tensor:
        words = grid.transpose(1, 2)
        return torch.cat([self._highest(each, words, lengths) for each in self.convolutions], dim=1)

    def _highest(self, convolution: nn.Module, words: Tensor, lengths: Tensor) -> Tensor:
        """(n, filters): of the windows that begin at a word of the text; windows reach past its end."""
        width = int(convolution.kernel_size[0])  # type: ignore[index]
        answers = torch.relu(convolution(nn.functional.pad(words, (0, width - 1))))
        past = torch.arange(answers.shape[2], device=answers.device) >= lengths[:, None]
        highest: Tensor = answers.masked_fill(past[:, None], 0.0).amax(dim=2)
        return highest


class Textcnn(Network):
    """Which short phrases stand in a message, wherever they stand."""

    params_class: ClassVar[type[Params]] = TextcnnParams

    def _body(self) -> tuple[nn.Module, int]:
        return _Convolutions(self.params), self.params.filters * len(self.params.widths)


MODEL = Textcnn
