"""Which classes are taken for which: the confusion matrix and what is read from it.

In NumPy: scikit-learn, whose numbers these are (see the tests), takes seconds to load at the end of every run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int_]


@dataclass(frozen=True)
class Confusion:
    """How many of the examples of one class are taken for another, and which part of that class these are."""

    label: int
    predicted: int
    count: int
    share: float


def confusion_matrix(labels: Integers, predicted: Integers, classes: int) -> Integers:
    """Counts [C, C]: row = label, column = prediction, of labels [N] and predictions [N] in 0..C-1."""
    places = labels.astype(np.int64) * classes + predicted
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def per_class_accuracy(labels: Integers, predicted: Integers, classes: int) -> Floats:
    """The share of each class that is recognised (its recall) [C]; NaN for a class without examples."""
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[labels == predicted], minlength=classes)
    return np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)


def most_confused(labels: Integers, predicted: Integers, most: int = 15) -> list[Confusion]:
    """The ordered pairs of classes with the most errors, at most `most`; of equal ones the lower label first.

    Without the matrix, which takes 4 GB for 22,000 classes.
    """
    wrong = labels != predicted
    pairs, errors = np.unique(np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True)
    counts = np.bincount(labels)
    return [
        Confusion(int(label), int(taken), int(count), float(count / counts[label]))
        for (label, taken), count in ((pairs[at], errors[at]) for at in np.argsort(-errors, kind="stable")[:most])
    ]
