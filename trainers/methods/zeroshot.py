"""Zero-shot: the pretrained model, untrained."""

from __future__ import annotations

import math

import torch
from torch import nn

from flyp_sweep.trainers.methods.base import SolvedMethod, linear_head
from flyp_sweep.trainers.task import Task


class ZeroShot(SolvedMethod):
    """Class embeddings as the head on frozen features: no seeds, no hyper-parameters."""

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

    def notes(self, task: Task) -> list[str]:
        """A note if the model may not know these classes: its accuracy is at most two standard errors above chance."""
        labels, chance = task.id_val.labels, 1 / len(task.zero_shot_head)
        predicted = (task.shared.features(task.id_val) @ task.zero_shot_head.T).argmax(dim=1).cpu().numpy()
        accuracy = float((predicted == labels).mean())
        if accuracy > chance + 2 * math.sqrt(chance * (1 - chance) / len(labels)):
            return []
        return [
            f"zero-shot accuracy on {len(labels)} ID validation images is {100 * accuracy:.1f}%, not above chance "
            f"({100 * chance:.1f}%); check class names and templates, or take a model that knows such images"
        ]

    def export(self, state: dict[str, torch.Tensor], task: Task) -> dict[str, torch.Tensor]:
        return self.zero_shot(task).state_dict()
