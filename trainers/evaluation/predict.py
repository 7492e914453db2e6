"""Logits of a whole split; `metrics` computes scores from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import CHUNK, encode_text
from flyp_sweep.trainers.task import Task

Classifier = Callable[[torch.Tensor], torch.Tensor]
"""Images [B, 3, H, W], or features [B, D] of the frozen encoder, to logits [B, C]."""


@dataclass(frozen=True)
class TwoTowers:
    """A classifier with both encoders of an open_clip model: `head` [C, D] holds scaled embeddings of texts.

    If images have captions, their retrieval is evaluated too.
    """

    clip: Any
    head: torch.Tensor

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of images [B, 3, H, W]."""
        return self.of_features(self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised features [B, D] of images [B, 3, H, W]."""
        return encode_image(self.clip.visual, images)

    def of_features(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of features [B, D]."""
        return features @ self.head.T

    def texts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Normalised embeddings [N, D] of `tokens` [N, L], integers on any device."""
        chunks = (chunk.to(self.head.device, torch.int64) for chunk in tokens.split(CHUNK))
        return torch.cat([encode_text(self.clip, chunk) for chunk in chunks])


def predict(classifier: Classifier, task: Task, split: Split, features: bool) -> torch.Tensor:
    """Logits [N, C] of all of `split`; the classifier takes images, or cached `features`."""
    return task.joined([classify(classifier, batch) for batch in task.evaluation_inputs(split, features)], split)


@torch.no_grad()
def classify(classifier: Classifier, batch: torch.Tensor) -> torch.Tensor:
    """Logits [B, C] of a batch."""
    return classifier(batch)
