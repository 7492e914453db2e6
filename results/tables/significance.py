"""Marks of a column: its best number, and the numbers not shown to be worse; and how each compares with the best.

A control that was named beforehand may take the place of the best.

Each column is corrected by itself, whatever else stands in the table: two methods have the same mark in every layout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

import numpy as np
import numpy.typing as npt

from flyp_sweep.results.statistics.multiplicity import holm, holm_with_the_best, uncorrected
from flyp_sweep.results.statistics.paired import ROUNDING, PairedComparison, paired_difference

Mark = Literal["", "best", "level", "differs", "better"]
Correction = Literal["holm", "none"]
Array = npt.NDArray[np.float64]

LEVEL = 0.05
FEWEST_SEEDS = 3
"""Seeds that two methods must share to be compared: with fewer no difference can be told from chance."""

WITH_THE_BEST: Mapping[Correction, Callable[[Array], Array]] = {"holm": holm_with_the_best, "none": uncorrected}
"""The correction of a column's comparisons with its best number, which the same data have chosen."""
TO_A_REFERENCE: Mapping[Correction, Callable[[Array], Array]] = {"holm": holm, "none": uncorrected}
"""The correction of a column's comparisons with a method that was named beforehand."""


@dataclass(frozen=True)
class Sample:
    """One method's values in one column: seed to value, or the single constant of a method that is deterministic."""

    values: Mapping[int, float]
    constant: bool = False

    @property
    def mean(self) -> float:
        return fmean(self.values.values())


def mean_sample(samples: Sequence[Sample | None]) -> Sample | None:
    """Per seed the mean of several samples, over the seeds that all have; a constant stands at every seed.

    None where a sample is absent, or where they have no seed in common.
    """
    held = [sample for sample in samples if sample is not None]
    seeded = [sample.values for sample in held if not sample.constant]
    seeds = [seed for seed in (seeded or [held[0].values])[0] if all(seed in one for one in seeded)] if held else []
    if len(held) < len(samples) or not seeds:
        return None
    means = {seed: fmean(one.mean if one.constant else one.values[seed] for one in held) for seed in seeds}
    return Sample(means, constant=not seeded)


@dataclass(frozen=True)
class Versus:
    """How much a row exceeds the best one of its column, or the control; `adjusted` is the corrected p-value.

    `is_certain`: both are constants, so that no seed can change the difference. Nothing is tested there, nor below
    `FEWEST_SEEDS` shared seeds: both p-values are NaN.
    """

    comparison: PairedComparison
    is_certain: bool = False
    lower_is_better: bool = False
    adjusted: float = math.nan

    @property
    def p_value(self) -> float:
        return self.comparison.p_value if self.is_tested else math.nan

    @property
    def is_tested(self) -> bool:
        return not self.is_certain and has_enough_seeds(self.comparison)

    @property
    def is_judged(self) -> bool:
        return self.is_certain or self.is_tested

    @property
    def is_worse(self) -> bool:
        """Whether the row is shown to be worse than the best; on the seeds that both have, it may be the better one."""
        excess = self.comparison.difference.mean
        behind = excess > ROUNDING if self.lower_is_better else excess < -ROUNDING
        return behind and (self.is_certain or self.adjusted <= LEVEL)

    @property
    def is_better(self) -> bool:
        """Whether the row is shown to be better than the reference."""
        excess = self.comparison.difference.mean
        ahead = excess < -ROUNDING if self.lower_is_better else excess > ROUNDING
        return ahead and (self.is_certain or self.adjusted <= LEVEL)


@dataclass(frozen=True)
class ColumnMarks:
    """Per row its mark, and how it compares with the row `best`, which is None where fewer than two rows have a number.

    `few` are the rows that share too few seeds with the best to be marked; where no other shares enough, all are `few`.
    """

    best: int | None
    marks: tuple[Mark, ...]
    versus: tuple[Versus | None, ...]
    few: tuple[int, ...] = ()

    @property
    def comparisons(self) -> int:
        return sum(one is not None and one.is_tested for one in self.versus)


