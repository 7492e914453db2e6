"""Evaluation: logits of a whole split, and the numbers made of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from trainers.datasets.base import Split
from trainers.metrics import all_metrics
from trainers.spec import Evaluation


@dataclass(frozen=True)
class Scores:
    """The metrics of one model on one split, and its mean cross-entropy `loss` in nats."""

    metrics: dict[str, float]
    loss: float
    primary: str

    @property
    def score(self) -> float:
        """The split's primary metric."""
        return self.metrics[self.primary]

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: by primary metric, ties by lower loss."""
        return self.score, -self.loss


def score(logits: torch.Tensor, split: Split) -> Scores:
    """Metrics of `logits` [N, C] on the labels of `split`."""
    labels = torch.from_numpy(split.labels).to(logits.device)
    loss = F.cross_entropy(logits.float(), labels).item()
    predictions = logits.argmax(dim=1).cpu().numpy()
    return Scores(all_metrics(predictions, split.labels, logits.shape[1]), loss, split.metric)


def as_evaluations(scores: Scores, split: Split, alpha: float) -> list[Evaluation]:
    """One `Evaluation` per metric."""
    return [
        Evaluation(alpha, split.name, split.role, name, value, len(split), name == scores.primary)
        for name, value in scores.metrics.items()
    ]
