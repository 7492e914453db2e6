"""The statistics of the tables: intervals over seeds, paired comparisons, aggregates, agreement with print."""

from __future__ import annotations

from flyp_sweep.results.statistics.aggregates import interquartile_mean, stratified_interval, task_mean
from flyp_sweep.results.statistics.agreement import Agreement, Printed, agreement
from flyp_sweep.results.statistics.intervals import INTERVALS, Interval, mean_interval
from flyp_sweep.results.statistics.multiplicity import holm, holm_with_the_best
from flyp_sweep.results.statistics.paired import TESTS, PairedComparison, paired_difference

__all__ = [
    "INTERVALS",
    "TESTS",
    "Agreement",
    "Interval",
    "PairedComparison",
    "Printed",
    "agreement",
    "holm",
    "holm_with_the_best",
    "interquartile_mean",
    "mean_interval",
    "paired_difference",
    "stratified_interval",
    "task_mean",
]
