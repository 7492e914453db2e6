"""Classification metrics, each a fraction in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], float]] = {}
"""Name -> function of (predictions [N], labels [N], number of classes)."""


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
    """The lowest top-1 accuracy of a group; images of group -1 belong to none, and empty groups do not count.

    For FMoW the groups are regions: its worst-region accuracy as WILDS computes it.
    """
    hits = predictions == labels
    return float(min(np.mean(hits[groups == group]) for group in np.unique(groups[groups >= 0])))


def all_metrics(
    predictions: np.ndarray, labels: np.ndarray, classes: int, groups: np.ndarray | None = None
) -> dict[str, float]:
    """Every metric of `METRICS`, and `worst_group_accuracy` where there are `groups`; all arrays are int64 [N]."""
    found = {name: metric(predictions, labels, classes) for name, metric in METRICS.items()}
    if groups is not None:
        found["worst_group_accuracy"] = worst_group_accuracy(predictions, labels, groups)
    return found
