"""Zero-shot: the pretrained model, untrained."""

from __future__ import annotations

import torch
from torch import nn

from flyp_sweep.trainers.methods.base import SolvedMethod, linear_head
from flyp_sweep.trainers.task import Task


class ZeroShot(SolvedMethod):
    """Class embeddings as the head on frozen features: no seeds, nothing to search."""

    name = "zeroshot"
    label = "Zeroshot"
    summary = "the pretrained model with its prompts, untrained"
    hparams = {}
    frozen_encoder = True
    deterministic = True
    seeded = False
    retrieves = True
    open_vocabulary = True

    def zero_shot(self, task: Task) -> nn.Module:
        return linear_head(task.zero_shot_head)

    def solve(self, task: Task) -> nn.Module:
        return self.zero_shot(task)

    def export(self, state: dict[str, torch.Tensor], task: Task) -> dict[str, torch.Tensor]:
        return self.zero_shot(task).state_dict()
