"""A method that does nothing, as an outsider would write it: `methods: ["noop:DoNothing"]`."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import nn

from flyp_sweep.trainers.evaluation.metrics import Scores
from flyp_sweep.trainers.methods import Method
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fit import solved
from flyp_sweep.trainers.training.fitted import Fitted


class DoNothing(Method):
    """Reports a score that its one hyper-parameter makes up. What its repeats evaluate is a constant model."""

    name = "noop"
    summary = "does nothing"
    hparams = {"x": None}

    def zero_shot(self, task: Task) -> nn.Module:
        return Constant(len(task.shared.dataset.class_names))

    def fit(self, task: Task) -> Generator[Epoch, None, Fitted]:
        score = 1 / (1 + float(task.hparams["x"]))
        return solved(self.zero_shot(task), Scores({"accuracy": score}, 1 - score, "accuracy"))


class Constant(nn.Module):
    """The same logits for every image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)
