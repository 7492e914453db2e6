"""FLYP: fine-tune like you pretrain."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.trainers.evaluation.predict import Classifier, with_head
from flyp_sweep.trainers.methods.base import Batch, GradientMethod
from flyp_sweep.trainers.methods.portable import Portable
from flyp_sweep.trainers.models.objectives import contrastive_loss
from flyp_sweep.trainers.models.prompts import encode_unique, zero_shot_head
from flyp_sweep.trainers.task import Task

MAX_LOG_SCALE = math.log(100)
"""CLIP's bound on the logit scale in pretraining (Radford et al., 2021, Section 2.5)."""


class FLYP(GradientMethod):
    """The contrastive loss of pretraining between images and prompts of their classes (Goyal et al., 2023, Section 3).

    Both encoders and the logit scale are trained; every image gets one template, drawn anew each time. After each step
    the scale is held at CLIP's bound; FLYP's code has none, and no run of ours has reached it.
    """

    name = "flyp"
    label = "FLYP"
    summary = "both encoders and the logit scale, the contrastive loss of pretraining"
    pairs_templates = True

    def zero_shot(self, task: Task) -> nn.Module:
        return copy.deepcopy(task.pretrained.clip)

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        return batch.images, task.prompts[batch.labels, templates_of(batch, task)]

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        images, tokens = inputs
        return F.normalize(model.visual(images), dim=-1), encode_unique(model, tokens)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        images, prompts = outputs
        return contrastive_loss(images, prompts, model.logit_scale.exp())

    def after_step(self, model: Any) -> None:
        with torch.no_grad():
            model.logit_scale.clamp_(max=MAX_LOG_SCALE)

    def classifier(self, model: Any, task: Task) -> Classifier:
        """Zero-shot prediction with the model's own encoders."""
        return with_head(model, self.head(model, task))

    def head(self, model: Any, task: Task) -> torch.Tensor:
        """Weights [C, D] of the head that the prompts make."""
        return zero_shot_head(model, task.prompts)

    def portable(self, model: Any, task: Task) -> Portable:
        return Portable(model, self.head(model, task))


def templates_of(batch: Batch, task: Task) -> torch.Tensor:
    """The template of each image, int64 [B]: the one that it comes with, or one at random."""
    if batch.templates is not None:
        return batch.templates
    return torch.from_numpy(batch.rng.integers(task.prompts.shape[1], size=len(batch.labels))).to(task.device)
