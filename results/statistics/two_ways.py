"""Intervals over two sources of chance: the seeds of a training, and the images of a test set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flyp_sweep.results.statistics.intervals import RESAMPLES, RESAMPLING_SEED, Interval

SEEDS_AND_EXAMPLES = "seeds+examples"
TITLE = "bootstrap interval over seeds and images"

_COUNTS_AT_ONCE = 1 << 22
"""Counts of kinds of images in memory together."""

Array = npt.NDArray[np.float64]


def two_way_interval(parts: Sequence[Array], confidence: float = 0.95, resamples: int = RESAMPLES) -> Interval:
    """Mean with its bootstrap interval: `parts` holds per split the values [S, N] of N images at the same S seeds.

    The mean is that over splits of the mean over seeds and images. Every resample draws S seeds with replacement, once
    for all splits, and from each split apart its N images with replacement, once for all seeds; the interval reaches
    from the (1 - confidence) / 2 to the (1 + confidence) / 2 quantile of the resampled mean. This is the pigeonhole
    bootstrap of Owen, Annals of Applied Statistics 1 (2007). One seed is no sample of seeds: the interval is then over
    images alone. The generator has a fixed seed. `n` is the number of seeds.
    """
    seeds = len(parts[0])
    stream = np.random.default_rng(RESAMPLING_SEED)
    drawn = stream.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    means = np.zeros(resamples)
    for part in parts:
        means += (_resampled(part, resamples, stream) * drawn).sum(axis=1) / len(parts)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    mean = float(np.mean([part.mean() for part in parts]))
    return Interval(mean, float(low), float(high), seeds, confidence, SEEDS_AND_EXAMPLES)


def _resampled(part: Array, resamples: int, stream: np.random.Generator) -> Array:
    """Means [resamples, S] over images drawn with replacement; images with the same values are drawn as one kind."""
    kinds, counts = np.unique(part.T, axis=0, return_counts=True)
    shares = counts / counts.sum()
    most = max(1, _COUNTS_AT_ONCE // len(counts))
    sizes = [min(most, resamples - start) for start in range(0, resamples, most)]
    rows = [stream.multinomial(part.shape[1], shares, size=size) @ kinds / part.shape[1] for size in sizes]
    return np.concatenate(rows)
