"""Zero-shot: the pretrained model, untrained."""

from __future__ import annotations

from collections.abc import Generator

from torch import nn

from flyp_sweep.trainers.evaluation.predict import score
from flyp_sweep.trainers.methods.base import Method, linear_head
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.loop import Fitted, predict, solved


class ZeroShot(Method):
    """Class embeddings as the head on frozen features: no seeds, nothing to search."""

    name = "zeroshot"
    summary = "the pretrained model with its prompts, untrained"
    hparams = {}
    frozen_encoder = True
    seeded = False

    def zero_shot(self, task: Task) -> nn.Module:
        return linear_head(task.zero_shot_head)

    def fit(self, task: Task) -> Generator[Epoch, None, Fitted]:
        model = self.zero_shot(task)
        return solved(model, score(predict(self, model, task, task.id_val), task.id_val))
