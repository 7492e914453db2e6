"""Comparisons of methods on the seeds that they share: a seed fixes all that is random, so runs come in pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from flyp_sweep.results.statistics.intervals import Interval, mean_interval

ROUNDING = 1e-12
"""Differences of fractions below this are rounding of equal numbers."""

ENOUGH_FOR_A_CONSTANT = 3
"""Seeds at which a method must give the same number to be taken for one without randomness: two may do so by chance."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairedComparison:
    """How much method a exceeds method b on the seeds they share: the difference, its p-value, and the seeds."""

    difference: Interval
    p_value: float
    seeds: tuple[int, ...]


def paired_difference(
    a: Mapping[int, float], b: Mapping[int, float], test: str = "t", confidence: float = 0.95
) -> PairedComparison:
    """The paired difference a - b over the seeds that both have; `a` and `b` map seed to value.

    Its interval is Student's, its two-sided p-value that of the `test` in `TESTS`. Below two common seeds both are NaN.
    Two methods that both give one number at all of three or more shared seeds need no test: p is 1 where the numbers
    are equal and 0 where not.
    """
    seeds = tuple(sorted(a.keys() & b.keys()))
    differences = np.array([a[seed] - b[seed] for seed in seeds], dtype=np.float64)
    p_value = float(TESTS[test].p_values(differences))
    if len(seeds) >= ENOUGH_FOR_A_CONSTANT and all(_is_constant([values[seed] for seed in seeds]) for values in (a, b)):
        p_value = float(abs(differences[0]) < ROUNDING)
    return PairedComparison(mean_interval(differences.tolist(), confidence=confidence), p_value, seeds)


def _is_constant(values: Sequence[float]) -> bool:
    return max(values) - min(values) < ROUNDING


def t_p_values(differences: Array) -> Array:
    """Paired t-test: differences [..., S], NaN where there is none, give two-sided p-values [...].

    t = mean(d) / (s_d / sqrt(n)) on n - 1 degrees of freedom; Student (1908), and Dietterich, "Approximate statistical
    tests", Neural Computation 10 (1998), section 3. Below two differences p is NaN. When all differences are equal, p
    is 1 if they are zero; else it is 2^(1 - n), the least that flipping signs can give, and not the 0 of the formula:
    accuracies are counts over a test set, so that a few differences are equal by chance.
    """
    differences = _without_rounding(differences)
    present = ~np.isnan(differences)
    n = present.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(present, differences, 0.0).sum(axis=-1) / n
        squares = np.where(present, (differences - mean[..., None]) ** 2, 0.0).sum(axis=-1)
        error = np.sqrt(squares / (n - 1) / n)
        error = np.where(error < ROUNDING, 0.0, error)
        t = np.where(np.abs(mean) < ROUNDING, 0.0, np.abs(mean) / error)
    p = np.where(np.isinf(t), 2.0 ** (1 - n), 2 * special.stdtr(np.maximum(n - 1, 1), -t))
    return np.where(n < 2, np.nan, p)


def wilcoxon_p_values(differences: Array) -> Array:
    """Wilcoxon's signed-rank test: differences [..., S], NaN where there is none, give two-sided p-values [...].

    Wilcoxon, "Individual comparisons by ranking methods", Biometrics 1 (1945), as `scipy.stats.wilcoxon` has it; zero
    differences are dropped, and when none is left p is 1. It needs no normality but cannot go below 2^(1 - n): with 5
    seeds p is at least 0.0625, and nothing is ever significant.
    """
    exact = _without_rounding(differences)
    p = np.empty(differences.shape[:-1])
    for at in np.ndindex(p.shape):
        p[at] = _wilcoxon(exact[at][~np.isnan(exact[at])])
    return p


def _wilcoxon(differences: Array) -> float:
    from scipy.stats import wilcoxon

    if len(differences) < 2:
        return math.nan
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def _without_rounding(differences: Array) -> Array:
    return np.where(np.abs(differences) < ROUNDING, 0.0, differences)


@dataclass(frozen=True)
class PairedTest:
    """A test as a caption names it, its p-values (differences [..., S] to [...]), and the least of n differences."""

    title: str
    p_values: Callable[[Array], Array]
    least_p: Callable[[int], float]


TESTS = {
    "t": PairedTest("paired t-test", t_p_values, lambda n: 0.0),
    "wilcoxon": PairedTest("Wilcoxon signed-rank test", wilcoxon_p_values, lambda n: 2.0 ** (1 - n)),
}
