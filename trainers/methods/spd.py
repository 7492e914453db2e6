"""SPD: fine-tuning whose optimiser undoes part of the steps that move a tensor away from its pretrained value."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.task import Task


class SelectiveProjectionDecay(FineTuning):
    """FT with selective projection decay instead of weight decay (Tian et al., 2024, Algorithm 1).

    It checks each tensor after every step. Suppose descent along the gradient would reduce the distance from the start,
    but the step has increased it. Then `spd_strength` times the relative growth of the distance is undone (see
    `pulled`). The start is the pretrained encoder and the zero-shot head.

    The formula was compared with two copies of the authors' AdamSPD, not with the paper's text. There the strength
    replaces AdamW's weight decay, whose default is therefore 0 here. The default strength of 1, which undoes the whole
    growth, is not verified against the paper.
    """

    name = "spd"
    label = "SPD"
    summary = "as ft, but a tensor's moves away from the pretrained one against its gradient are taken back"
    hparams = {**FineTuning.hparams, "weight_decay": Constant(0.0), "spd_strength": Constant(1.0)}
    domains = {**FineTuning.domains, "spd_strength": Number(least=0)}

    def optimizer(self, model: nn.Module, task: Task) -> torch.optim.Optimizer:
        optimizer = super().optimizer(model, task)
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        origins = [parameter.detach().clone() for parameter in trained]
        before = [torch.empty_like(one) for one in origins]

        @torch.no_grad()
        def remember(*step: Any) -> None:
            for kept, parameter in zip(before, trained, strict=True):
                kept.copy_(parameter)

        @torch.no_grad()
        def pull(*step: Any) -> None:
            for parameter, kept, origin in zip(trained, before, origins, strict=True):
                if parameter.grad is not None:
                    back = pulled(parameter, kept, origin, parameter.grad, task.hparams["spd_strength"])
                    parameter.copy_(back)

        optimizer.register_step_pre_hook(remember)
        optimizer.register_step_post_hook(pull)
        return optimizer


def pulled(
    after: torch.Tensor, before: torch.Tensor, origin: torch.Tensor, gradient: torch.Tensor, strength: float
) -> torch.Tensor:
    """The tensor after correcting a step from `before` to `after`; all tensors have one shape.

    Let d be the distance from `origin`. If the sum of `gradient` * (`before` - `origin`) is positive, the tensor moves
    towards `origin` by the share `strength` * max(0, d(after) - d(before)) / d(after).
    """
    moved, was = after - origin, before - origin
    far = moved.norm()
    grown = ((far - was.norm()) / far.clamp(min=torch.finfo(far.dtype).tiny)).clamp(min=0)
    inconsistent = (gradient * was).sum() > 0
    return after - inconsistent * strength * grown * moved
