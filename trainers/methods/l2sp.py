"""L2-SP: fine-tuning with a penalty on the distance from the pretrained encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.task import Task


class L2SP(FineTuning):
    """FT plus lambda / 2 times the squared distance from the pretrained encoder (Li et al., 2018, eq. 2).

    The head has no pretrained value. The authors penalise its squared weights; `head_strength` does the same. Its
    default is 0, because the head here starts from the zero-shot weights, not from random ones.
    """

    name = "l2sp"
    label = "L2-SP"
    summary = "as ft, plus l2sp_strength / 2 * squared distance to the pretrained encoder"
    hparams = {**FineTuning.hparams, "l2sp_strength": None, "head_strength": Constant(0.0)}
    domains = {**FineTuning.domains, "l2sp_strength": Number(least=0), "head_strength": Number(least=0)}

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        distance = squared_distance(model.encoder, task.pretrained.clip.visual)
        loss = super().joint_loss(model, outputs, batch, task) + task.hparams["l2sp_strength"] / 2 * distance
        of_head = task.hparams["head_strength"]
        return loss + of_head / 2 * model.head.weight.square().sum() if of_head else loss


def squared_distance(tuned: nn.Module, pretrained: nn.Module) -> torch.Tensor:
    """Sum over all parameters of the squared differences; a scalar, with gradients only for `tuned`."""
    pairs = zip(tuned.parameters(), pretrained.parameters(), strict=True)
    return torch.stack([(theta - origin.detach()).square().sum() for theta, origin in pairs]).sum()
