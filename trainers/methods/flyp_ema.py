"""FLYP with weights averaged along the trajectory."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Choice
from flyp_sweep.trainers.evaluation.predict import Classifier
from flyp_sweep.trainers.methods.base import Batch, Step
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.methods.portable import Portable
from flyp_sweep.trainers.methods.trailing import Trailing
from flyp_sweep.trainers.task import Task


class Averaged(Trailing):
    """A trained model, `current`, and an exponential moving average of its weights, `average`.

    After step t the average moves by 1 - min(`decay`, t / (t + 9)) towards the current weights. The early average,
    which is almost the pretrained model, is thereby forgotten faster.
    """

    def __init__(self, current: nn.Module, average: nn.Module, decay: float) -> None:
        super().__init__(current, average)
        self.decay = decay
        self.register_buffer("steps", next(average.parameters()).new_zeros((), dtype=torch.int64))
        self.steps: torch.Tensor

    def take_in(self) -> None:
        """Update the average with the current weights, after a step."""
        self.steps += 1
        self.follow(1 - (self.steps / (self.steps + 9)).clamp(max=self.decay))


class FLYPMovingAverage(FLYP):
    """FLYP that predicts with the moving average of its weights, early stopping included (Polyak and Juditsky, 1992).

    WiSE-FT averages the two ends of the trajectory (Goyal et al., 2023, Section 2); this averages the points in
    between.
    """

    name = "flyp_ema"
    label = "FLYP EMA"
    summary = "as flyp, but predicts with a moving average of the weights"
    hparams = {**FLYP.hparams, "ema_decay": Choice((0.9, 0.99, 0.999))}
    domains = {**FLYP.domains, "ema_decay": Number(least=0, below=1)}

    def zero_shot(self, task: Task) -> nn.Module:
        return Averaged(super().zero_shot(task), super().zero_shot(task), task.hparams["ema_decay"])

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        return super().encode(model.current, inputs, task)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        return super().joint_loss(model.current, outputs, batch, task)

    def after_step(self, model: Any, task: Task, step: Step) -> None:
        super().after_step(model.current, task, step)
        model.take_in()

    def classifier(self, model: Any, task: Task) -> Classifier:
        return super().classifier(model.average, task)

    def portable(self, model: Any, task: Task) -> Portable:
        return super().portable(model.average, task)
