"""A method that does nothing, as an outsider would write it: `methods: ["noop:DoNothing"]`."""

from __future__ import annotations

import torch
from torch import nn

from flyp_sweep import SolvedMethod, Task
from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.evaluation.metrics import Scores


class DoNothing(SolvedMethod):
    """Reports a score that its one hyper-parameter makes up. What its repeats evaluate is a constant model."""

    name = "noop"
    summary = "does nothing"
    hparams = {"x": None}

    def zero_shot(self, task: Task) -> nn.Module:
        return Constant(len(task.shared.dataset.class_names))

    def solve(self, task: Task) -> nn.Module:
        return self.zero_shot(task)

    def scores(self, model: nn.Module, task: Task, split: Split) -> Scores:
        score = 1 / (1 + float(task.hparams["x"]))
        return Scores({"accuracy": score}, 1 - score, "accuracy")


class Constant(nn.Module):
    """The same logits for every image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)
