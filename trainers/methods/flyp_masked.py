"""FLYP with masking: prompts of an image's own class are no negatives of it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.task import Task


class FLYPMasked(FLYP):
    """The contrastive loss without class collisions (Goyal et al., 2023, Section 5, "Removing class collisions")."""

    name = "flyp_masked"
    label = "FLYP + masking"
    summary = "as flyp, without same-class negatives in the contrastive loss"

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        images, prompts = outputs
        return masked_contrastive_loss(images, prompts, model.logit_scale.exp(), batch.labels)


def masked_contrastive_loss(
    image_features: torch.Tensor, text_features: torch.Tensor, logit_scale: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """`losses.contrastive_loss` with the terms left out, in both directions, of other rows of equal label.

    Shapes: features [B, D], L2-normalised; `labels` int64 [B]. A row that all others share the label of adds 0.
    """
    matching = torch.arange(len(labels), device=labels.device)
    collisions = (labels[:, None] == labels) & (matching[:, None] != matching)
    logits = (logit_scale * image_features @ text_features.T).masked_fill(collisions, -torch.inf)
    return (F.cross_entropy(logits, matching) + F.cross_entropy(logits.T, matching)) / 2
