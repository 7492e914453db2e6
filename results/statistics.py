"""Means over seeds with their confidence intervals, and comparisons of two methods paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import special


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its two-sided confidence interval, in the unit of the values.

    `half_width` is NaN below two values: one run says nothing about spread. `n` is the number of values.
    """

    mean: float
    half_width: float
    n: int
    confidence: float = 0.95


@dataclass(frozen=True)
class PairedComparison:
    """How much method a exceeds method b on the seeds they share: the difference, its p-value, and the seeds."""

    difference: Interval
    p_value: float
    seeds: tuple[int, ...]

    @property
    def n(self) -> int:
        return len(self.seeds)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean of `values` (shape (n,)) with its Student-t interval.

    mean ± t_{n-1, (1 + confidence) / 2} * s / sqrt(n), where s is the sample deviation (divisor n - 1); Student,
    "The probable error of a mean", Biometrika 6 (1908). No values give a NaN mean. Raises ValueError for a confidence
    outside (0, 1) and for values that are not finite.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"found confidence {confidence}, expected a number between 0 and 1, e.g. 0.95")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"found values that are not finite in {list(values)!r}, expected numbers")
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    if n < 2:
        return Interval(mean, math.nan, n, confidence)
    quantile = float(special.stdtrit(n - 1, (1 + confidence) / 2))
    return Interval(mean, quantile * _standard_error(values, mean), n, confidence)


def paired_t(a: Mapping[int, float], b: Mapping[int, float], confidence: float = 0.95) -> PairedComparison:
    """Paired, two-sided t-test of `a - b` over the seeds that both have; `a` and `b` map seed to value.

    t = mean(d) / (s_d / sqrt(n)) on n - 1 degrees of freedom, d the differences; Student (1908), and Dietterich,
    "Approximate statistical tests", Neural Computation 10 (1998), section 3. Below two common seeds interval and
    p-value are NaN. When all differences are equal, p is 1 if they are zero and 0 otherwise.
    """
    seeds = tuple(sorted(a.keys() & b.keys()))
    differences = [a[seed] - b[seed] for seed in seeds]
    interval = mean_interval(differences, confidence)
    return PairedComparison(interval, _p_value(differences, interval.mean), seeds)


def _p_value(differences: Sequence[float], mean: float) -> float:
    n = len(differences)
    if n < 2:
        return math.nan
    error = _standard_error(differences, mean)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return 2 * float(special.stdtr(n - 1, -abs(mean / error)))


def _standard_error(values: Sequence[float], mean: float) -> float:
    """s / sqrt(n) with the sample deviation s."""
    n = len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return math.sqrt(variance / n)
