"""Which numbers of a table are marked: the best of every column, and those that are not significantly worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np
import numpy.typing as npt

from flyp_sweep.results.statistics.multiplicity import holm
from flyp_sweep.results.statistics.paired import pairwise_p_values

Mark = Literal["", "best", "level", "differs"]
Array = npt.NDArray[np.float64]

LEVEL = 0.05


@dataclass(frozen=True)
class Sample:
    """One method's values in one column: seed to value, or the single constant of a method without seeds."""

    values: Mapping[int, float]
    constant: bool = False


@dataclass(frozen=True)
class Marks:
    """Per column and row a mark, and in how many comparisons the table could make (0: nothing is underlined)."""

    columns: tuple[tuple[Mark, ...], ...]
    comparisons: int


def marks(columns: Sequence[Sequence[Sample | None]], test: str = "t", level: float = LEVEL) -> Marks:
    """The marks of one table; `columns[c][r]` is the sample of row r in column c, None where there is no number.

    The best of a column (highest mean) is marked `best`, and every row that is not significantly worse than it `level`.
    Two rows are compared by a two-sided test (a key of `TESTS`) of their paired differences over the seeds they share;
    a constant, the zero-shot model's number, takes part at every seed, which makes it a one-sample test.

    The best is only known from the same data, and testing it against the others as if it had been named beforehand
    errs too often (the winner's bias). The family of Holm's correction is therefore all pairs of rows in all columns of
    the table, whichever row leads: the chance that any truly best row of any column goes unmarked is at most `level`.
    Pairs that share fewer than two seeds cannot be tested; they are no part of the family, and their worse row counts
    as not shown to be worse. Where no pair can be tested nothing is marked `level`.
    """
    matrices = [pairwise_p_values(_matrix(samples), test) for samples in columns]
    adjusted = _adjusted(matrices)
    comparisons = sum(int(np.isfinite(matrix).sum()) // 2 for matrix in matrices)
    worse = [p <= level if comparisons else np.full(p.shape, True) for p in adjusted]
    return Marks(tuple(map(_column_marks, columns, worse)), comparisons)


def _matrix(samples: Sequence[Sample | None]) -> Array:
    """Values [rows, seeds], NaN where a row lacks a seed; constants stand at every seed."""
    seeds = sorted({seed for sample in samples if sample and not sample.constant for seed in sample.values})
    matrix = np.full((len(samples), len(seeds)), np.nan)
    for row, sample in enumerate(samples):
        if sample is not None and sample.constant:
            matrix[row] = next(iter(sample.values.values()))
        elif sample is not None:
            matrix[row] = [sample.values.get(seed, np.nan) for seed in seeds]
    return matrix


def _adjusted(matrices: Sequence[Array]) -> list[Array]:
    """Holm's adjustment over the pairs of all columns, back in symmetric matrices."""
    pairs = [np.triu_indices(len(matrix), k=1) for matrix in matrices]
    flat = [matrix[upper] for matrix, upper in zip(matrices, pairs, strict=True)]
    parts = np.split(holm(np.concatenate([np.empty(0), *flat])), np.cumsum([len(part) for part in flat])[:-1])
    adjusted = [np.full(matrix.shape, np.nan) for matrix in matrices]
    for matrix, upper, part in zip(adjusted, pairs, parts, strict=False):
        matrix[upper] = part
        matrix.T[upper] = part
    return adjusted


def _column_marks(samples: Sequence[Sample | None], worse: npt.NDArray[np.bool_]) -> tuple[Mark, ...]:
    marks_of_rows: list[Mark] = [""] * len(samples)
    if len(samples) - samples.count(None) > 1:
        means = [fmean(sample.values.values()) if sample else -math.inf for sample in samples]
        best = means.index(max(means))
        marks_of_rows = ["level" if sample and not worse[best, row] else "" for row, sample in enumerate(samples)]
        marks_of_rows[best] = "best"
    return tuple(marks_of_rows)
