"""FLYP with masking: prompts of an image's own class are not negatives."""

from __future__ import annotations

from typing import Any

import torch

from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.task import Task


class FLYPMasked(FLYP):
    """The loss of pretraining without class collisions (Goyal et al., 2023, Section 5, "Removing class collisions")."""

    name = "flyp_masked"
    label = "FLYP + masking"
    summary = "as flyp, without same-class negatives in its loss"

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        return task.pretrained.objective.joint_loss(model, outputs, collisions(batch.labels))


def collisions(labels: torch.Tensor) -> torch.Tensor:
    """Pairs of two rows of equal label, bool [B, B], for `labels` int64 [B]. A batch of a single class has loss 0."""
    matching = torch.arange(len(labels), device=labels.device)
    return (labels[:, None] == labels) & (matching[:, None] != matching)
