"""Softmax over a large catalogue in bounded memory, and the measure that stops training.

What a sequence model learns with decides most of its quality: full or well-corrected sampled
softmax is far ahead of binary cross-entropy on single negatives (Klenitskiy and Vasilev 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from components.recommendation.network_data import Batch, Negatives


class _FullSoftmax(torch.autograd.Function):
    """Cross-entropy against every item, a few rows at a time.

    The gradient is worked out while a chunk's logits are at hand, so that neither the logits of
    all rows are kept nor computed twice.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, table: Tensor, rows: Tensor, items: Tensor, weights: Tensor, chunk: int
    ) -> Tensor:
        row_weights = hidden.new_zeros(len(hidden)).index_add_(0, rows, weights)
        to_hidden, to_table = torch.empty_like(hidden), torch.zeros_like(table)
        total = hidden.new_zeros(())
        for start in range(0, len(hidden), chunk):
            part, part_weights = hidden[start : start + chunk], row_weights[start : start + chunk]
            logits = (part @ table.T).float()
            highest = logits.amax(1, keepdim=True)
            chances = logits.sub_(highest).exp_()
            mass = chances.sum(1, keepdim=True)
            total += (part_weights * (highest + mass.log()).squeeze(1)).sum()
            chances.mul_(part_weights[:, None] / mass)
            to_hidden[start : start + chunk] = chances @ table
            to_table += chances.T @ part
        answers, asked = table[items], hidden[rows]
        total -= (weights * (answers * asked).sum(1)).sum()
        to_hidden.index_add_(0, rows, answers * -weights[:, None])
        to_table.index_add_(0, items, asked * -weights[:, None])
        ctx.save_for_backward(to_hidden, to_table)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        to_hidden, to_table = ctx.saved_tensors
        return gradients[0] * to_hidden, gradients[0] * to_table, None, None, None, None


def full_softmax(
    hidden: Tensor, table: Tensor, rows: Tensor, items: Tensor, weights: Tensor, max_logits: int
) -> Tensor:
    """Weighted cross-entropy; hidden (n_steps, dim), table (n_items, dim), one row per target.

    At most `max_logits` values are held at once.
    """
    chunk = max(1, max_logits // len(table))
    apply: Any = _FullSoftmax.apply  # torch leaves it untyped
    loss: Tensor = apply(hidden.float(), table.float(), rows, items, weights, chunk)
    return loss


@dataclass(frozen=True, slots=True)
class HabitTerms:
    """What habit adds: `owned` to the logits of (steps, items), `targets` to each target's own."""

    steps: Tensor
    items: Tensor
    owned: Tensor
    targets: Tensor


def sampled_softmax(
    hidden: Tensor,
    vectors: Callable[[Tensor], Tensor],
    rows: Tensor,
    items: Tensor,
    weights: Tensor,
    negatives: Negatives,
    n_items: int,
    habits: HabitTerms | None = None,
) -> Tensor:
    """The same against shared negatives; a negative that is the step's own target does not count.

    vectors: what scores the items given by code, (n, dim); the whole table is never touched.
    """
    device = hidden.device
    drawn, chances = torch.from_numpy(negatives.items).to(device), torch.from_numpy(negatives.log_chances).to(device)
    gathered = vectors(torch.cat([drawn, items]))
    logits = (hidden @ gathered[: len(drawn)].T).float() - chances
    column = torch.full((n_items,), -1, dtype=torch.long, device=device)
    column[drawn] = torch.arange(len(drawn), device=device)
    own = (hidden[rows] * gathered[len(drawn) :]).sum(1).float()
    if habits is not None:
        logits = logits.index_put((habits.steps, column[habits.items]), habits.owned, accumulate=True)
        own = own + habits.targets
    hits = column[items] >= 0
    logits[rows[hits], column[items[hits]]] = -torch.inf
    others = logits.logsumexp(1)[rows]
    return (weights * (torch.logaddexp(others, own) - own)).sum()


def cell_values(batch: Batch, values: Tensor) -> Tensor:
    """Values of real steps (n_steps, dim) in the padded grid (n_rows, width, dim), zeros elsewhere."""
    grid = values.new_zeros(batch.shape[0] * batch.shape[1], values.shape[1])
    places = torch.from_numpy(batch.places).to(values.device)
    return grid.index_copy(0, places, values).view(*batch.shape, -1)


def ndcg(scores: Tensor, truth: Tensor, rows: Tensor, k: int = 10) -> Tensor:
    """nDCG@k of every row, (n_rows,); scores (n_rows, n_items), truth items and their rows."""
    own = scores[rows, truth]
    ranks = (scores[rows] > own[:, None]).sum(1).float()
    gains = torch.where(ranks < k, 1 / torch.log2(ranks + 2), 0.0)
    counts = torch.bincount(rows, minlength=len(scores)).clamp(max=k)
    ideals = functional.pad(torch.cumsum(1 / torch.log2(torch.arange(2.0, k + 2)), 0), (1, 0)).to(scores.device)
    return gains.new_zeros(len(scores)).index_add_(0, rows, gains) / ideals[counts].clamp(min=1e-9)
