"""FT: full fine-tuning of the image encoder and a linear head that starts from the zero-shot weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from flyp_sweep.trainers.methods.base import Batch, GradientMethod, ImageClassifier
from flyp_sweep.trainers.methods.label_loss import label_loss
from flyp_sweep.trainers.task import Task


class FineTuning(GradientMethod):
    """Cross-entropy over encoder and head (Goyal et al., 2023, Section 2, full fine-tuning)."""

    name = "ft"
    label = "FT"
    summary = "image encoder and head, cross-entropy; the head starts zero-shot"
    smooths_labels = True

    def zero_shot(self, task: Task) -> nn.Module:
        return ImageClassifier(copy.deepcopy(task.pretrained.clip.visual), task.zero_shot_head)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        (images,) = inputs
        return (model.features(images),)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        (features,) = outputs
        return label_loss(model.head(features), batch, task)
