"""A base class for methods that train a module over the frozen encoder's features with cross-entropy."""

from __future__ import annotations

from typing import Any

import torch

from flyp_sweep.trainers.methods.base import Batch, GradientMethod
from flyp_sweep.trainers.methods.label_loss import label_loss
from flyp_sweep.trainers.task import Task


class FeatureClassifier(GradientMethod):
    """Its model maps normalised features [B, D] to logits [B, C]. Each training image is encoded once, uncropped."""

    frozen_encoder = True
    on_features = True
    smooths_labels = True
    decays_layers = False

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        (features,) = inputs
        return (model(features),)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        (logits,) = outputs
        return label_loss(logits, batch, task)
