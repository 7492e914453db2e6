"""Logits of a whole split; `metrics` makes numbers of them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.task import Task

Classifier = Callable[[torch.Tensor], torch.Tensor]
"""Images [B, 3, H, W], or features [B, D] of the frozen encoder, to logits [B, C]."""


def predict(classifier: Classifier, task: Task, split: Split, features: bool) -> torch.Tensor:
    """Logits [N, C] of all of `split`; the classifier takes images, or cached `features`."""
    return task.joined([classify(classifier, batch) for batch in task.evaluation_inputs(split, features)], split)


@torch.no_grad()
def classify(classifier: Classifier, batch: torch.Tensor) -> torch.Tensor:
    """Logits [B, C] of a batch."""
    return classifier(batch)
