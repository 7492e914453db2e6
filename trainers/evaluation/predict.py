"""Evaluation: logits of a whole split, and the numbers made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.evaluation.metrics import all_metrics
from flyp_sweep.trainers.spec import Evaluation


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
    if split.class_map is None:
        loss = F.cross_entropy(logits.float(), labels)
        predictions, classes = logits.argmax(dim=1).cpu().numpy(), logits.shape[1]
    else:
        loss, predictions, classes = _mapped(logits, labels, split.class_map)
    metrics = all_metrics(predictions, split.labels, classes, split.groups)
    return Scores(metrics, loss.item(), split.metric)


def _mapped(logits: torch.Tensor, labels: torch.Tensor, class_map: np.ndarray) -> tuple[torch.Tensor, np.ndarray, int]:
    """Loss, predictions and number of labels where several classes may stand for one label, and some for none.

    The prediction is the label of the likeliest class; the loss sums the probabilities of a label's classes.
    """
    kept = np.flatnonzero(class_map >= 0)
    targets, among = class_map[kept], logits[:, torch.from_numpy(kept).to(logits.device)].float()
    predictions = targets[among.argmax(dim=1).cpu().numpy()]
    classes = int(targets.max()) + 1
    merged = among.new_zeros(len(among), classes)
    merged.index_add_(1, torch.from_numpy(targets).to(logits.device), among.softmax(dim=1))
    return F.nll_loss(merged.clamp_min(torch.finfo(merged.dtype).tiny).log(), labels), predictions, classes


def as_evaluation(scores: Scores, split: Split, alpha: float) -> Evaluation:
    """What a result keeps of `scores`."""
    return Evaluation(alpha, split.name, split.role, len(split), scores.primary, scores.metrics)
