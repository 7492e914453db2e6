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


def per_class_accuracy(matrix: Integers) -> Floats:
    """The share of each class that is recognised (its recall) [C]; NaN for a class without examples."""
    counts = matrix.sum(axis=1)
    return np.divide(np.diag(matrix), counts, out=np.full(len(matrix), np.nan), where=counts > 0)


def most_confused(matrix: Integers, most: int = 15) -> list[Confusion]:
    """The ordered pairs of classes with the most errors, at most `most`; of equal ones the lower label first."""
    errors = matrix - np.diag(np.diag(matrix))
    counts = matrix.sum(axis=1)
    order = np.argsort(-errors, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    return [
        Confusion(label, taken, int(errors[label, taken]), float(errors[label, taken] / counts[label]))
        for label, taken in pairs
        if errors[label, taken]
    ]
