"""FT whose features stay near those of the pretrained encoder."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep import Batch, GradientMethod, ImageClassifier, LogUniform, Task


class Distilled(GradientMethod):
    """Cross-entropy plus `pull` times the mean squared distance of each image's features to its pretrained ones."""

    name = "distilled"
    summary = "as ft, plus pull * squared distance to the pretrained features"
    hparams = {**GradientMethod.hparams, "pull": LogUniform(0.1, 10.0)}

    def zero_shot(self, task: Task) -> nn.Module:
        return ImageClassifier(copy.deepcopy(task.pretrained.clip.visual), task.zero_shot_head)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        (images,) = inputs
        with torch.no_grad():
            pretrained = F.normalize(task.pretrained.clip.visual(images), dim=-1)
        return model.features(images), pretrained

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        features, pretrained = outputs
        distance = (features - pretrained).square().sum(dim=1).mean()
        return F.cross_entropy(model.head(features), batch.labels) + task.hparams["pull"] * distance
