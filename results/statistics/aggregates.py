"""One number for a method over several tasks (data sets, or data sets x shots), with its interval.

As rliable has them: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS
2021, sections 4.1 and 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from flyp_sweep.results.statistics.intervals import RESAMPLES, RESAMPLING_SEED, Interval

Array = npt.NDArray[np.float64]
Statistic = Callable[[Sequence[Array]], Array]

TRIMMED = 0.25


def task_mean(tasks: Sequence[Array]) -> Array:
    """Mean over tasks of the mean over runs: per task [..., n_t] runs, giving [...]; every task weighs the same."""
    return np.mean([runs.mean(axis=-1) for runs in tasks], axis=0)


def interquartile_mean(tasks: Sequence[Array]) -> Array:
    """Mean of the middle half of all runs of all tasks: per task [..., n_t] runs, giving [...].

    Of the N runs together the floor(N / 4) lowest and as many highest are left out; the 25% trimmed mean, as
    `scipy.stats.trim_mean(runs, 0.25)`. Less moved by an outlying task than the mean, and by a run than the median.
    """
    runs = np.sort(np.concatenate(tasks, axis=-1), axis=-1)
    cut = int(TRIMMED * runs.shape[-1])
    return np.asarray(runs[..., cut : runs.shape[-1] - cut].mean(axis=-1))


def stratified_interval(
    tasks: Sequence[Sequence[float]],
    statistic: Statistic,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """A statistic over tasks (`tasks[t]` holds the n_t runs of task t) with its stratified-bootstrap interval.

    Every resample draws n_t runs with replacement from each task apart; the interval reaches from the
    (1 - confidence) / 2 to the (1 + confidence) / 2 quantile of the resampled statistic (the percentile method,
    rliable's own). The generator has a fixed seed. A single run in every task gives no interval. `n` is the number of
    runs.
    """
    runs = [np.asarray(task, dtype=np.float64) for task in tasks]
    point, n = float(statistic(runs)), sum(len(task) for task in runs)
    if max(len(task) for task in runs) < 2:
        return Interval(point, np.nan, np.nan, n, confidence, "stratified")
    stream = np.random.default_rng(RESAMPLING_SEED)
    drawn = [task[stream.integers(len(task), size=(resamples, len(task)))] for task in runs]
    low, high = np.quantile(statistic(drawn), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(point, float(low), float(high), n, confidence, "stratified")
