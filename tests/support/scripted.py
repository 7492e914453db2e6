"""A method whose epochs score as a script says, for tests of the training loop."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from flyp_sweep.trainers.evaluation.predict import Classifier
from flyp_sweep.trainers.methods.base import Batch, GradientMethod, Step
from flyp_sweep.trainers.task import Task


class OneNumber(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(0.0))


class Scripted(GradientMethod):
    """Its only weight counts the steps; `script` says how many images each epoch gets right, and how confidently."""

    name = "scripted"
    summary = "a method for tests"

    def __init__(self, script: list[tuple[int, float]], bad_step: int = 0, bad_loss: float = math.nan) -> None:
        self.script, self.bad_step, self.bad_loss = script, bad_step, bad_loss
        self.steps = self.epochs = 0

    def zero_shot(self, task: Task) -> nn.Module:
        return OneNumber()

    def loss(self, model: Any, batch: Batch, task: Task) -> torch.Tensor:
        self.steps += 1
        return model.theta * 0 + (self.bad_loss if self.steps == self.bad_step else 1.0)

    def after_step(self, model: Any, task: Task, step: Step) -> None:
        model.theta.data.fill_(self.steps)

    def classifier(self, model: nn.Module, task: Task) -> Classifier:
        right, confidence = self.script[self.epochs]
        self.epochs += 1
        labels = torch.from_numpy(task.id_val.labels)
        predicted = torch.where(torch.arange(len(labels)) < right, labels, (labels + 1) % 3)
        return lambda images: confidence * nn.functional.one_hot(predicted, 3).double()
