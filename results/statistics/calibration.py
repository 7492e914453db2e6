"""Calibration: is a model right as often as its confidence says?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int_]


@dataclass(frozen=True)
class Reliability:
    """The points of a reliability diagram, by ascending confidence: means of B bins, as fractions, and their sizes.

    `confidence`, `accuracy` and `counts` have shape [B].
    """

    confidence: Floats
    accuracy: Floats
    counts: Integers

    @property
    def error(self) -> float:
        """The expected calibration error: sum over bins of (n_b / N) |accuracy_b - confidence_b|."""
        return float(np.sum(self.counts * np.abs(self.accuracy - self.confidence)) / np.sum(self.counts))


def reliability(confidence: Floats, correct: Booleans, bins: int = BINS) -> Reliability:
    """Bins of equal mass: confidence [N] in [0, 1] and whether the prediction is right [N], N > 0, in `bins` bins.

    The examples are put into the order of their confidence and cut into bins whose sizes differ by one at most, the
    larger ones first; with fewer examples than bins, each is a bin. Examples of equal confidence keep the order of the
    arrays, so a bin may end among them: the same arrays give the same bins. Nguyen and O'Connor, "Posterior calibration
    and exploratory analysis for natural language processing models", EMNLP 2015; the error is that of Guo et al., "On
    calibration of modern neural networks", ICML 2017, equation 3, there with bins of equal width.
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return Reliability(
        np.array([confidence[part].mean(dtype=np.float64) for part in parts]),
        np.array([correct[part].mean(dtype=np.float64) for part in parts]),
        np.array([len(part) for part in parts]),
    )
