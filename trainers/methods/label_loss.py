"""The cross-entropy over class labels, with `train.label_smoothing`."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.task import Task


def label_loss(logits: torch.Tensor, batch: Batch, task: Task) -> torch.Tensor:
    """Mean cross-entropy, a scalar, of `logits` [B, C] against the labels of `batch`.

    With label smoothing e, the target of an image is 1 - e for its class plus e / C for every class (Szegedy et al.,
    2016, Section 7). A method that calls this function sets `smooths_labels`.
    """
    return F.cross_entropy(logits, batch.labels, label_smoothing=task.spec.label_smoothing)
