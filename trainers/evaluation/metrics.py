"""Classification metrics, each a fraction in [0, 1], and the scores of a model's logits on a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from flyp_sweep.search_spaces.sections import EpochMetric
from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.evaluation.corruptions import corruption_errors
from flyp_sweep.trainers.spec import Evaluation

METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], float]] = {}
"""Name -> function of (predictions [N], labels [N], number of classes)."""
GROUP_ACCURACY = "group_accuracy/"
"""Prefix of a group's top-1 accuracy; the group's name follows."""


def _metric(function: Callable[[np.ndarray, np.ndarray, int], float]) -> Callable[[np.ndarray, np.ndarray, int], float]:
    METRICS[function.__name__] = function
    return function


@_metric
def accuracy(predictions: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Top-1 accuracy."""
    return float(np.mean(predictions == labels))


@_metric
def mean_per_class_accuracy(predictions: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Recall averaged over the classes that occur in `labels`."""
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[predictions == labels], minlength=classes)
    present = counts > 0
    return float(np.mean(hits[present] / counts[present]))


@_metric
def macro_f1(predictions: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """F1 averaged over the classes that occur in `labels`, as WILDS computes it for iWildCam."""
    counts = np.bincount(labels, minlength=classes)
    predicted = np.bincount(predictions, minlength=classes)
    hits = np.bincount(labels[predictions == labels], minlength=classes)
    present = counts > 0
    return float(np.mean(2 * hits[present] / (counts + predicted)[present]))


def worst_group_accuracy(predictions: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """The lowest top-1 accuracy of a group. Images of group -1 belong to none; empty groups do not count.

    FMoW's groups are regions: this is its worst-region accuracy as WILDS computes it.
    """
    counts, hits = _by_group(predictions, labels, groups)
    return float(np.min(hits[counts > 0] / counts[counts > 0]))


def _by_group(predictions: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images and hits of each group, both int64 [groups], from one pass over all images."""
    counts = np.bincount(groups[groups >= 0])
    return counts, np.bincount(groups[(groups >= 0) & (predictions == labels)], minlength=len(counts))


def all_metrics(
    predictions: np.ndarray,
    labels: np.ndarray,
    classes: int,
    groups: np.ndarray | None = None,
    group_names: Sequence[str] = (),
) -> dict[str, float]:
    """Every metric of `METRICS`; all arrays are int64 [N].

    With `groups`, also `worst_group_accuracy`, and `group_accuracy/NAME` of each group with a name and images.
    """
    found = {name: metric(predictions, labels, classes) for name, metric in METRICS.items()}
    if groups is not None:
        found["worst_group_accuracy"] = worst_group_accuracy(predictions, labels, groups)
        for name, count, hits in zip(group_names, *_by_group(predictions, labels, groups), strict=False):
            if count:
                found[f"{GROUP_ACCURACY}{name}"] = float(hits / count)
    return found


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

    def adding(self, metrics: Mapping[str, float]) -> Scores:
        """A copy with more metrics."""
        return replace(self, metrics={**self.metrics, **metrics})

    def beats(self, other: Scores, metric: EpochMetric) -> bool:
        """Whether a later epoch with these scores replaces the `other` as the best.

        `accuracy`: it needs a higher primary metric (ties: a lower loss, then the earlier epoch). `loss`: it needs a
        lower loss (ties: the later epoch).
        """
        return self.loss <= other.loss if metric == "loss" else self.rank > other.rank


def score(logits: torch.Tensor, split: Split) -> Scores:
    """Metrics of `logits` [N, C] on the labels of `split`."""
    labels = torch.from_numpy(split.labels).to(logits.device)
    if split.class_map is None:
        loss = F.cross_entropy(logits.float(), labels)
        predictions, classes = logits.argmax(dim=1).cpu().numpy(), logits.shape[1]
    else:
        loss, predictions, classes = _mapped(logits, labels, split.class_map)
    metrics = all_metrics(predictions, split.labels, classes, split.groups, split.group_names)
    if split.groups is not None and split.reference_errors is not None:
        is_right = predictions == split.labels
        metrics |= corruption_errors(is_right, split.groups, split.group_names, split.reference_errors)
    return Scores(metrics, loss.item(), split.metric)


def _mapped(logits: torch.Tensor, labels: torch.Tensor, class_map: np.ndarray) -> tuple[torch.Tensor, np.ndarray, int]:
    """Loss, predictions and number of labels, if several classes may map to one label, and some to none.

    The prediction is the label of the most likely class; the loss uses the sum of the probabilities of a label's
    classes.
    """
    kept = np.flatnonzero(class_map >= 0)
    targets, among = class_map[kept], logits[:, torch.from_numpy(kept).to(logits.device)].float()
    predictions = targets[among.argmax(dim=1).cpu().numpy()]
    classes = int(targets.max()) + 1
    merged = among.new_zeros(len(among), classes)
    merged.index_add_(1, torch.from_numpy(targets).to(logits.device), among.softmax(dim=1))
    return F.nll_loss(merged.clamp_min(torch.finfo(merged.dtype).tiny).log(), labels), predictions, classes


def as_evaluation(scores: Scores, split: Split, alpha: float) -> Evaluation:
    """The part of `scores` that a result keeps."""
    return Evaluation(alpha, split.name, split.role, len(split), scores.primary, scores.metrics)
