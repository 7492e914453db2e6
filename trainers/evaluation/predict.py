"""Logits of a whole split; `metrics` makes numbers of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.task import Task

Classifier = Callable[[torch.Tensor], torch.Tensor]
"""Images [B, 3, H, W], or features [B, D] of the frozen encoder, to logits [B, C]."""


def with_head(clip: Any, head: torch.Tensor) -> Classifier:
    """Images to logits [B, C] by the image encoder of an open_clip model and a `head` [C, D] of text embeddings."""
    return lambda images: encode_image(clip.visual, images) @ head.T


def predict(classifier: Classifier, task: Task, split: Split, features: bool) -> torch.Tensor:
    """Logits [N, C] of all of `split`; the classifier takes images, or cached `features`."""
    return task.joined([classify(classifier, batch) for batch in task.evaluation_inputs(split, features)], split)


@torch.no_grad()
def classify(classifier: Classifier, batch: torch.Tensor) -> torch.Tensor:
    """Logits [B, C] of a batch."""
    return classifier(batch)
