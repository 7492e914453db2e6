"""Corrections for testing many hypotheses at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int_]


def holm(p_values: Array) -> Array:
    """Holm's adjusted p-values: p [m] gives [m], in the same order; NaN stays NaN and does not count.

    With p_(1) <= ... <= p_(m): adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)); Holm, "A simple
    sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979). Rejecting where
    adjusted p <= level keeps the chance of any false rejection at or below `level`, however the tests depend on one
    another.
    """
    return _step_down(p_values, lambda left: left)


def holm_with_the_best(p_values: Array) -> Array:
    """Adjusted p-values of the best of m + 1 methods against each of the others: p [m] gives [m], as `holm` does.

    Holm's factors m, m - 1, ..., 1 hold for a control that was named beforehand. The best was chosen on the tested data
    instead: with these factors some 10 of 100 columns of six equal methods err. Any pair of methods could have been
    tested. So the factor is the number of pairs: left (left + 1) / 2 while `left` methods are not yet told from the
    best, i.e. all pairs of these methods and the best. The chance that any of several equally best methods is told from
    the best is at most `level` (Bonferroni's bound over the pairs of the equally best ones).
    """
    return _step_down(p_values, lambda left: left * (left + 1) // 2)


def _step_down(p_values: Array, factor: Callable[[IntArray], IntArray]) -> Array:
    """Each p, the smallest first, times `factor` of the number of p-values not yet passed, and never below the last."""
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    adjusted = np.full(len(p_values), np.nan)
    factors = factor(np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted


def uncorrected(p_values: Array) -> Array:
    """The p-values as they are: each test errs by itself."""
    return p_values
