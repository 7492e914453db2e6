"""The statistics of tables and reports: intervals over seeds, paired comparisons, aggregates, agreement with print;
and of single examples: calibration, confusion, McNemar's test."""

from __future__ import annotations

from flyp_sweep.results.statistics.aggregates import interquartile_mean, stratified_interval, task_mean
from flyp_sweep.results.statistics.agreement import Agreement, Printed, agreement
from flyp_sweep.results.statistics.calibration import Reliability, reliability
from flyp_sweep.results.statistics.confusion import Confusion, confusion_matrix, most_confused, per_class_accuracy
from flyp_sweep.results.statistics.intervals import INTERVALS, Interval, mean_interval
from flyp_sweep.results.statistics.mcnemar import McNemar, mcnemar
from flyp_sweep.results.statistics.multiplicity import holm, holm_with_the_best
from flyp_sweep.results.statistics.paired import TESTS, PairedComparison, paired_difference

__all__ = [
    "INTERVALS",
    "TESTS",
    "Agreement",
    "Confusion",
    "Interval",
    "McNemar",
    "PairedComparison",
    "Printed",
    "Reliability",
    "agreement",
    "confusion_matrix",
    "holm",
    "holm_with_the_best",
    "interquartile_mean",
    "mcnemar",
    "mean_interval",
    "most_confused",
    "paired_difference",
    "per_class_accuracy",
    "reliability",
    "stratified_interval",
    "task_mean",
]