def column_marks(
    samples: Sequence[Sample | None],
    test: str = "t",
    correction: Correction = "holm",
    confidence: float = 0.95,
    *,
    lower_is_better: bool = False,
) -> ColumnMarks:
    """The marks of one column; `samples[r]` is that of row r, None where there is no number.

    The row of the highest mean (the lowest, if `lower_is_better`) is marked `best`, and every row that is not shown to
    be worse `level`. A row is compared with the best by a two-sided test (a key of `TESTS`) of their paired differences
    over the seeds they share; a constant takes part at every seed, which makes it a one-sample test. The comparisons of
    the column are corrected together, for the best being chosen on the same data too: see `holm_with_the_best`. The
    order of the rows changes nothing.
    """
    held = {row: sample for row, sample in enumerate(samples) if sample is not None}
    unmarked: list[Mark] = [""] * len(samples)
    if len(held) < 2:
        return ColumnMarks(None, tuple(unmarked), (None,) * len(samples))
    sign = -1 if lower_is_better else 1
    best = max(held, key=lambda row: (sign * held[row].mean, sorted(held[row].values.items())))
    found = [
        _versus(sample, held[best], test, confidence, lower_is_better) if sample is not None and row != best else None
        for row, sample in enumerate(samples)
    ]
    versus = _corrected(found, WITH_THE_BEST[correction])
    few = [row for row in held if row != best and ((one := versus[row]) is None or not one.is_judged)]
    if len(few) == len(held) - 1:
        return ColumnMarks(best, tuple(unmarked), versus, tuple(held))
    marks: list[Mark] = ["level" if one is not None and one.is_judged and not one.is_worse else "" for one in versus]
    marks[best] = "best"
    return ColumnMarks(best, tuple(marks), versus, tuple(few))


def control_marks(
    samples: Sequence[Sample | None],
    control: int,
    test: str = "t",
    correction: Correction = "holm",
    confidence: float = 0.95,
    *,
    lower_is_better: bool = False,
) -> ColumnMarks:
    """The marks of one column against the row `control` alone, as `column_marks` does against the best row.

    A row that is shown to be better is marked `better`, one that is not shown to differ `level`, the control not at
    all. The control was named beforehand, so the m - 1 comparisons with it are the whole family: Holm's own factors
    hold, see `multiplicity.holm`. The `best` of the result is the control, None where it has no number, or is alone.
    """
    unmarked: list[Mark] = [""] * len(samples)
    reference = samples[control]
    held = [row for row, sample in enumerate(samples) if sample is not None and row != control]
    if reference is None or not held:
        return ColumnMarks(None, tuple(unmarked), (None,) * len(samples))
    found = [
        _versus(sample, reference, test, confidence, lower_is_better) if sample is not None and row != control else None
        for row, sample in enumerate(samples)
    ]
    versus = _corrected(found, TO_A_REFERENCE[correction])
    few = tuple(row for row in held if (one := versus[row]) is None or not one.is_judged)
    return ColumnMarks(control, tuple(map(_against_control, versus)), versus, few)


def _against_control(versus: Versus | None) -> Mark:
    if versus is None or not versus.is_judged or versus.is_worse:
        return ""
    return "better" if versus.is_better else "level"


def compare(a: Sample, b: Sample, test: str, confidence: float) -> PairedComparison | None:
    """How much `a` exceeds `b`, paired by seed; None where they have no seed in common."""
    found = paired_difference(_aligned(a, b), _aligned(b, a), test, confidence)
    return found if found.seeds else None


def has_enough_seeds(comparison: PairedComparison) -> bool:
    """Whether enough seeds are shared for a mark."""
    return len(comparison.seeds) >= FEWEST_SEEDS


def _aligned(sample: Sample, other: Sample) -> Mapping[int, float]:
    """The sample's values; a constant stands at every seed of the other, or at one seed beside another constant."""
    if not sample.constant:
        return sample.values
    return dict.fromkeys((0,) if other.constant else other.values, next(iter(sample.values.values())))


def _versus(sample: Sample, best: Sample, test: str, confidence: float, lower_is_better: bool) -> Versus | None:
    found = compare(sample, best, test, confidence)
    return None if found is None else Versus(found, sample.constant and best.constant, lower_is_better)


def _corrected(found: Sequence[Versus | None], correct: Callable[[Array], Array]) -> tuple[Versus | None, ...]:
    adjusted = correct(np.array([one.p_value if one else math.nan for one in found]))
    return tuple(one and replace(one, adjusted=float(p)) for one, p in zip(found, adjusted, strict=True))
