"""McNemar's exact test: do two classifiers err equally often on the same examples?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class McNemar:
    """How many of `n` examples classifier a alone has right, how many b alone, and the two-sided p-value."""

    a_alone: int
    b_alone: int
    n: int
    p_value: float

    @property
    def difference(self) -> float:
        """Accuracy of a minus that of b, a fraction."""
        return (self.a_alone - self.b_alone) / self.n


def mcnemar(a: Booleans, b: Booleans) -> McNemar:
    """Compare two classifiers by whether they are right on each of the same examples: booleans [N] each, N > 0.

    Given that a and b disagree on d examples, the number that a alone has right is binomial(d, 1/2) if they err equally
    often. The p-value is two-sided and exact: min(1, 2 P(X <= min)), which is that of `scipy.stats.binomtest`; without
    disagreement it is 1. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12 (1947); Dietterich, Neural Computation 10 (1998), section 3.1. The examples are the
    sample: the test says nothing about other seeds of a training. Raises ValueError for arrays of unequal length.
    """
    if a.shape != b.shape:
        raise ValueError(f"found {len(a)} and {len(b)} examples, expected the same ones")
    a_alone, b_alone = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    lower = special.bdtr(min(a_alone, b_alone), a_alone + b_alone, 0.5)
    return McNemar(a_alone, b_alone, len(a), min(1.0, 2 * float(lower)))
